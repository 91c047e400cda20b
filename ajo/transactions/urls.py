"""Paths of transactions below /api/v1/."""

from django.urls import path

from ajo.transactions import views

urlpatterns = [
    path("transactions/", views.TransactionsViewSet.lists(), name="transactions"),
    path("transactions/<str:hash>/", views.TransactionViewSet.retrieves(), name="transaction"),
]
