"""What a call did to the ledger, measured: bytes read and written, rent, and the footprint in the host's order."""

from dataclasses import dataclass

from stellar_sdk.xdr import (
    Int64,
    LedgerFootprint,
    LedgerKey,
    SorobanResources,
    SorobanResourcesExtV0,
    SorobanTransactionData,
    SorobanTransactionDataExt,
    Uint32,
)

from devtools.sandbox.ledger.fees import Rent, entry_size, rent_size
from devtools.sandbox.ledger.keys import has_lifetime, host_order
from devtools.sandbox.machine.storage import Storage


@dataclass(frozen=True, slots=True)
class Effects:
    """`restored`: places in `read_write` of the archived entries that were brought back."""

    read_only: list[bytes]
    read_write: list[bytes]
    restored: list[int]
    read_bytes: int
    write_bytes: int
    rents: list[Rent]

    @property
    def read_entries(self) -> int:
        """Those that are read from disk: contracts' live entries are in memory."""
        return sum(not has_lifetime(key) for key in (*self.read_only, *self.read_write)) + len(self.restored)


def measure(storage: Storage) -> Effects:
    """Of a call that succeeded."""
    keys = storage.footprint.keys
    read_only = sorted((key for key, write in keys.items() if not write), key=host_order)
    read_write = sorted((key for key, write in keys.items() if write), key=host_order)
    read_bytes = write_bytes = 0
    rents = []
    for key in (*read_only, *read_write):
        before, after = storage.before(key), storage.after(key)
        if before is not None and (not has_lifetime(key) or key in storage.restored):
            read_bytes += entry_size(before.data)
        if after is not None and keys[key]:
            write_bytes += entry_size(after)
        if (rent := _rent(storage, key)) is not None:
            rents.append(rent)
    restored = [place for place, key in enumerate(read_write) if key in storage.restored]
    return Effects(read_only, read_write, restored, read_bytes, write_bytes, rents)


def _rent(storage: Storage, key: bytes) -> Rent | None:
    after = storage.after(key)
    if after is None or not has_lifetime(key):
        return None
    before = None if key in storage.restored else storage.before(key)
    live_until = storage.live_until(key) or 0
    if before is None:
        return Rent(key, 0, rent_size(key, after), 0, live_until)
    size_before, size = rent_size(key, before.data), rent_size(key, after)
    lived = before.live_until or 0
    if live_until <= lived and size <= size_before:
        return None
    return Rent(key, size_before, size, lived, max(live_until, lived))


def transaction_data(
    read_only: list[bytes],
    read_write: list[bytes],
    *,
    instructions: int = 0,
    read_bytes: int = 0,
    write_bytes: int = 0,
    fee: int = 0,
    restored: list[int] | None = None,
) -> SorobanTransactionData:
    footprint = LedgerFootprint(
        [LedgerKey.from_xdr_bytes(each) for each in read_only], [LedgerKey.from_xdr_bytes(each) for each in read_write]
    )
    resources = SorobanResources(footprint, Uint32(instructions), Uint32(read_bytes), Uint32(write_bytes))
    ext = SorobanTransactionDataExt(0)
    if restored:
        ext = SorobanTransactionDataExt(1, SorobanResourcesExtV0([Uint32(each) for each in restored]))
    return SorobanTransactionData(ext, resources, Int64(fee))
