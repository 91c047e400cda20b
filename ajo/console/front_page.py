"""The admin's front page: a verdict, then work, then health."""

from __future__ import annotations

from typing import Any

from ajo.api.clock import chain_now
from ajo.console.tiles import health_tiles, verdict
from ajo.console.work import cards, chart


def front_page() -> dict[str, Any]:
    """Return what the template of the front page takes."""
    tiles = health_tiles()
    now = chain_now()
    return {"verdict": verdict(tiles), "cards": cards(now), "chart": chart(now), "tiles": tiles}
