"""One service, one set of data and one browser for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from tests.support.chromium import Page, chromium
from tests.support.console_service import OPERATOR_NAME, Service, console_service, sign_in


@pytest.fixture(scope="package")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Keep the database from the folder's first test to its last. pytest-django's fixture empties it after each."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="package")
def service(db: None) -> Iterator[Service]:
    with console_service() as running:
        yield running


@pytest.fixture(scope="package")
def browser(service: Service) -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page, service: Service) -> Iterator[Page]:
    """Show the first page to an operator, in a wide window."""
    service.follow()
    browser.resize(1400, 900)
    sign_in(browser, service, OPERATOR_NAME)
    yield browser
    browser.expect_no_complaints()
