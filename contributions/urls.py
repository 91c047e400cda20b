"""Paths of history below /api/v1/."""

from django.urls import path

from contributions import views
from contributions.entries_view import GroupEntriesViewSet
from contributions.schedule_view import ScheduleViewSet
from contributions.statement_views import GroupStatementViewSet, UserStatementViewSet

urlpatterns = [
    path("contributions/", views.ContributionViewSet.lists(), name="contributions"),
    path("payouts/", views.PayoutViewSet.lists(), name="payouts"),
    path("refunds/", views.RefundViewSet.lists(), name="refunds"),
    path("groups/<str:group_id>/contributions/", views.GroupContributionViewSet.lists(), name="group-contributions"),
    path("groups/<str:group_id>/payouts/", views.GroupPayoutViewSet.lists(), name="group-payouts"),
    path("groups/<str:group_id>/refunds/", views.GroupRefundViewSet.lists(), name="group-refunds"),
    path("groups/<str:group_id>/entries/", GroupEntriesViewSet.retrieves(), name="group-entries"),
    path("groups/<str:group_id>/schedule/", ScheduleViewSet.lists(), name="group-schedule"),
    path("groups/<str:group_id>/statement/", GroupStatementViewSet.retrieves(), name="group-statement"),
    path("users/<str:address>/", views.WalletViewSet.retrieves(), name="user"),
    path("users/<str:address>/contributions/", views.UserContributionViewSet.lists(), name="user-contributions"),
    path("users/<str:address>/payouts/", views.UserPayoutViewSet.lists(), name="user-payouts"),
    path("users/<str:address>/refunds/", views.UserRefundViewSet.lists(), name="user-refunds"),
    path("users/<str:address>/statement/", UserStatementViewSet.retrieves(), name="user-statement"),
]
