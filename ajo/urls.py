"""The URL configuration: the admin, health and metrics, and each app's endpoints below /api/v1/."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from ajo.api.events import EventViewSet
from ajo.api.guide import GuideView
from ajo.api.schema import DocsView, SchemaView
from ajo.ops.contract import ContractTokenViewSet, ContractViewSet
from ajo.ops.entry_points import EntryPointViewSet, RootViewSet
from ajo.ops.metrics import metrics
from ajo.ops.status import StatusViewSet
from ajo.transactions.sep7 import stellar_toml

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("health/", include("ajo.ops.urls")),
    path("metrics", metrics, name="metrics"),
    path(".well-known/stellar.toml", stellar_toml, name="stellar-toml"),
    path("", RootViewSet.retrieves()),
    path("api/v1/", EntryPointViewSet.retrieves(), name="entry-point"),
    path("api/v1/", include("ajo.transactions.build_urls")),
    path("api/v1/", include("groups.urls")),
    path("api/v1/", include("contributions.urls")),
    path("api/v1/", include("ajo.transactions.urls")),
    path("api/v1/events/", EventViewSet.lists(), name="events"),
    path("api/v1/contract/", ContractViewSet.retrieves(), name="contract"),
    path("api/v1/contract/tokens/", ContractTokenViewSet.lists(), name="contract-tokens"),
    path("api/v1/status/", StatusViewSet.retrieves(), name="status"),
    path("api/v1/schema/", SchemaView.as_view(), name="schema"),
    path("api/v1/docs/", DocsView.as_view(), name="docs"),
    path("api/v1/docs/<str:page>/", GuideView.as_view(), name="docs-page"),
]
