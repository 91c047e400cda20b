"""The bodies of build and prepare: what clients ask for, checked for all that needs no state, and what they get."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from drf_spectacular.drainage import set_override
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ajo.api.fields import AddressField, AmountField, TimeField, U32Field, U64StringField
from ajo.api.params import ACCOUNT_SCHEMA, ADDRESS_SCHEMA, HASH_SCHEMA, one_of, parse_address, parse_hash
from ajo.soroban.contract.functions import WRITES
from ajo.soroban.fields import U32_MAX
from ajo.transactions.arguments import MAX_EXACT_NUMBER, parse_args
from ajo.transactions.authorization import KINDS
from ajo.transactions.build import MIN_AUTH_LEDGERS, VALID_FOR, BuildRequest
from ajo.transactions.calls import make_call
from ajo.transactions.fees import MIN_INCLUSION_FEE
from ajo.transactions.forms import MAX_XDR, MIN_XDR, ClosedSerializer
from ajo.transactions.prepare import Signature
from ajo.transactions.warnings import WarningCode

MAX_SEQUENCE: Final = 2**63 - 1
SOURCE: Final = "The account (G…) that pays the fee and whose sequence number is used."
CREDENTIALS: Final = "How an entry names its signer: `address_v2` (CAP-71) binds the address into what is signed."
_DIGITS: Final = re.compile(r"[0-9]{1,19}", re.ASCII)


class WordField(serializers.ChoiceField):
    """One of a few words; the message about any other names them."""

    def __init__(self, *, choices: list[str], **kwargs: Any) -> None:
        super().__init__(choices=choices, error_messages={"invalid_choice": one_of(choices)}, **kwargs)


class WholeField(serializers.Field):  # type: ignore[type-arg]  # generic only in the stubs
    """A whole number in a string of digits, or in a JSON number that every client holds exactly."""

    def __init__(self, *, least: int, most: Callable[[], int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._least, self._most = least, most
        number = {"type": "integer", "minimum": least, "maximum": MAX_EXACT_NUMBER}
        set_override(self, "field", {"oneOf": [{"type": "string", "pattern": f"^{_DIGITS.pattern}$"}, number]})

    def to_internal_value(self, data: Any) -> int:
        most = self._most()
        is_exact = isinstance(data, int) and not isinstance(data, bool) and abs(data) <= MAX_EXACT_NUMBER
        number: int | None = data if is_exact else None
        if isinstance(data, str) and _DIGITS.fullmatch(data):
            number = int(data)
        if number is None or not self._least <= number <= most:
            raise serializers.ValidationError(f"A whole number from {self._least} to {most} is expected.")
        return number

    def to_representation(self, value: int) -> str:
        return str(value)


@extend_schema_field(ACCOUNT_SCHEMA)
class AccountField(serializers.CharField):
    """The address of an account: a contract has no sequence number, and nobody could pay its fee."""

    def to_internal_value(self, data: Any) -> str:
        address = _parsed(parse_address, super().to_internal_value(data))
        if not address.startswith("G"):
            raise serializers.ValidationError(
                "A contract (C…) cannot be the source. Name an account (G…) that pays; the contract signs its entry."
            )
        return address


@extend_schema_field(ADDRESS_SCHEMA)
class MemberField(serializers.CharField):
    """The address of an account or a contract."""

    def to_internal_value(self, data: Any) -> str:
        return _parsed(parse_address, super().to_internal_value(data))


@extend_schema_field(HASH_SCHEMA)
class HashField(serializers.CharField):
    """A transaction's hash, in hex."""

    def to_internal_value(self, data: Any) -> str:
        return _parsed(parse_hash, super().to_internal_value(data))


@extend_schema_field({"type": "string", "pattern": "^([0-9a-fA-F]{128}|[A-Za-z0-9+/]{86}==)$"})
class SignatureField(serializers.CharField):
    """The 64 bytes of an ed25519 signature."""

    def to_internal_value(self, data: Any) -> bytes:  # type: ignore[override]  # bytes are what it stands for
        text = super().to_internal_value(data)
        try:
            raw = bytes.fromhex(text) if len(text) == 128 else base64.b64decode(text, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != 64:
            raise serializers.ValidationError("A signature of 64 bytes is expected, in base64 or hex.")
        return raw


def _parsed(parse: Callable[[str], str], text: str) -> str:
    try:
        return parse(text)
    except DjangoValidationError as failure:
        raise serializers.ValidationError(str(failure.message)) from None


class BuildSerializer(ClosedSerializer):
    """A call of one of the contract's functions that write, and how its transaction is to be."""

    function = WordField(choices=list(WRITES), help_text="The contract's function.")
    # rest_framework's metaclass takes the field out of the class, where `source` is another thing
    source = AccountField(help_text=SOURCE)  # type: ignore[assignment]
    args = serializers.DictField(
        required=False, help_text="Its arguments by name, as the contract has them; u64 and i128 as strings."
    )
    valid_for = serializers.IntegerField(
        default=VALID_FOR,
        min_value=60,
        max_value=3600,
        help_text="Seconds that it can apply for, from the newest ledger on.",
    )
    sequence = WholeField(
        least=1,
        most=lambda: MAX_SEQUENCE,
        required=False,
        help_text="The sequence number to use. Default: the account's next one.",
    )
    replaces = HashField(required=False, help_text="A transaction whose sequence number to use, with a higher bid.")
    inclusion_fee = WholeField(
        least=MIN_INCLUSION_FEE,
        most=lambda: settings.MAX_INCLUSION_FEE,
        required=False,
        help_text="Stroops offered for the place in a ledger. Default: what the last ledgers took.",
    )
    credentials = WordField(choices=list(KINDS), default="address", help_text=CREDENTIALS)
    auth_valid_for = serializers.IntegerField(
        required=False,
        min_value=MIN_AUTH_LEDGERS,
        max_value=U32_MAX,
        help_text="Ledgers that authorization entries are valid for; at most as many as an entry lives in the network.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        args = parse_args(attrs["function"], attrs.pop("args", {}))
        call = make_call(attrs.pop("function"), args)
        return {**attrs, "call": call}

    def request(self) -> BuildRequest:
        """Return what is asked for. The body has been found valid."""
        return BuildRequest(**self.validated_data)


class SignatureSerializer(ClosedSerializer):
    """An ed25519 signature over the SHA-256 of an entry's preimage."""

    address = MemberField(help_text="Whose entry it signs.")
    public_key = AccountField(help_text="The key that signed, as G….")
    signature = SignatureField(max_length=128, help_text="64 bytes, in base64 or hex.")

    def validate(self, attrs: dict[str, Any]) -> Signature:
        return Signature(**attrs)


class PrepareSerializer(ClosedSerializer):
    """A built transaction, and either its signed entries or the signatures for them."""

    described: ClassVar[dict[str, Any]] = {"oneOf": [{"required": ["auth"]}, {"required": ["signatures"]}]}

    xdr = serializers.CharField(min_length=MIN_XDR, max_length=MAX_XDR, help_text="The transaction as it was built.")
    auth = serializers.ListField(
        child=serializers.CharField(min_length=MIN_XDR, max_length=MAX_XDR),
        required=False, min_length=1, max_length=20, help_text="Signed SorobanAuthorizationEntry values, base64.",
    )  # fmt: skip
    signatures = serializers.ListField(
        child=SignatureSerializer(), required=False, min_length=1, max_length=20,
        help_text="Instead of `auth`: the signatures over the preimages of the transaction's own entries.",
    )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("auth" in attrs) == ("signatures" in attrs):
            raise serializers.ValidationError("Either auth or signatures is expected.")
        return attrs


class OfferSerializer(serializers.Serializer[Any]):
    """The most that the transaction can cost, in stroops."""

    inclusion = AmountField(help_text="Stroops offered for the place in a ledger. All pay its lowest price.")
    resource = AmountField(help_text="Stroops for what the call uses, with a margin; what is not used comes back.")
    max = AmountField(help_text="Both together: the most that it can cost.")


class AuthEntrySerializer(serializers.Serializer[Any]):
    """An authorization entry that a wallet has to sign: the SHA-256 of `preimage`, or the entry itself."""

    address = AddressField(help_text="Who has to sign it.")
    credentials = serializers.ChoiceField(choices=list(KINDS), read_only=True, help_text=CREDENTIALS)
    xdr = serializers.CharField(read_only=True, help_text="The SorobanAuthorizationEntry, unsigned, base64.")
    preimage = serializers.CharField(
        read_only=True, help_text="The HashIDPreimage, base64: a wallet signs its SHA-256 (SEP-43's signAuthEntry)."
    )
    nonce = AmountField(help_text="What makes the entry count once; an i64.")
    expires_ledger = U32Field(help_text="The last ledger in which the signature counts.")
    invocation = serializers.DictField(
        read_only=True, help_text="What is authorized, decoded: contract, function, arguments, and calls below it."
    )


class WarningSerializer(serializers.Serializer[Any]):
    """What the client should know before the transaction is signed."""

    code = serializers.ChoiceField(
        choices=[each.value for each in WarningCode], read_only=True, help_text="The stable word to branch on."
    )
    detail = serializers.CharField(read_only=True, help_text="One sentence for a person.")


class BuiltSerializer(serializers.Serializer[Any]):
    """An unsigned transaction, simulated."""

    xdr = serializers.CharField(read_only=True, help_text="The TransactionEnvelope without a signature, base64.")
    hash = serializers.CharField(
        read_only=True, help_text="The transaction's hash, hex: its identity, which signatures do not change."
    )
    uri = serializers.CharField(
        read_only=True, help_text="A SEP-7 link: a wallet opens it, signs, and posts the result to `transactions/`."
    )
    network_passphrase = serializers.CharField(read_only=True, help_text="The network that it is signed for.")
    function = serializers.ChoiceField(choices=list(WRITES), read_only=True, help_text="The contract's function.")
    group = U64StringField(allow_null=True, help_text="The group that it is about; null for one that is about none.")
    source = AddressField(help_text=SOURCE)  # type: ignore[assignment]  # as in BuildSerializer
    sequence = U64StringField(help_text="Its sequence number.")
    valid_until = TimeField(help_text="It can apply in ledgers that close until then.")
    fee = OfferSerializer(read_only=True, help_text="The most that it can cost.")
    result = serializers.JSONField(read_only=True, allow_null=True, help_text="What the simulation returned, decoded.")
    auth_entries = AuthEntrySerializer(
        many=True, read_only=True, help_text="What others than the source have to sign; empty if nobody has to."
    )
    warnings = WarningSerializer(many=True, read_only=True, help_text="What its user should know before signing.")
