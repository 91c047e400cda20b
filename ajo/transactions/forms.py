"""Forms that bodies of building and of submitting share."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from ajo.api.fields import AddressField, U32Field

MAX_XDR: Final = 200_000  # characters: a transaction is 132,096 bytes at most


class ClosedSerializer(serializers.Serializer[Any]):
    """A body with these fields and no others: a misspelt one would be passed over in silence."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = [str(name)[:100] for name in data if name not in self.fields] if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({name: ["Unknown field."] for name in unknown})
        return super().to_internal_value(data)


class ContractErrorSerializer(serializers.Serializer[Any]):
    """Which contract refused, and why. `code` is null for a trap, `name` unless the contract is ours."""

    contract = AddressField(allow_null=True)
    code = U32Field(allow_null=True)
    name = serializers.CharField(read_only=True, allow_null=True)
