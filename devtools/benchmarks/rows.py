"""Rows for the measures, written by COPY: groups of ten members, each member with a contribution."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from stellar_sdk import StrKey

MEMBERS = 10  # of each group
START = datetime(2026, 1, 1, tzinfo=UTC)
COPY_LINES = 5_000  # lines of one write
XDR = "QUFB" * 400  # as long as the entry of a group of ten, compared and never decoded
TOKENS = [StrKey.encode_contract(number.to_bytes(32, "big")) for number in range(1, 5)]
LEDGER = 1_000_000  # to which the tables are fresh
LIVE_UNTIL = 9_999_999  # ledger, of every entry


def wallet(number: int) -> str:
    """Return a G… address, the same for the same number."""
    return StrKey.encode_ed25519_public_key(number.to_bytes(32, "big"))


def event_id(ledger: int, index: int = 0) -> str:
    """Return the id of an event in a ledger (SEP-35)."""
    return f"{ledger << 32:019d}-{index:010d}"


def fill(url: str, contract: str, passphrase: str, groups: int, contributions: int) -> None:
    """Fill a migrated, empty database."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO soroban_checkpoint (network_passphrase, contract, era, cursor, is_loaded, start_ledger,"
            " ledger, chain_ledger, chain_closed_at, heard_at, swept_to, deep_swept_to, paused, group_count, wasm_hash,"
            " instance_xdr, instance_ledger, rebuilt_to, drift_state, drift_metadata, drift_history,"
            " halted)"
            " VALUES (%s, %s, gen_random_uuid(), '', true, 1, %s, %s, now(),"
            " now() + interval '1 day', 0, 0, false, %s, '', '', 0, 0, 0, 0, 0, '')",
            [passphrase, contract, LEDGER, LEDGER, groups],
        )
        users = max(groups, 200)
        for table, columns, lines in (
            ("groups_user", "id, wallet_address", (f"{n}\t{wallet(n)}" for n in range(1, users + 1))),
            ("groups_token", TOKEN_COLUMNS, (f"{n}\t{a}\tT{n}\t\t7\tt\tf\t1\t0\t0" for n, a in enumerate(TOKENS, 1))),
            ("groups_group", GROUP_COLUMNS, _groups(groups)),
            ("groups_groupmember", "group_id, user_id, position, has_contributed, joined_at", _members(groups, users)),
            ("contributions_contribution", HISTORY_COLUMNS, _contributions(contributions, users)),
        ):
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for chunk in _chunks(lines):
                    copy.write(chunk)
        for table in ("groups_user", "groups_token"):  # numbers given by hand move no sequence
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


TOKEN_COLUMNS = "id, address, symbol, name, decimals, is_asset_contract, verified, read_ledger, owed, checked_ledger"
GROUP_COLUMNS = (
    "id, name, description, rules, creator_id, token_address, contribution_amount, cycle_duration, grace_period,"
    " penalty_rate, insurance_rate_bps, max_members, member_count, current_round, payout_index, contributions_received,"
    " status, created_at, round_started_at, entry_xdr, metadata_xdr, modified_ledger, synced_ledger, changed_at,"
    " revision, verified_round, unproven_rows, live_until_ledger"
)
HISTORY_COLUMNS = "group_id, user_id, round, amount, tx_hash, event_id, ledger, created_at"


def member(group: int, position: int, users: int) -> int:
    """Return the number of the wallet at a position; no wallet is twice in a group."""
    return (group * 7 + position * 13) % users + 1


def _groups(count: int) -> Iterator[str]:
    users = max(count, 200)
    for n in range(1, count + 1):
        status = ("active", "active", "completed", "cancelled")[n % 4]
        places = MEMBERS if n % 10 else MEMBERS + 5  # a tenth can be joined, were they all active
        name = f"{'Harvest' if n % 1000 == 7 else 'Circle'} of savers {n}"
        at = START + timedelta(seconds=n)
        yield (
            f"{n}\t{name}\tWhat we save for together\tPay on time\t{member(n, 0, users)}\t{TOKENS[n % 4]}\t"
            f"{n * 1000}\t604800\t86400\t5\t100\t{places}\t{MEMBERS}\t1\t0\t{MEMBERS}\t{status}\t{at}\t{at}\t"
            f"{XDR}{n:012d}\t{n:012d}\t{n}\t{LEDGER}\t{at}\t1\t0\t0\t{LIVE_UNTIL}"
        )


def _members(groups: int, users: int) -> Iterator[str]:
    for n in range(1, groups + 1):
        for position in range(MEMBERS):
            yield f"{n}\t{member(n, position, users)}\t{position}\tt\t{START}"


def _contributions(count: int, users: int) -> Iterator[str]:
    for i in range(count):
        n, position = i // MEMBERS + 1, i % MEMBERS
        at, ledger = START + timedelta(seconds=5 * i), i // 4 + 1
        event = event_id(ledger, i % 4)
        yield f"{n}\t{member(n, position, users)}\t1\t{n * 1000}\t{i:064x}\t{event}\t{ledger}\t{at}"


def _chunks(lines: Iterable[str]) -> Iterator[str]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == COPY_LINES:
            yield "\n".join(chunk) + "\n"
            chunk = []
    yield "".join(f"{line}\n" for line in chunk)
