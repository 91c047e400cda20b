"""The registry of what stands above the fields of a row's page: answers first, tables after.

A room above an app registers the summary of its rows, so that no app imports what is above it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

Context = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """A template, and the function that returns its context for a row."""

    template: str
    context: Callable[[HttpRequest, Any], Context]


_summaries: dict[type[Model], Summary] = {}


def register_summary(model: type[Model], template: str, context: Callable[[HttpRequest, Any], Context]) -> None:
    """Show `template` above the fields of each row of this model."""
    _summaries[model] = Summary(template, context)


def summary_context(request: HttpRequest, row: Model | None) -> Context:
    """Return `summary_template` and its context for this row; nothing for a row without a summary."""
    found = _summaries.get(type(row)) if row is not None else None
    return {} if found is None else {"summary_template": found.template, **found.context(request, row)}
