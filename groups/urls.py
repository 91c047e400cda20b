"""Paths of groups and wallets below /api/v1/."""

from django.urls import path

from groups import views

urlpatterns = [
    path("groups/", views.GroupViewSet.lists(), name="groups"),
    path("groups/<str:group_id>/", views.GroupDetailViewSet.retrieves(), name="group"),
    path("groups/<str:group_id>/members/", views.GroupMemberViewSet.lists(), name="group-members"),
    path("groups/<str:group_id>/events/", views.GroupEventViewSet.lists(), name="group-events"),
    path("users/", views.UserViewSet.lists(), name="users"),
    path("users/<str:address>/groups/", views.UserGroupViewSet.lists(), name="user-groups"),
    path("users/<str:address>/dues/", views.UserDueViewSet.lists(), name="user-dues"),
]
