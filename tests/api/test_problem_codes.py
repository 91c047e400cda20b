"""Problem codes: a closed list, one home, each with a paragraph in the guide to which `type` leads."""

import json
import re

import pytest
from django.conf import settings
from django.test import Client

from ajo.api.guide import FOLDER, anchor
from ajo.api.problem_codes import STATUS_CODES, ProblemCode, code_of_status
from ajo.api.problems import problem
from tests.support.factories import API, account, make_checkpoint

pytestmark = pytest.mark.django_db


def test_the_guide_explains_each_code_and_no_other() -> None:
    headings = re.findall(r"^## (.+)$", (FOLDER / "errors.md").read_text(), re.MULTILINE)
    assert headings == [code.value for code in ProblemCode]


@pytest.mark.parametrize("code", ProblemCode)
def test_the_type_leads_to_the_codes_paragraph(client: Client, code: ProblemCode) -> None:
    uri = json.loads(problem(400, "x", code).content)["type"]
    page, _, fragment = uri.partition("#")
    shown = client.get(page.removeprefix(settings.PUBLIC_URL))
    assert shown.status_code == 200
    assert f'<h2 id="{fragment}">{code.value}</h2>' in shown.content.decode()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("groups/?limit=0", 400, ProblemCode.INVALID_PARAMETERS),
        ("groups/x/", 400, ProblemCode.INVALID_PARAMETERS),
        (f"groups/{2**64}/", 404, ProblemCode.NOT_ON_CHAIN),
        (f"users/{account(1)}/", 404, ProblemCode.NOT_ON_CHAIN),
        ("nothing/", 404, ProblemCode.NO_SUCH_PATH),
        ("docs/nothing/", 404, ProblemCode.NO_SUCH_PATH),
        ("docs/../errors/", 404, ProblemCode.NO_SUCH_PATH),
        ("groups/?min_ledger=1005", 503, ProblemCode.UNAVAILABLE),
    ],
)
def test_a_problem_says_its_code(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str, status: int, code: ProblemCode
) -> None:
    monkeypatch.setattr("ajo.api.freshness.SYNC_WAIT", 0)
    make_checkpoint()
    answer = client.get(API + path)
    assert (answer.status_code, answer.json()["code"]) == (status, code.value)


def test_other_statuses_have_a_general_code() -> None:
    assert {code_of_status(status) for status in (400, 411, 431)} == {ProblemCode.MALFORMED_REQUEST}
    assert {code_of_status(status) for status in (500, 502)} == {ProblemCode.INTERNAL_ERROR}
    assert len(set(STATUS_CODES.values())) == len(STATUS_CODES)


@pytest.mark.parametrize(
    ("heading", "expected"), [("not_on_chain", "not_on_chain"), ("What is `r`? A hint.", "what-is-r-a-hint")]
)
def test_an_anchor_is_what_github_makes_of_a_heading(heading: str, expected: str) -> None:
    assert anchor(heading) == expected
