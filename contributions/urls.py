"""Paths of history below /api/v1/."""

from django.urls import path

from contributions import views

urlpatterns = [
    path("contributions/", views.ContributionViewSet.lists(), name="contributions"),
    path("payouts/", views.PayoutViewSet.lists(), name="payouts"),
    path("refunds/", views.RefundViewSet.lists(), name="refunds"),
    path("groups/<str:group_id>/contributions/", views.GroupContributionViewSet.lists(), name="group-contributions"),
    path("groups/<str:group_id>/payouts/", views.GroupPayoutViewSet.lists(), name="group-payouts"),
    path("groups/<str:group_id>/refunds/", views.GroupRefundViewSet.lists(), name="group-refunds"),
    path("users/<str:address>/", views.WalletViewSet.retrieves(), name="user"),
    path("users/<str:address>/contributions/", views.UserContributionViewSet.lists(), name="user-contributions"),
    path("users/<str:address>/payouts/", views.UserPayoutViewSet.lists(), name="user-payouts"),
    path("users/<str:address>/refunds/", views.UserRefundViewSet.lists(), name="user-refunds"),
]
