"""Reports how many groups a command has done: by a bar where stderr is a terminal, else by lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import Progress


class Step(Protocol):
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


S = TypeVar("S", bound=Step)


def report_progress(steps: Iterable[S], command: str, out: OutputWrapper) -> Iterator[S]:
    """Yield the steps, reporting each as it is done."""
    with Progress(console=Console(file=sys.stderr), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("groups", total=None)
        for step in steps:
            progress.update(task, total=step.total, completed=step.done)
            if progress.disable:
                out.write(f"{command}: {step.done} of {step.total} groups")
            yield step
