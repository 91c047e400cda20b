"""Actions that run at the same time."""

import threading
from collections.abc import Callable, Sequence

from django.db import connection


def run_concurrently(actions: Sequence[Callable[[], object]]) -> list[BaseException]:
    """Run each action in a thread, all started together, and return what they raised once all have ended."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> None:
        try:
            start.wait()
            action()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
