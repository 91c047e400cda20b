"""The pages of the API's documentation in a browser, which obeys their Content-Security-Policy."""

from __future__ import annotations

import pytest
from pytest_django.live_server_helper import LiveServer

from ajo.api.guide import PAGES
from tests.support.chromium import chromium
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_reference_and_the_guide_show_all_and_break_no_policy(live_server: LiveServer) -> None:
    with chromium() as page:
        assert page.open(f"{live_server.url}/api/v1/docs/") == 200
        wait_for(lambda: page.run("document.querySelectorAll('.opblock').length") > 20, what="the operations")
        page.run("document.querySelector('.opblock-get .opblock-summary-control').click()")
        wait_for(lambda: page.run("document.querySelectorAll('.responses-table').length"), what="its answers")
        for name in PAGES:
            assert page.open(f"{live_server.url}/api/v1/docs/{name}/") == 200
        assert page.complaints == []
