"""Paths of transactions below /api/v1/."""

from django.urls import path

from ajo.transactions import views

urlpatterns = [
    path("transactions/", views.TransactionsViewSet.as_view({"get": "list", "post": "create"}), name="transactions"),
    path("transactions/<str:hash>/", views.TransactionViewSet.retrieves(), name="transaction"),
]
