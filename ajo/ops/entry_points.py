"""`GET /` and `GET /api/v1/`: what there is, for a person with curl and for a client that has the address alone."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

import ajo
from ajo.api.fields import AddressField
from ajo.api.views import ReadViewSet
from ajo.soroban.models import Checkpoint

API: Final = "api/v1/"
SERVICE_LINKS: Final = f'<{{0}}/{API}schema/>; rel="service-desc", <{{0}}/{API}docs/>; rel="service-doc"'  # RFC 8631


class EntryPointSerializer(serializers.Serializer[Any]):
    """The service, what it follows, and where everything is."""

    name = serializers.CharField(read_only=True, help_text="The product's name.")
    version = serializers.CharField(read_only=True, help_text="The version of the service that answers.")
    network_passphrase = serializers.CharField(
        read_only=True, allow_null=True, help_text="The Stellar network that is followed; null before the first sync."
    )
    contract = AddressField(
        allow_null=True, help_text="The savings contract that is followed; null before the first sync."
    )
    documentation = serializers.URLField(read_only=True, help_text="The guide for app developers, a page.")
    links = serializers.DictField(
        read_only=True,
        child=serializers.CharField(),
        help_text="Every endpoint's absolute address by name: a URI template (RFC 6570) where a part is to be chosen.",
    )


class EntryPointViewSet(ReadViewSet):
    queryset: QuerySet[Checkpoint] = Checkpoint.objects.all()
    serializer_class = EntryPointSerializer
    pagination_class = None
    edge_cacheable = False

    @extend_schema(
        summary="What there is",
        description="The service's version, the network and the contract that it follows, and the address of every "
        "endpoint. `GET /` answers the same.",
    )
    def retrieve(self, request: Request) -> Response:
        checkpoint = Checkpoint.objects.current()
        found = {
            "name": "Ajo",
            "version": ajo.__version__,
            "network_passphrase": checkpoint.network_passphrase if checkpoint else None,
            "contract": checkpoint.contract if checkpoint else None,
            "documentation": f"{settings.PUBLIC_URL}/{API}docs/guide/",
            "links": {name: f"{settings.PUBLIC_URL}/{path}" for name, path in paths()},
        }
        headers = {"Link": SERVICE_LINKS.format(settings.PUBLIC_URL)}
        return Response(self.get_serializer(found).data, headers=headers)


class RootViewSet(EntryPointViewSet):
    """The same at `/`, where a person looks first."""

    schema = None


@lru_cache(maxsize=1)
def paths() -> list[tuple[str, str]]:
    """Return name and URI template of each endpoint below API, in the order of the URL configuration."""
    found = []
    for top in get_resolver().url_patterns:
        children = top.url_patterns if isinstance(top, URLResolver) else [top]
        prefix = str(top.pattern) if isinstance(top, URLResolver) else ""
        for child in children:
            path = f"{prefix}{child.pattern}"
            if path.startswith(API) and isinstance(child, URLPattern) and child.name:
                found.append((child.name, re.sub(r"<\w+:(\w+)>", r"{\1}", path)))
    return found
