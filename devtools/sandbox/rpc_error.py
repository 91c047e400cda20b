"""Errors of JSON-RPC as stellar-rpc gives them."""

from typing import Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603


class RpcError(Exception):
    """`data` is what the Go decoder or the library adds; None where there is none."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def invalid_params(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, message)


def check_format(value: str) -> None:
    """`xdrFormat`. JSON is refused in words of our own: the sandbox does not speak it, and no client of ours asks."""
    if value not in ("", "base64", "json"):
        raise invalid_params(f"got '{value}': expected base64, json for optional 'xdrFormat'")
    if value == "json":
        raise invalid_params("the sandbox has no xdrFormat 'json'")
