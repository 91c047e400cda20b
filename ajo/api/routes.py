"""The one label by which /metrics and the access log call an endpoint, whoever answered."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django.contrib.admindocs.utils import replace_metacharacters, replace_named_groups
from django.http import HttpRequest
from django.urls import Resolver404, ResolverMatch, resolve

UNKNOWN: Final = "none"  # no endpoint has the path


def route_of(request: HttpRequest) -> str:
    """Return the label of a request, also of one that a middleware answered before its path was looked up."""
    return label(request.resolver_match) if request.resolver_match else route_of_path(request.path_info)


@lru_cache(maxsize=1024)
def route_of_path(path: str) -> str:
    """Return the label of the endpoint that has this path."""
    try:
        return label(resolve(path))
    except Resolver404:
        return UNKNOWN


def label(match: ResolverMatch) -> str:
    """Return an endpoint's path as it is written in urls.py; the admin's regular expressions become such paths."""
    return _plain(match.route)


@lru_cache(maxsize=1024)
def _plain(route: str) -> str:
    return replace_metacharacters(replace_named_groups(route)) if "(?P" in route or "^" in route else route
