"""One label for each endpoint, whoever answers: the edge, a view, or a middleware before any view."""

import pytest
from django.test import Client
from django.urls import resolve
from prometheus_client import REGISTRY

from ajo.api.routes import label, route_of_path
from ajo.edge.application import page_route
from tests.support.factories import API


@pytest.mark.parametrize("path", ["groups/", "groups/1/members/", "users/", "contributions/"])
def test_the_edge_and_django_call_a_page_the_same(path: str) -> None:
    assert page_route(f"{API}{path}") == label(resolve(f"{API}{path}"))


def test_labels_hold_no_regular_expressions() -> None:
    paths = ("", "groups/", "groups/group/", "groups/group/7/change/", "x")
    assert [route_of_path(f"/admin/{path}") for path in paths] == [
        "admin/", "admin/<app_label>/", "admin/groups/group/", "admin/groups/group/<path:object_id>/change/",
        "admin/<url>",
    ]  # fmt: skip


def test_what_a_middleware_answers_is_counted_by_its_endpoint(client: Client) -> None:
    """A preflight is answered before Django looks up the path."""

    def count() -> float:
        labels = {"route": "api/v1/groups/<str:group_id>/", "status": "2xx"}
        return REGISTRY.get_sample_value("ajo_request_seconds_count", labels) or 0

    before = count()
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    assert client.options(f"{API}groups/1/", headers=preflight).status_code == 204
    assert count() == before + 1
