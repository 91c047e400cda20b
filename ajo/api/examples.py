"""Examples of the OpenAPI description: real values of the sandbox's first group, which agree with each other.

EXAMPLES has them by name of a field, or by `Component.field` where one name has two meanings. An example of a whole
component follows from those of its fields. TEXTS says what a field is where its serializer does not.
"""

from __future__ import annotations

from typing import Any, Final

from ajo.api.writing_examples import CONTRACT, WRITING

NATIVE: Final = "CDUZ4QWPOJBQRNZBBOEE5SY43QECZ4YRPOBZR2GHLMRJ24KJD37DIBRJ"
WALLET: Final = "GDDVW6QISWUI26SJO4RATHTAGUTI5JRIBEZT4FOEFMBLWA2TT2L6EUHD"
HASH: Final = "849de5e499f905f28034bd77009b831c322e4e77ab950e20626ad004ff1a1114"
NETWORK: Final = "Ajo Sandbox ; for development only"
NEXT: Final = "http://127.0.0.1:8000/api/v1/groups/?limit=20&cursor=yI0AkOwIvTTUvzkfW1siIiw1NTFdLGZhbHNlXQ"
ENTRY_KEY: Final = (
    "AAAABgAAAAGfeazvOxeFSdnt7jF3EcQHhlgp9YqdmG8ClGl8EjrWHQAAABAAAAABAAAABAAAAA8AAAAHQ09OVFJJQgAAAAAFAAAAAAAAAAEAAAADAAAA"
    "BwAAABIAAAAAAAAAAMdbegiVqI16SXciCZ5gNSaOpigJMz4VxCsCuwNTnpfiAAAAAQ=="
)
ENTRY_XDR: Final = (
    "AAAABgAAAAAAAAABn3ms7zsXhUnZ7e4xdxHEB4ZYKfWKnZhvApRpfBI61h0AAAAQAAAAAQAAAAQAAAAPAAAAB0NPTlRSSUIAAAAABQAAAAAAAAABAAAA"
    "AwAAAAcAAAASAAAAAAAAAADHW3oIlaiNekl3IgmeYDUmjqYoCTM+FcQrArsDU56X4gAAAAEAAAAAAAAAAQ=="
)
PAYOUT_KEY: Final = (
    "AAAABgAAAAGfeazvOxeFSdnt7jF3EcQHhlgp9YqdmG8ClGl8EjrWHQAAABAAAAABAAAAAwAAAA8AAAAGUEFZT1VUAAAAAAAFAAAAAAAAAAEAAAASAAAA"
    "AAAAAADHW3oIlaiNekl3IgmeYDUmjqYoCTM+FcQrArsDU56X4gAAAAE="
)
GROUP_NUMBER, ROUND, MEMBERS = "1", 7, 7
AMOUNT, POOL = "50000000", "350000000"
CREATED, BEGAN, ENDS, GRACE_ENDS, PAID = (
    "2026-11-08T03:10:13Z", "2026-11-08T04:01:53Z", "2026-11-08T04:11:53Z", "2026-11-08T04:13:53Z",
    "2026-11-08T04:13:53Z",
)  # fmt: skip

EXAMPLES: Final[dict[str, Any]] = {
    # who and where
    "address": WALLET, "admin": WALLET, "claimant": WALLET, "creator": WALLET, "defaulter": WALLET, "member": WALLET,
    "next_recipient": WALLET, "recipient": WALLET, "requester": WALLET, "user": WALLET, "voter": WALLET,
    "contract": CONTRACT, "token_address": NATIVE, "network_passphrase": NETWORK,
    "Solvency.token_address": NATIVE,
    # which
    "group": GROUP_NUMBER, "Group.id": GROUP_NUMBER, "GroupDetail.id": GROUP_NUMBER,
    "id": f"{GROUP_NUMBER}-{ROUND}-{WALLET}", "Event.id": "0000000300647714816-0000000001",
    "round": ROUND, "current_round": ROUND, "payout_round": ROUND, "position": 6, "payout_index": 6,
    "tx_hash": HASH, "hash": HASH, "ledger": 70, "entry_key": ENTRY_KEY, "Payout.entry_key": PAYOUT_KEY,
    "key": ENTRY_KEY, "xdr": ENTRY_XDR,
    # how much
    "amount": AMOUNT, "contribution_amount": AMOUNT, "amount_due": AMOUNT, "amount_overdue": "0", "paid": POOL,
    "received": POOL, "refunded": "0", "collected_amount": POOL, "payout_amount": POOL, "Payout.amount": POOL,
    "Round.amount": POOL, "decimal_amount": "5.0000000", "balance": "8334000000", "owed": "16664000000",
    "booked_premiums": "8302500000", "unexplained": "27500000", "RefundedData.reason": 1, "refund_per_member": AMOUNT,
    "total": POOL,
    "penalty": "0", "base": POOL, "bonus": "0", "symbol": "XLM", "decimals": 7, "verified": True,
    # terms
    "cycle_duration": "600", "frequency": 1, "grace_period": "120", "penalty_rate": 5, "insurance_rate_bps": 100,
    "max_members": MEMBERS, "member_count": MEMBERS, "contributions_received": MEMBERS,
    "name": "Kikundi cha Wanawake", "group_name": "Kikundi cha Wanawake", "EntryPoint.name": "Ajo",
    "description": "We save for the rainy season.", "rules": "Pay before Friday.",
    # whether
    "is_active": True, "has_contributed": True, "has_received_payout": False, "is_overdue": False, "executed": False,
    "approved": False, "in_favor": True, "votes_for": 4, "votes_against": 1, "paused": False, "stale": False,
    # when
    "created_at": PAID, "Group.created_at": CREATED, "GroupDetail.created_at": CREATED, "joined_at": CREATED,
    "round_started_at": BEGAN, "starts_at": BEGAN, "round_ends_at": ENDS, "due_at": ENDS,
    "grace_ends_at": GRACE_ENDS, "payout_at": GRACE_ENDS, "paid_at": PAID, "voting_deadline": "2026-11-10T04:01:53Z",
    "started_at": PAID, "finished_at": "2026-11-08T04:13:54Z", "found_at": PAID, "recovered_at": PAID,
    "RefundRequestedData.voting_deadline": "1794283313", "start": "1794109913", "cycle": ROUND,
    # how far
    "modified_ledger": 70, "last_modified_ledger": 70, "read_ledger": 317, "latest_ledger": 317, "chain_ledger": 317,
    "live_until_ledger": 2073669, "code_live_until_ledger": 2073601, "checked_ledger": 310, "from_ledger": 12,
    "to_ledger": 40, "lag_seconds": 3, "undated": 0,
    # the service
    "version": "0.9.0", "documentation": "http://127.0.0.1:8000/api/v1/docs/guide/", "protocol": 23,
    "links": {"group": "http://127.0.0.1:8000/api/v1/groups/{group_id}/"}, "group_count": "24",
    "wasm_hash": "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4", "short_tokens": 0,
    "old": "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4",
    "new": "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437",
    "halted": None, "drift_total": 0, "drift": {"state": 0, "metadata": 0, "history": 0}, "undecoded": 0,
    "why": "no node that was asked has these ledgers' events", "counts": {"events": 12, "groups": 3},
    "Wallet.groups": 3, "created_groups": 1, "Wallet.contributions": 7, "Wallet.payouts": 1, "Wallet.refunds": 0,
    "groups": 1, "next": NEXT, "previous": None,
    "OtherEvent.type": "of_a_later_version",
    **WRITING,
    # problems
    "Problem.type": "http://127.0.0.1:8000/api/v1/docs/errors/#invalid_parameters", "title": "Bad Request",
    "Problem.status": 400, "detail": "search: From 3 to 50 characters are expected.",
    "errors": {"search": ["From 3 to 50 characters are expected."]},
}  # fmt: skip

PROBLEM_TEXTS: Final = {
    "type": "The address of the paragraph of the guide that explains the problem.",
    "title": "The HTTP status's phrase.",
    "status": "The HTTP status.",
    "detail": "One sentence for a person: what is wrong, and what to change.",
}
TEXTS: Final[dict[str, str]] = {
    "results": "The rows of this page.",
    "next": "The address of the next page, with every parameter; null on the last one.",
    "previous": "The address of the page before; null on the first one.",
    **{f"{form}.{member}": text for form in ("Problem", "Conflict") for member, text in PROBLEM_TEXTS.items()},
    "Problem.code": "The stable word to branch on.",
    "Problem.errors": "With `invalid_parameters`: messages by parameter or field.",
}


def describe_fields(components: dict[str, Any]) -> None:
    """Give each plain field of each component its text and its example, in place."""
    for name, component in components.items():
        _describe(name, component)


def compose_examples(components: dict[str, Any]) -> None:
    """Give each field whose form is a component, or a choice, its example, in place."""
    for component in components.values():
        _add_composed(component, components)


def _describe(name: str, schema: dict[str, Any]) -> None:
    for field, described in schema.get("properties", {}).items():
        text = TEXTS.get(f"{name}.{field}") or (None if described.get("description") else TEXTS.get(field))
        if text:
            described["description"] = text
        for key in (f"{name}.{field}", field):
            if key in EXAMPLES and "example" not in described and (key != field or not _refers(described)):
                described["example"] = EXAMPLES[key]
                break
        if described.get("type") == "array":
            _describe(f"{name}.{field}", described["items"])


def _refers(schema: dict[str, Any]) -> bool:
    """Return whether a field's form is a component of its own, or a list of such."""
    return any(key in schema for key in ("$ref", "allOf", "oneOf", "anyOf")) or schema.get("type") == "array"


def _add_composed(schema: dict[str, Any], components: dict[str, Any]) -> None:
    for described in schema.get("properties", {}).values():
        if "example" not in described and (_refers(described) or "enum" in described):
            described["example"] = example_of(described, components)


def example_of(schema: dict[str, Any], components: dict[str, Any]) -> Any:
    """Return an example of a form: its own, its first choice, or one made of its fields'."""
    if "example" in schema:
        return schema["example"]
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components)
    for combined in ("allOf", "oneOf", "anyOf"):
        if combined in schema:
            return example_of(schema[combined][0], components)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [example_of(schema["items"], components)]
    return {field: example_of(each, components) for field, each in schema.get("properties", {}).items()}
