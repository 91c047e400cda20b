"""Forms that bodies of building and of submitting share, the 409 of both among them."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from drf_spectacular.extensions import OpenApiSerializerExtension
from rest_framework import serializers

from ajo.api.fields import AddressField, U32Field
from ajo.transactions.codes import CONFLICTS, SENTENCES
from ajo.transactions.limits import LIMIT_NAMES

MIN_XDR: Final = 4  # characters: base64 of anything
MAX_XDR: Final = 200_000  # characters: a transaction is 132,096 bytes at most


class ClosedSerializer(serializers.Serializer[Any]):
    """A body with these fields and no others: a misspelt one would be passed over in silence."""

    described: ClassVar[dict[str, Any]] = {}  # what OpenAPI has to be told beside the fields

    def to_internal_value(self, data: Any) -> Any:
        unknown = [str(name)[:100] for name in data if name not in self.fields] if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(self.fields)
            first = {unknown[0]: [f"Unknown field. Known are {known}."]}  # once: a body may hold many unknown ones
            raise serializers.ValidationError({name: ["Unknown field."] for name in unknown} | first)
        return super().to_internal_value(data)


class ClosedDescription(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describes that other fields are refused."""

    target_class = ClosedSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        form: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**form, "additionalProperties": False, **self.target.described}


class ContractErrorSerializer(serializers.Serializer[Any]):
    """Which contract refused, and why. `code` is null for a trap, `name` unless the contract is ours."""

    contract = AddressField(allow_null=True, help_text="The contract that refused; null where no node says which.")
    code = U32Field(allow_null=True, help_text="Its number for the error; null for a trap, as on an overflow.")
    name = serializers.CharField(
        read_only=True, allow_null=True, help_text="The savings contract's name for it, or `Trap`; null for others'."
    )


class HostErrorSerializer(serializers.Serializer[Any]):
    """What the network's host refused by itself."""

    type = serializers.CharField(read_only=True, help_text="The host's kind of error.")
    code = serializers.CharField(read_only=True, help_text="The host's code for it.")


class LimitSerializer(serializers.Serializer[Any]):
    """Which limit is exceeded, and by how much."""

    name = serializers.ChoiceField(choices=list(LIMIT_NAMES), read_only=True, help_text="Which limit it is.")
    used = serializers.IntegerField(read_only=True, help_text="What the transaction would need.")
    allowed = serializers.IntegerField(read_only=True, help_text="The most that one may need.")


class ConflictSerializer(serializers.Serializer[Any]):
    """Why the chain's state does not allow it now. Beside `code` stands what belongs to it, and nothing else."""

    type = serializers.URLField(read_only=True)
    title = serializers.CharField(read_only=True)
    status = serializers.IntegerField(read_only=True)
    detail = serializers.CharField(read_only=True)
    code = serializers.ChoiceField(
        choices=[(code.value, SENTENCES[code]) for code in CONFLICTS],
        read_only=True,
        help_text="The stable word to branch on.",
    )
    contract_error = ContractErrorSerializer(required=False, help_text="With `contract_error`: who refused, and why.")
    host_error = HostErrorSerializer(required=False, help_text="What the host said, where it refused by itself.")
    limit = LimitSerializer(required=False, help_text="With `limits_exceeded`: which, and how much.")
    account = serializers.CharField(
        required=False, help_text="With `no_account` of what was posted: the account that is missing."
    )
    hash = serializers.CharField(
        required=False, help_text="With `source_busy`: the pending transaction that keeps the source busy, hex."
    )
