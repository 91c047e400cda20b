"""The closed lists of `code`: of a transaction and of a 409, in the code, the schema and the guide."""

import re
from typing import Any

import pytest

from ajo.api.guide import FOLDER
from ajo.api.problem_codes import ProblemCode
from ajo.transactions.codes import CONFLICTS, SENTENCES, Code
from ajo.transactions.conflicts import Conflict
from tests.api.test_schema import described


def of_409() -> list[str]:
    text = (FOLDER / "errors.md").read_text()
    return re.findall(r"^## (\w+)\n\n409\.", text, re.MULTILINE)


def test_the_guide_lists_each_word_once_and_leads_to_what_a_409_means() -> None:
    rows = re.findall(r"^\| \[?`(\w+)`(?:\]\(errors\.md#(\w+)\))? \| (.+) \|$", page(), re.MULTILINE)
    assert rows == [(code.value, code.value if code in CONFLICTS else "", SENTENCES[code]) for code in Code]


def page() -> str:
    return (FOLDER / "writing.md").read_text().partition("## Words of `code`")[2].partition("| --- |")[2]


def test_what_a_409_can_say_is_what_the_guide_explains_as_a_409() -> None:
    assert [code.value for code in CONFLICTS] == of_409()


@pytest.mark.parametrize("code", CONFLICTS)
def test_each_of_them_is_a_problem(code: Code) -> None:
    answer = Conflict(code).to_problem()
    assert answer.status_code == 409
    assert ProblemCode(code.value).value.encode() in answer.content


@pytest.mark.parametrize(("form", "codes"), [("Transaction", tuple(Code)), ("Conflict", CONFLICTS)])
@pytest.mark.django_db
def test_the_schema_lists_both(form: str, codes: tuple[Code, ...]) -> None:
    components: Any = described()["components"]["schemas"]
    field = components[form]["properties"]["code"]
    listed = [value for each in choices(field, components) for value in each if value]
    assert listed == [code.value for code in codes]


def choices(field: Any, components: Any) -> list[list[str]]:
    """Return the choices of a field, which may refer to a component or combine some."""
    if "enum" in field:
        return [field["enum"]]
    parts = [each["$ref"].rpartition("/")[2] for each in field.get("allOf", []) + field.get("oneOf", [])]
    return [components[name]["enum"] for name in parts if "enum" in components[name]]
