"""Examples of the OpenAPI description of writing: one real transaction of the sandbox, from its build to its end.

A wallet that may sign for itself joins a group, and another one pays: PAYER is the source, JOINER signs the entry.
tests/api/test_writing_examples.py checks that they decode and belong together.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

CONTRACT: Final = "CCPXTLHPHMLYKSOZ5XXDC5YRYQDYMWBJ6WFJ3GDPAKKGS7ASHLLB3FNU"
PAYER: Final = "GBO3C53JJBNBXDM5NMMRSMOGJSG2MXUFRLK43SUWEUJWLSB2YXBKF4WD"
JOINER: Final = "GBGXTDR2V2UK5Z2ZQKQM5XNAZRX3RGSKXUBNJR6QGVRZIUUF4ISXH3A2"
WRITE_HASH: Final = "ac6a0a04b011779171652580cb219669f568a2a1cb5f9bae477e6e03244bd43b"
BUILT_XDR: Final = (
    "AAAAAgAAAABdsXdpSFobjZ1rGRkxxkyNpl6FitXNypYlE2XIOsXCogAEPMAAAAELAAAAAwAAAAEAAAAAAAAAAAAAAABrB2iCAAAAAAAAAAEAAAAA"
    "AAAAGAAAAAAAAAABn3ms7zsXhUnZ7e4xdxHEB4ZYKfWKnZhvApRpfBI61h0AAAAKam9pbl9ncm91cAAAAAAAAgAAABIAAAAAAAAAAE15jjquqK7n"
    "WYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVzAAAABQAAAAAAAACUAAAAAQAAAAEAAAAAAAAAAE15jjquqK7nWYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVz"
    "OOwGC3rxbkMAAAHkAAAAAQAAAAAAAAABn3ms7zsXhUnZ7e4xdxHEB4ZYKfWKnZhvApRpfBI61h0AAAAKam9pbl9ncm91cAAAAAAAAgAAABIAAAAA"
    "AAAAAE15jjquqK7nWYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVzAAAABQAAAAAAAACUAAAAAAAAAAEAAAAAAAAAAwAAAAAAAAAATXmOOq6orudZgqDO"
    "3aDMb7iaSr0C1MfQNWOUUoXiJXMAAAAGAAAAAZ95rO87F4VJ2e3uMXcRxAeGWCn1ip2YbwKUaXwSOtYdAAAAFAAAAAEAAAAHouVZtCRKYZZM05rZ"
    "b0yzv7CDSB0FdTWvc6cNQpGbUvwAAAACAAAABgAAAAAAAAAATXmOOq6orudZgqDO3aDMb7iaSr0C1MfQNWOUUoXiJXMAAAAVOOwGC3rxbkMAAAAA"
    "AAAABgAAAAGfeazvOxeFSdnt7jF3EcQHhlgp9YqdmG8ClGl8EjrWHQAAABAAAAABAAAAAgAAAA8AAAAFR1JPVVAAAAAAAAAFAAAAAAAAAJQAAAAB"
    "AEWWhgAAAJAAAARUAAAAAAAEPFwAAAAA"
)
ENTRY: Final = (
    "AAAAAQAAAAAAAAAATXmOOq6orudZgqDO3aDMb7iaSr0C1MfQNWOUUoXiJXM47AYLevFuQwAAAeQAAAABAAAAAAAAAAGfeazvOxeFSdnt7jF3EcQH"
    "hlgp9YqdmG8ClGl8EjrWHQAAAApqb2luX2dyb3VwAAAAAAACAAAAEgAAAAAAAAAATXmOOq6orudZgqDO3aDMb7iaSr0C1MfQNWOUUoXiJXMAAAAF"
    "AAAAAAAAAJQAAAAA"
)
PREIMAGE: Final = (
    "AAAACWyR11ne6OIQ6l3gBumMqhoNUJ3zrNJtW9u9bIl3iffsOOwGC3rxbkMAAAHkAAAAAAAAAAGfeazvOxeFSdnt7jF3EcQHhlgp9YqdmG8ClGl8"
    "EjrWHQAAAApqb2luX2dyb3VwAAAAAAACAAAAEgAAAAAAAAAATXmOOq6orudZgqDO3aDMb7iaSr0C1MfQNWOUUoXiJXMAAAAFAAAAAAAAAJQAAAAA"
)
SIGNED_ENTRY: Final = (
    "AAAAAQAAAAAAAAAATXmOOq6orudZgqDO3aDMb7iaSr0C1MfQNWOUUoXiJXM47AYLevFuQwAAAeQAAAAQAAAAAQAAAAEAAAARAAAAAQAAAAIAAAAP"
    "AAAACnB1YmxpY19rZXkAAAAAAA0AAAAgTXmOOq6orudZgqDO3aDMb7iaSr0C1MfQNWOUUoXiJXMAAAAPAAAACXNpZ25hdHVyZQAAAAAAAA0AAABA"
    "RIaE8ATw8zUOZYsnpfq7MmkL/lLrdxBFMaX8a7cfbRN6M00zjcl4KPmYxAGxJL9vjgyehodyGWpHePbVW1kkCAAAAAAAAAABn3ms7zsXhUnZ7e4x"
    "dxHEB4ZYKfWKnZhvApRpfBI61h0AAAAKam9pbl9ncm91cAAAAAAAAgAAABIAAAAAAAAAAE15jjquqK7nWYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVz"
    "AAAABQAAAAAAAACUAAAAAA=="
)
SIGNED_XDR: Final = (
    "AAAAAgAAAABdsXdpSFobjZ1rGRkxxkyNpl6FitXNypYlE2XIOsXCogACLe8AAAELAAAAAwAAAAEAAAAAAAAAAAAAAABrB2iCAAAAAAAAAAEAAAAA"
    "AAAAGAAAAAAAAAABn3ms7zsXhUnZ7e4xdxHEB4ZYKfWKnZhvApRpfBI61h0AAAAKam9pbl9ncm91cAAAAAAAAgAAABIAAAAAAAAAAE15jjquqK7n"
    "WYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVzAAAABQAAAAAAAACUAAAAAQAAAAEAAAAAAAAAAE15jjquqK7nWYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVz"
    "OOwGC3rxbkMAAAHkAAAAEAAAAAEAAAABAAAAEQAAAAEAAAACAAAADwAAAApwdWJsaWNfa2V5AAAAAAANAAAAIE15jjquqK7nWYKgzt2gzG+4mkq9"
    "AtTH0DVjlFKF4iVzAAAADwAAAAlzaWduYXR1cmUAAAAAAAANAAAAQESGhPAE8PM1DmWLJ6X6uzJpC/5S63cQRTGl/Gu3H20TejNNM43JeCj5mMQB"
    "sSS/b44MnoaHchlqR3j21VtZJAgAAAAAAAAAAZ95rO87F4VJ2e3uMXcRxAeGWCn1ip2YbwKUaXwSOtYdAAAACmpvaW5fZ3JvdXAAAAAAAAIAAAAS"
    "AAAAAAAAAABNeY46rqiu51mCoM7doMxvuJpKvQLUx9A1Y5RSheIlcwAAAAUAAAAAAAAAlAAAAAAAAAABAAAAAAAAAAMAAAAAAAAAAE15jjquqK7n"
    "WYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVzAAAABgAAAAGfeazvOxeFSdnt7jF3EcQHhlgp9YqdmG8ClGl8EjrWHQAAABQAAAABAAAAB6LlWbQkSmGW"
    "TNOa2W9Ms7+wg0gdBXU1r3OnDUKRm1L8AAAAAgAAAAYAAAAAAAAAAE15jjquqK7nWYKgzt2gzG+4mkq9AtTH0DVjlFKF4iVzAAAAFTjsBgt68W5D"
    "AAAAAAAAAAYAAAABn3ms7zsXhUnZ7e4xdxHEB4ZYKfWKnZhvApRpfBI61h0AAAAQAAAAAQAAAAIAAAAPAAAABUdST1VQAAAAAAAABQAAAAAAAACU"
    "AAAAAQBFloYAAACQAAAEVAAAAAAAAi2LAAAAATrFwqIAAABAKyodl/ad6wlRYvwGOe/AK6FtR2q3d1rg5vf0Zc2S3NUFlaV9BIfOwr+nmBkIONTc"
    "ZtvQOVJihOO3Ye/NPCasAw=="
)
BUILT_HASH: Final = "95356b6515dcbd0c7dae92d2816db9104e2c99e466c7339fb6f087f5d3cfa8f4"
SIGNATURE: Final = "RIaE8ATw8zUOZYsnpfq7MmkL/lLrdxBFMaX8a7cfbRN6M00zjcl4KPmYxAGxJL9vjgyehodyGWpHePbVW1kkCA=="
SEQUENCE, VALID_UNTIL = "1146756268035", "2026-11-25T23:00:18Z"
GROUP, JOIN, LEDGER, CLOSED = "148", "join_group", 310, "2026-11-25T22:55:23Z"
URI: Final = (
    f"web+stellar:tx?xdr={quote(BUILT_XDR, safe='')}"
    "&callback=url%3Ahttp%3A%2F%2F127.0.0.1%3A8000%2Fapi%2Fv1%2Ftransactions%2F"
    f"&pubkey={PAYER}&network_passphrase=Ajo%20Sandbox%20%3B%20for%20development%20only"
)
JOINED: Final = {
    "id": "0000001331439865856-0000000000", "type": "joined", "group": GROUP, "round": None, "data": {"member": JOINER},
    "tx_hash": WRITE_HASH, "ledger": LEDGER, "created_at": CLOSED,
}  # fmt: skip
ARGS: Final = {"member": JOINER, "group_id": GROUP}

WRITING: Final[dict[str, Any]] = {
    # what is asked for
    "Build.function": JOIN, "Build.source": PAYER, "Build.args": ARGS, "Build.valid_for": 300,
    "Build.sequence": SEQUENCE, "Build.replaces": BUILT_HASH, "Build.inclusion_fee": "100",
    "Build.credentials": "address", "Build.auth_valid_for": 175,
    "Prepare.xdr": BUILT_XDR, "Prepare.auth": [SIGNED_ENTRY],
    "Prepare.signatures": [{"address": JOINER, "public_key": JOINER, "signature": SIGNATURE}],
    "Signature.address": JOINER, "Signature.public_key": JOINER, "Signature.signature": SIGNATURE,
    "Submission.xdr": SIGNED_XDR,
    # what was built
    "Built.xdr": BUILT_XDR, "Built.hash": BUILT_HASH, "Built.uri": URI, "Built.function": JOIN, "Built.group": GROUP,
    "Built.source": PAYER, "Built.sequence": SEQUENCE, "Built.valid_until": VALID_UNTIL, "Built.result": None,
    "Offer.inclusion": "100", "Offer.resource": "277596", "Offer.max": "277696",
    "AuthEntry.address": JOINER, "AuthEntry.credentials": "address", "AuthEntry.xdr": ENTRY,
    "AuthEntry.preimage": PREIMAGE, "AuthEntry.nonce": "4101660007004728899", "AuthEntry.expires_ledger": 484,
    "AuthEntry.invocation": {"contract": CONTRACT, "function": JOIN, "args": ARGS, "sub_invocations": []},
    "Warning.code": "sequence_gap",
    "Warning.detail": "It waits for the transactions with the sequence numbers from 1146756268035 to 1146756268036.",
    # what became of it
    "Transaction.hash": WRITE_HASH, "Transaction.status": "success", "Transaction.retry": None,
    "Transaction.code": None, "Transaction.detail": None, "Transaction.contract_error": None,
    "Transaction.function": JOIN, "Transaction.group": GROUP, "Transaction.source": PAYER,
    "Transaction.sequence": SEQUENCE, "Transaction.valid_until": VALID_UNTIL, "Transaction.ledger": LEDGER,
    "Transaction.created_at": CLOSED, "Transaction.result": None, "Transaction.attempts": 1,
    "Transaction.last_answer": "PENDING", "Transaction.submitted_at": "2026-11-25T22:55:20.418942Z",
    "Transaction.contributions": [], "Transaction.payouts": [], "Transaction.refunds": [],
    "Transaction.events": [JOINED], "Fee.max": "142831", "Fee.charged": "93183",
    # what was refused
    "ContractError.contract": CONTRACT, "ContractError.code": 3, "ContractError.name": "AlreadyMember",
    "HostError.type": "Auth", "HostError.code": "InvalidAction",
    "Limit.name": "events", "Limit.used": 16720, "Limit.allowed": 16384,
    "Conflict.type": "http://127.0.0.1:8000/api/v1/docs/errors/#contract_error", "Conflict.title": "Conflict",
    "Conflict.status": 409, "Conflict.detail": "This wallet is a member of the group already.",
    "Conflict.code": "contract_error", "Conflict.hash": WRITE_HASH, "Conflict.account": PAYER,
}  # fmt: skip
