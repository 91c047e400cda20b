"""Lists fit a window of 1400 pixels, and no copy button leaves its address alone on a line."""

from __future__ import annotations

import pytest
from django.db.models import Model

from tests.browser.staff.test_accessibility import PAGES
from tests.support import admin_pages
from tests.support.admin_rows import TABLES
from tests.support.chromium import Page
from tests.support.console_service import RUNNING, Service

TOO_WIDE = "(frame => frame ? frame.scrollWidth - frame.clientWidth : 0)(document.querySelector('.results'))"
APART = """[...document.querySelectorAll(".copyable")].filter((both) => {
  const [address, button] = [".shortened", ".copy"].map((name) => both.querySelector(name).getBoundingClientRect());
  return button.top > address.bottom || button.bottom < address.top;
}).length"""


@pytest.mark.parametrize("model", TABLES, ids=lambda model: model._meta.model_name)
def test_a_list_fits_with_its_copy_buttons(page: Page, service: Service, model: type[Model]) -> None:
    assert page.open(service.url + admin_pages.table(model)) == 200
    assert page.run(TOO_WIDE) <= 0
    assert page.run(APART) == 0


@pytest.mark.parametrize("name", ["wallet", "group", "transaction", "contributions", "first"])
def test_a_page_is_no_wider_than_a_telephone(page: Page, service: Service, name: str) -> None:
    page.resize(390, 844)
    page.open(service.url + PAGES[name]())
    assert page.run("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("width", [1400, 390])
def test_a_copy_button_stands_beside_its_address(page: Page, service: Service, width: int) -> None:
    page.resize(width, 900)
    page.open(f"{service.url}/admin/groups/group/{RUNNING}/change/")
    assert page.run("document.querySelectorAll('.copyable').length") >= 10
    assert page.run(APART) == 0


def test_a_card_of_a_list_names_its_columns(page: Page, service: Service) -> None:
    page.resize(390, 844)
    page.open(f"{service.url}/admin/contributions/contribution/")
    named = "getComputedStyle(document.querySelector('.field-round'), '::before').content"
    assert page.run(named) == '"Round: "'
