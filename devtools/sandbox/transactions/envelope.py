"""A transaction's envelope, read once: what is asked of it everywhere else has a name here."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from stellar_sdk import StrKey
from stellar_sdk.xdr import (
    DecoratedSignature,
    EnvelopeType,
    FeeBumpTransactionEnvelope,
    InvokeHostFunctionOp,
    MuxedAccount,
    Operation,
    SorobanTransactionData,
    Transaction,
    TransactionEnvelope,
)

from ajo.soroban.contract import XDR_FAULTS
from devtools.sandbox.present import present

MAX_SIZE: Final = 1024 * 1024  # bytes that the decoder takes
TYPE_SIZE: Final = 4  # bytes of an envelope that say of which kind it is


class BadEnvelope(ValueError):
    """Not the XDR of a transaction envelope, in base64 and nothing else."""


def account_of(source: MuxedAccount) -> str:
    """G… of an account, muxed or not."""
    raw = source.med25519.ed25519 if source.med25519 is not None else source.ed25519
    return StrKey.encode_ed25519_public_key(present(raw).uint256)


@dataclass(frozen=True)
class Envelope:
    """A transaction with its signatures. `bump` wraps it where somebody else pays.

    `hash` is then the wrapper's. `size`: bytes of the transaction and its signatures, without a wrapper.
    """

    xdr: TransactionEnvelope
    tx: Transaction
    signatures: list[DecoratedSignature]
    bump: FeeBumpTransactionEnvelope | None
    size: int
    hash: bytes
    inner_hash: bytes

    @property
    def source(self) -> str:
        return account_of(self.tx.source_account)

    @property
    def payer(self) -> str:
        return self.source if self.bump is None else account_of(self.bump.tx.fee_source)

    @property
    def sequence(self) -> int:
        return int(self.tx.seq_num.sequence_number.int64)

    @property
    def fee(self) -> int:
        """The most that the payer gives, in stroops."""
        return int(self.tx.fee.uint32 if self.bump is None else self.bump.tx.fee.int64)

    @property
    def soroban(self) -> SorobanTransactionData | None:
        return self.tx.ext.soroban_data

    @property
    def resource_fee(self) -> int:
        return 0 if self.soroban is None else int(self.soroban.resource_fee.int64)

    @property
    def operation(self) -> Operation:
        return self.tx.operations[0]

    @property
    def operation_source(self) -> str:
        source = self.operation.source_account
        return self.source if source is None else account_of(source)

    @property
    def invocation(self) -> InvokeHostFunctionOp | None:
        return self.operation.body.invoke_host_function_op

    @property
    def key(self) -> str:
        return self.hash.hex()


def parse(text: str, network_id: bytes) -> Envelope:
    """Raises BadEnvelope."""
    try:
        raw = base64.b64decode(text, validate=True)
        if len(raw) > MAX_SIZE:
            raise BadEnvelope("too long")
        found = TransactionEnvelope.from_xdr_bytes(raw)
        if found.to_xdr_bytes() != raw:
            raise BadEnvelope("more than an envelope")
        return _envelope(found, network_id)
    except (*XDR_FAULTS, binascii.Error) as error:
        raise BadEnvelope(str(error)) from error


def _envelope(found: TransactionEnvelope, network_id: bytes) -> Envelope:
    inner = found.v1
    if found.fee_bump is not None:
        inner = found.fee_bump.tx.inner_tx.v1
    if inner is None:
        raise BadEnvelope("an envelope of an old kind")
    inner_hash = _hash(EnvelopeType.ENVELOPE_TYPE_TX, inner.tx.to_xdr_bytes(), network_id)
    outer_hash = inner_hash
    size = TYPE_SIZE + len(inner.to_xdr_bytes())
    if found.fee_bump is not None:
        raw = found.fee_bump.tx.to_xdr_bytes()
        outer_hash = _hash(EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP, raw, network_id)
    return Envelope(found, inner.tx, inner.signatures, found.fee_bump, size, outer_hash, inner_hash)


def _hash(kind: EnvelopeType, transaction: bytes, network_id: bytes) -> bytes:
    return hashlib.sha256(network_id + kind.value.to_bytes(4, "big") + transaction).digest()
