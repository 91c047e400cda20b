"""The closed list of what can go wrong: the stable `code` of a problem, which clients branch on.

docs/api/errors.md says of each what it means and what to do; tests/api/test_problem_codes.py holds them together.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ProblemCode(StrEnum):
    """The kind of a problem. A value never changes its meaning; new ones may be added."""

    # 400
    MALFORMED_REQUEST = "malformed_request"
    INVALID_PARAMETERS = "invalid_parameters"
    # 403 to 406
    FORBIDDEN = "forbidden"
    NOT_ON_CHAIN = "not_on_chain"
    NO_SUCH_PATH = "no_such_path"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    # 409: a transaction that the chain's state does not allow
    CONTRACT_ERROR = "contract_error"
    NO_ACCOUNT = "no_account"
    NO_TRUSTLINE = "no_trustline"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    SOURCE_BUSY = "source_busy"
    LIMITS_EXCEEDED = "limits_exceeded"
    HOST_ERROR = "host_error"
    BAD_AUTH = "bad_auth"
    AUTH_EXPIRED = "auth_expired"
    AUTH_USED = "auth_used"
    STALE = "stale"
    SEQUENCE_USED = "sequence_used"
    NOT_REPLACEABLE = "not_replaceable"
    # 413, 415
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    # 429
    TOO_MANY_REQUESTS = "too_many_requests"
    # 500, 503
    INTERNAL_ERROR = "internal_error"
    UNAVAILABLE = "unavailable"
    DATABASE_UNAVAILABLE = "database_unavailable"


STATUS_CODES: Final = {
    400: ProblemCode.MALFORMED_REQUEST,
    403: ProblemCode.FORBIDDEN,
    404: ProblemCode.NO_SUCH_PATH,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    406: ProblemCode.NOT_ACCEPTABLE,
    413: ProblemCode.BODY_TOO_LARGE,
    415: ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    429: ProblemCode.TOO_MANY_REQUESTS,
    503: ProblemCode.UNAVAILABLE,
}


def code_of_status(status: int) -> ProblemCode:
    """Return the general code of an HTTP status. Other 4xx count as malformed requests, other 5xx as our faults."""
    return STATUS_CODES.get(status, ProblemCode.MALFORMED_REQUEST if status < 500 else ProblemCode.INTERNAL_ERROR)
