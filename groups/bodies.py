"""Writes the bodies of groups: the exact bytes of `GET groups/{id}/`, for cache, edge and view alike.

PostgreSQL writes them: the ORM and the serializer take twenty times as long (docs/decisions/0001-bodies-in-sql.md). The
form is that of GroupDetailSerializer, which the schema describes. tests/groups/test_bodies.py compares both, field by
field and byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg
from django.db import connection

from ajo.cache import Document, Found, Freshness
from ajo.database.prepared import Prepared
from ajo.soroban.models import LEDGER_SLACK, MIN_CLOSE_SECONDS
from groups.schedule import DAY, MAX_FREQUENCY

SECOND: Final = "'1 second'"
END_OF_CALENDAR: Final = 253_402_300_800  # Unix time of the year 10,000, which Python's datetime cannot hold


def _time(column: str) -> str:
    """Return SQL that writes a time as TimeField does: with microseconds only where there are any."""
    return f"""replace(to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z')"""


def _add_seconds(start: str, seconds: str) -> str:
    """Return SQL that adds seconds as `groups.schedule` does: null where the calendar does not hold the sum."""
    fits = f"extract(epoch FROM {start}) + {seconds} < {END_OF_CALENDAR}"
    return f"CASE WHEN {fits} THEN {_time(f'({start} + ({seconds})::float8 * interval {SECOND})')} END"


# row_to_json writes no spaces and keeps the order of columns, as `rendering.dump` does. json_build_object does neither.
_MEMBERS: Final = f"""
SELECT row_to_json(member) FROM (
  SELECT u.wallet_address AS address, m.position, {_time("m.joined_at")} AS joined_at, m.has_contributed,
    m.position < g.payout_index AS has_received_payout
  FROM groups_groupmember m JOIN groups_user u ON u.id = m.user_id WHERE m.group_id = g.id ORDER BY m.position
) member
"""
_REQUEST: Final = f"""
SELECT row_to_json(request) FROM (
  SELECT u.wallet_address AS requester, {_time("r.created_at")} AS created_at,
    {_time("r.voting_deadline")} AS voting_deadline, r.votes_for, r.votes_against, r.executed, r.approved
  FROM groups_refundrequest r JOIN groups_user u ON u.id = r.requester_id WHERE r.group_id = g.id
) request
"""
_BODY: Final = f"""
SELECT g.id::text AS id, g.name, g.description, g.rules, c.wallet_address AS creator, g.token_address,
  CASE WHEN t.symbol IS NOT NULL OR t.decimals IS NOT NULL
    THEN (SELECT row_to_json(token) FROM (SELECT t.symbol, t.decimals, t.verified) token) END AS token,
  g.contribution_amount::text AS contribution_amount, g.cycle_duration::text AS cycle_duration,
  CASE WHEN g.cycle_duration <= {DAY * MAX_FREQUENCY} THEN ceil(g.cycle_duration / {DAY}) END AS frequency,
  g.grace_period::text AS grace_period, g.penalty_rate, g.insurance_rate_bps, g.max_members, g.member_count,
  g.current_round, g.payout_index, g.contributions_received,
  (g.contribution_amount * g.contributions_received)::text AS collected_amount,
  (g.contribution_amount * g.member_count)::text AS payout_amount,
  CASE WHEN g.is_active THEN (
    SELECT u.wallet_address FROM groups_groupmember m JOIN groups_user u ON u.id = m.user_id
    WHERE m.group_id = g.id AND m.position = g.payout_index) END AS next_recipient,
  g.status, g.is_active, {_time("g.created_at")} AS created_at, {_time("g.round_started_at")} AS round_started_at,
  {_add_seconds("g.round_started_at", "g.cycle_duration")} AS round_ends_at,
  {_add_seconds("g.round_started_at", "g.cycle_duration + coalesce(g.grace_period, 0)")} AS grace_ends_at,
  g.modified_ledger, array_to_json(ARRAY({_MEMBERS})) AS members, ({_REQUEST}) AS refund_request
"""
# The ledger at which a row `g` was read. It is 0 where the network cannot have reached that ledger
# (CheckpointQuerySet.newest_possible): such a row counts as older than any.
SYNCED: Final = f"""
CASE WHEN g.synced_ledger > (
  SELECT chain_ledger + floor(greatest(extract(epoch FROM now() - heard_at), 0) / {MIN_CLOSE_SECONDS}) + {LEDGER_SLACK}
  FROM soroban_checkpoint WHERE heard_at IS NOT NULL ORDER BY id LIMIT 1) THEN 0 ELSE g.synced_ledger END
"""
_BODIES: Final = f"""
SELECT g.id, CASE WHEN g.unreadable_since IS NULL THEN row_to_json(body)::text END AS body, g.revision,
  {SYNCED} AS synced_ledger FROM groups_group g
JOIN groups_user c ON c.id = g.creator_id LEFT JOIN groups_token t ON t.address = g.token_address,
LATERAL ({_BODY}) body WHERE g.id = """
_WITH_FRESHNESS: Final = f"""
SELECT d.body, d.revision, d.synced_ledger, replace(c.era::text, '-', ''), c.ledger,
  extract(epoch FROM c.heard_at)::float8, extract(epoch FROM now())::float8
FROM ({_BODIES} %s) d LEFT JOIN (SELECT era, ledger, heard_at FROM soroban_checkpoint ORDER BY id LIMIT 1) c ON true
"""
_PREPARED: Final = Prepared(_WITH_FRESHNESS.replace("%s", "$1"))


def group_bodies(ids: Iterable[int]) -> dict[int, Document]:
    """Return the bodies of these groups by id; ids without a row are silently left out.

    One statement reads them, so all are of one database snapshot. An unreadable group has a tombstone, which replaces
    the body in the cache.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"{_BODIES} ANY(%s)", [list(ids)])
        return {row[0]: _document(*row[1:]) for row in cursor.fetchall()}


def fresh_body(group_id: int) -> Found | None:
    """Return one group's body and the tables' freshness, of one database snapshot. None without a row."""
    with connection.cursor() as cursor:
        cursor.execute(_WITH_FRESHNESS, [group_id])
        return _found(cursor.fetchall())


def prepared_body(session: psycopg.Connection, group_id: int) -> Found | None:
    """Return what `fresh_body` does, by a prepared statement on a plain session: the edge has no ORM.

    Raise psycopg.Error.
    """
    return _found(_PREPARED.rows(session, str(group_id)))


def _found(rows: list[tuple[Any, ...]]) -> Found | None:
    if not rows:
        return None
    body, revision, synced_ledger, dataset_id, ledger, advanced_at, asked_at = rows[0]
    fresh = Freshness(dataset_id or "", ledger or 0, advanced_at or 0.0, asked_at)  # as before the first sync
    return Found(_document(body, revision, synced_ledger), fresh, "postgresql")


def _document(body: str | None, revision: int, synced_ledger: int) -> Document:
    return Document(None if body is None else body.encode(), revision, synced_ledger)
