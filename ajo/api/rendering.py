"""Write bodies as bytes, in one way, so that cached and fresh bodies of the same data are equal."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import parsers, renderers
from rest_framework.exceptions import ParseError
from rest_framework.utils.encoders import JSONEncoder


def dump(data: Any) -> bytes:
    """Return compact JSON in UTF-8. Raise ValueError for NaN and infinities."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False, cls=JSONEncoder)
    return text.encode()


class JSONRenderer(renderers.JSONRenderer):
    """DRF's renderer with `dump`; a body that is bytes already is passed on as it is."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        return data if isinstance(data, bytes) else dump(data)


class JSONParser(parsers.JSONParser):
    """DRF's parser, for which a body nested deeper than Python's stack is malformed too."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
