"""The 409 of transactions: what the state of the chain, or of another transaction, forbids now."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from ajo.api.problem_codes import ProblemCode
from ajo.api.problems import problem
from ajo.transactions.codes import SENTENCES, Code


class Conflict(Exception):
    """A request that cannot be done as things stand. `extra` are further members of the problem."""

    def __init__(self, code: Code, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or SENTENCES[code])
        self.code = code
        self.extra = extra

    def to_problem(self) -> HttpResponse:
        """Return the problem: 409 with `code`."""
        return problem(409, str(self), ProblemCode(self.code.value), **self.extra)
