"""The file that wallets read of a service (SEP-1)."""

from __future__ import annotations

import tomllib

from django.test import Client
from pytest_django import Settings

PATH = "/.well-known/stellar.toml"


def test_the_file_names_network_and_service(settings: Settings) -> None:
    settings.STELLAR_NETWORK_PASSPHRASE = 'A "quoted" network ; é'
    settings.PUBLIC_URL = "https://ajo.example"
    answer = Client().get(PATH)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    found = tomllib.loads(answer.content.decode())
    assert found["NETWORK_PASSPHRASE"] == 'A "quoted" network ; é'
    assert found["DOCUMENTATION"]["ORG_URL"] == "https://ajo.example"
    assert len(answer.content) < 100_000  # SEP-1's limit


def test_it_is_only_read() -> None:
    assert Client().post(PATH).status_code == 405
