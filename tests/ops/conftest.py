import pytest

from ajo.ops import health


@pytest.fixture(autouse=True)
def _ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier request found out is not kept, but where a test says so."""
    monkeypatch.setattr(health, "MAX_AGE", 0.0)
    health.readiness.clear()
