"""JSON-RPC 2.0 over one HTTP body, as the library in front of stellar-rpc does it (creachadair/jrpc2, jhttp)."""

from dataclasses import dataclass
from typing import Any, Final

from devtools.sandbox import gojson
from devtools.sandbox.rpc import Rpc
from devtools.sandbox.rpc_error import INVALID_REQUEST, PARSE_ERROR, RpcError

BAD_BODY: Final = f"[{PARSE_ERROR}] invalid request value\n"
_KNOWN: Final = frozenset(("jsonrpc", "id", "method", "params", "error", "result"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, media type (empty for no body), body."""

    status: int
    media_type: str
    body: bytes


def plain(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode())


@dataclass(frozen=True, slots=True)
class Message:
    """One request. `id` is JSON text, empty for a notification; `error` is why it is none at all."""

    id: str
    method: str
    params: Any
    error: RpcError | None


def answer(rpc: Rpc, body: bytes) -> Answer:
    """The answer to a POSTed body. Requests that are wrong in themselves come first among a batch's answers."""
    batch = body.strip(b" \t\r\n")[:1] == b"["
    try:
        found = gojson.loads(body)
    except ValueError:
        return plain(500, BAD_BODY)
    messages = [_message(each) for each in found] if batch else [_message(found)]
    answers = [_error(each.id or "null", each.error) for each in messages if each.error is not None]
    for each in messages:
        if each.error is None:
            done = _respond(rpc, each)
            if each.id:
                answers.append(done)
    if not answers:
        return Answer(204, "", b"")
    text = f"[{','.join(answers)}]" if batch else answers[0]
    return Answer(200, "application/json", text.encode())


def _respond(rpc: Rpc, message: Message) -> str:
    try:
        if not message.method:
            raise RpcError(INVALID_REQUEST, "empty method name")
        result = gojson.dumps(rpc.call(message.method, message.params))
    except RpcError as error:
        return _error(message.id, error)
    return f'{{"jsonrpc":"2.0","id":{message.id},"result":{result}}}'


def _error(request_id: str, error: RpcError) -> str:
    shown: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return f'{{"jsonrpc":"2.0","id":{request_id},"error":{gojson.dumps(shown)}}}'


def _message(value: Any) -> Message:
    """Read one request; the first thing that is wrong with it is its error."""
    if not isinstance(value, dict):
        # Go reads null into a map: an empty one.
        if value is not None:
            return Message("", "", None, RpcError(PARSE_ERROR, "request is not a JSON object"))
        value = {}
    wrong: list[RpcError] = []
    version, method, params = value.get("jsonrpc"), value.get("method"), value.get("params")
    if version is not None and not isinstance(version, str):
        wrong.append(RpcError(PARSE_ERROR, "invalid version key"))
    if isinstance(value.get("id"), (bool, list, dict)):
        wrong.append(RpcError(INVALID_REQUEST, "invalid request ID"))
    if method is not None and not isinstance(method, str):
        wrong.append(RpcError(PARSE_ERROR, "invalid method name"))
    if params is not None and not isinstance(params, (list, dict)):
        wrong.append(RpcError(INVALID_REQUEST, "parameters must be array or object"))
    if version != "2.0":
        wrong.append(RpcError(INVALID_REQUEST, "invalid version marker"))
    if method and (value.get("error") is not None or "result" in value):
        wrong.append(RpcError(INVALID_REQUEST, "mixed request and reply fields"))
    extra = [key for key in value if key not in _KNOWN]
    if extra:
        wrong.append(RpcError(INVALID_REQUEST, "extra fields in request", extra))
    shown = _id(value.get("id"))
    return Message(shown, method if isinstance(method, str) else "", params, wrong[0] if wrong else None)


def _id(value: Any) -> str:
    """An id as it was written; empty where there is none that could be given back."""
    if value is None or isinstance(value, (bool, list, dict)):
        return ""
    return value.text if isinstance(value, gojson.Number) else gojson.dumps(value)
