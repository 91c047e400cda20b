"""`GET contract/`: the contract's own entry as last read, and what it holds of each token against what it owes."""

from __future__ import annotations

from typing import Any

from django.db.models import Max, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ajo.api.fields import AddressField, AmountField, U32Field, U64StringField
from ajo.api.views import ReadViewSet
from ajo.cache import Absent
from ajo.soroban.models import Checkpoint, RpcNode
from groups.models import Token
from groups.schedule import readable_token
from groups.serializers import TokenSerializer

MAX_TOKENS = 50  # those that fall short first; contract/tokens/ lists all
SOLVENT, SHORT_OF_PREMIUMS, SHORT, UNKNOWN = STATES = ("solvent", "short_of_premiums", "short", "unknown")


class SolvencySerializer(serializers.Serializer[Token]):
    """What the contract holds of one token, and owes in it, both at one ledger."""

    token_address = AddressField(source="address", help_text="The token's contract.")
    token = serializers.SerializerMethodField(help_text="The token's own description, if it can be read.")
    state = serializers.SerializerMethodField(
        help_text="`solvent`: it holds what it owes; `short_of_premiums`: less, by premiums that were booked and "
        "collected from nobody; `short`: less by more than that; `unknown`: the token's entry has another form."
    )
    balance = AmountField(allow_null=True, help_text="Held, in the smallest unit; null if it cannot be read.")
    owed = AmountField(help_text="Rounds collected and not paid out yet, and the insurance pool's book.")
    booked_premiums = AmountField(help_text="Premiums booked in the pool and collected from nobody.")
    unexplained = serializers.SerializerMethodField(
        help_text="Owed beyond what is held, booked premiums aside; 0 where nothing is missing, null if not known."
    )
    checked_ledger = U32Field(help_text="The ledger at which these were found to be so.")

    @extend_schema_field(TokenSerializer(allow_null=True))
    def get_token(self, token: Token) -> dict[str, Any] | None:
        readable = readable_token(token)
        return TokenSerializer(readable).data if readable else None

    @extend_schema_field(serializers.ChoiceField(choices=[(each, each) for each in STATES]))
    def get_state(self, token: Token) -> str:
        if token.balance is None:
            return UNKNOWN
        if token.balance >= token.owed:
            return SOLVENT
        return SHORT_OF_PREMIUMS if token.balance >= token.owed - token.booked_premiums else SHORT

    @extend_schema_field(AmountField(allow_null=True))
    def get_unexplained(self, token: Token) -> str | None:
        if token.balance is None:
            return None
        return str(max(0, int(token.owed - token.booked_premiums - token.balance)))


class ContractSerializer(serializers.Serializer[Any]):
    """The contract that is followed, as its own ledger entry was last read."""

    contract = AddressField(help_text="Its address.")
    network_passphrase = serializers.CharField(read_only=True, help_text="The network that it is on.")
    protocol = U32Field(allow_null=True, help_text="The network's protocol, as a node last said; null if none has yet.")
    admin = AddressField(allow_null=True, help_text="Who may pause, upgrade and refund; null before it is initialized.")
    paused = serializers.BooleanField(read_only=True, help_text="Whether it refuses new business.")
    wasm_hash = serializers.CharField(
        read_only=True, allow_null=True, help_text="The hash of its code, hex; another one after an upgrade."
    )
    group_count = U64StringField(help_text="Groups that it has made: ids run from 1 to this.")
    read_ledger = U32Field(help_text="The ledger at which its entry was read; 0: not yet.")
    live_until_ledger = U32Field(
        allow_null=True,
        help_text="When its entry is archived unless somebody extends it; 0: archived, null: not known.",
    )
    code_live_until_ledger = U32Field(allow_null=True, help_text="Likewise its code.")
    short_tokens = U32Field(help_text="Tokens whose state is `short`.")
    tokens = SolvencySerializer(
        many=True,
        read_only=True,
        help_text=f"Those that fall short first, {MAX_TOKENS} at most; contract/tokens/ has all",
    )


class ContractViewSet(ReadViewSet):
    queryset: QuerySet[Checkpoint] = Checkpoint.objects.all()
    serializer_class = ContractSerializer
    pagination_class = None
    edge_cacheable = False

    @extend_schema(
        summary="The contract and its solvency",
        description="Who administers the contract, whether it is paused, which code it runs, until when its entries "
        "live, and what it holds of each token against what it owes. 404 before the first sync.",
    )
    def retrieve(self, request: Request) -> Response:
        checkpoint = Checkpoint.objects.current()
        if checkpoint is None:
            raise Absent("The contract has not been read yet.")
        found = {
            "contract": checkpoint.contract,
            "network_passphrase": checkpoint.network_passphrase,
            "protocol": RpcNode.objects.aggregate(newest=Max("protocol_version"))["newest"],
            "admin": checkpoint.admin,
            "paused": checkpoint.paused,
            "wasm_hash": checkpoint.wasm_hash or None,
            "group_count": checkpoint.group_count,
            "read_ledger": checkpoint.instance_ledger,
            "live_until_ledger": checkpoint.live_until_ledger,
            "code_live_until_ledger": checkpoint.code_live_until_ledger,
            "short_tokens": Token.objects.short().count(),
            "tokens": _first_tokens(),
        }
        return Response(self.get_serializer(found).data)


def _first_tokens() -> list[Token]:
    """Return the first tokens that were checked, those that fall short before the others."""
    found: dict[int, Token] = {}
    for some in (Token.objects.short(), Token.objects.short_of_premiums(), Token.objects.filter(checked_ledger__gt=0)):
        found |= {token.pk: token for token in some.order_by("id")[:MAX_TOKENS] if token.pk not in found}
    return list(found.values())[:MAX_TOKENS]


@extend_schema_view(
    list=extend_schema(
        summary="What the contract holds of each token, newest token first",
        description="Every token that a group collects, with balance and debt as a deep sweep last found them; "
        "`checked_ledger` is 0 and `state` unknown until one has.",
    )
)
class ContractTokenViewSet(ReadViewSet):
    queryset = Token.objects.order_by("-id")
    serializer_class = SolvencySerializer
    edge_cacheable = False
