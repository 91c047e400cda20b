"""CORS preflights: a browser asks before it lets a page of another site read."""

import pytest
from django.test import Client

from tests.support.factories import API

ASKED = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}


@pytest.mark.parametrize("path", ["groups", "groups/7", "users", "status", "groups/7/members"])
def test_a_preflight_of_a_path_without_its_slash_is_answered(client: Client, path: str) -> None:
    """Breaks if it were redirected or refused: no browser follows that, and the page cannot read."""
    bare, whole = (client.options(f"{API}{each}", headers=ASKED) for each in (path, f"{path}/"))
    assert (bare.status_code, bare["Access-Control-Allow-Origin"]) == (204, "*")
    assert dict(bare.headers) == dict(whole.headers) | {"X-Request-ID": bare["X-Request-ID"]}


def test_a_preflight_of_no_path_is_404(client: Client) -> None:
    assert client.options(f"{API}nothing", headers=ASKED).status_code == 404
