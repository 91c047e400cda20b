import pytest

from ajo.ops import health


@pytest.fixture(autouse=True)
def _ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request find out anew, but where a test says so."""
    monkeypatch.setattr(health, "KEPT_FOR", 0.0)
    health.probe.forget()
