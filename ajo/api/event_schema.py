"""Describe events to OpenAPI as a union by `type`: each type with the fields of its data (docs/chain.md §1.2)."""

from __future__ import annotations

from typing import Any, Final

from ajo.api.fields import I128_SCHEMA
from ajo.api.params import ADDRESS_SCHEMA, HASH_SCHEMA, U32_SCHEMA
from ajo.soroban.contract import codec
from ajo.soroban.contract import events as on_chain

FORMS: Final[dict[str, dict[str, Any]]] = {
    codec.U64.name: {"type": "string", "pattern": "^[0-9]+$"},
    codec.I128.name: {key: I128_SCHEMA[key] for key in ("type", "pattern")},
    codec.U32.name: U32_SCHEMA,
    codec.BOOL.name: {"type": "boolean"},
    codec.ADDRESS.name: ADDRESS_SCHEMA,
}
KINDS: Final[dict[type[on_chain.Event], str]] = {
    on_chain.Created: "A group was made.",
    on_chain.Joined: "A wallet joined a group.",
    on_chain.Contribution: "A member paid a round.",
    on_chain.Payout: "A round's pool was paid out.",
    on_chain.Completed: "The last round was paid out: the group is over.",
    on_chain.Cancelled: "The creator cancelled the group; a `refund` for each who had paid the round stands beside it.",
    on_chain.RefundRequested: "A member asked for a vote on a refund.",
    on_chain.RefundVoted: "A member voted on the refund.",
    on_chain.Refunded: "A member got back what it had paid this round.",
    on_chain.EmergencyRefunded: "The contract's admin refunded a round; a `refund` for each stands beside it.",
    on_chain.CycleStarted: "A round began. Older contracts announced it.",
    on_chain.LateContribution: "A payment was late. Declared by the contract, emitted by none so far.",
    on_chain.PenaltyDistributed: "Penalties were handed on. Declared by the contract, emitted by none so far.",
    on_chain.Upgraded: "The contract's code was replaced; of no group.",
}
TEXTS: Final = {
    "creator": "The wallet that made the group.",
    "contribution_amount": "What each member pays a round, in the token's smallest unit.",
    "max_members": "So many can join.",
    "member": "The member.",
    "amount": "In the token's smallest unit.",
    "recipient": "The member who was paid.",
    "member_count": "The group's members.",
    "refund_per_member": "What each who had paid the round got back.",
    "requester": "The member who asked.",
    "voting_deadline": "Until when members vote, Unix time in seconds.",
    "voter": "The member who voted.",
    "in_favor": "Whether for the refund.",
    "reason": "0: the creator cancelled, 1: by vote, 2: emergency.",
    "admin": "The contract's admin.",
    "total": "All that was refunded, in the token's smallest unit.",
    "start": "When the round began, Unix time in seconds.",
    "penalty": "The penalty, in the token's smallest unit.",
    "base": "The pool without penalties, in the token's smallest unit.",
    "bonus": "The penalties, in the token's smallest unit.",
    "old": "The hash of the code before, hex.",
    "new": "The hash of the code since, hex.",
}


def add_event_union(components: dict[str, Any]) -> None:
    """Replace the component Event by a union of one component for each type, in place."""
    plain = components["Event"]
    names = []
    for kind, text in KINDS.items():
        name = f"{kind.__name__}Event"
        components[f"{kind.__name__}Data"] = _data_of(kind)
        components[name] = _variant(plain, text, {"type": "string", "enum": [kind.name]}, f"{kind.__name__}Data")
        names.append(name)
    other = {"type": "string", "not": {"enum": [kind.name for kind in KINDS]}}
    components["OtherEvent"] = _variant(plain, "An event of a type that this version does not know.", other, None)
    references = [{"$ref": f"#/components/schemas/{name}"} for name in (*names, "OtherEvent")]
    components["Event"] = {"description": plain["description"], "oneOf": references}


def _variant(plain: dict[str, Any], text: str, type_schema: dict[str, Any], data: str | None) -> dict[str, Any]:
    properties = dict(plain["properties"])
    properties["type"] = type_schema | {"description": properties["type"]["description"], "readOnly": True}
    about = {"nullable": True, "readOnly": True, "description": properties["data"]["description"]}
    form = {"allOf": [{"$ref": f"#/components/schemas/{data}"}]} if data else {"type": "object", "example": {}}
    properties["data"] = form | about
    return plain | {"description": text, "properties": properties}


def _data_of(kind: type[on_chain.Event]) -> dict[str, Any]:
    fields = {name: each for name, each in kind.codecs.items() if name not in ("group_id", "cycle")}
    properties = {
        name: FORMS.get(each.name, HASH_SCHEMA) | {"description": TEXTS[name]} for name, each in fields.items()
    }
    described: dict[str, Any] = {"type": "object", "description": f"Of `{kind.name}`.", "properties": properties}
    return described | ({"required": list(properties)} if properties else {})
