"""Ends transactions by what the tables have: by the events that the sync has read, with no call to the chain.

One statement each: a transaction whose event is in the log was applied, and one that a look-up has found was too. Both
become successes only when every reader is shown the ledger that carried them (ajo/transactions/visibility.py).
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

from ajo.transactions import visibility
from ajo.transactions.visibility import Shown

# A group that this version cannot read holds nothing up: readers are told so. `created` has the id of the new group.
_BY_EVENTS: Final = """
WITH told AS (
  SELECT t.hash, max(e.ledger) AS ledger, max(e.created_at) AS closed_at,
    min(e.group_id) FILTER (WHERE e.type = 'created' AND NOT e.is_system) AS created,
    bool_and(g.id IS NULL OR g.unreadable_since IS NOT NULL OR g.synced_ledger >= e.ledger) AS is_read
  FROM soroban_chaintransaction t
  JOIN soroban_contractevent e ON e.tx_hash = t.hash
  LEFT JOIN groups_group g ON g.id = e.group_id
  WHERE t.status IN ('pending', 'rejected') AND t.next_attempt_at IS NOT NULL
  GROUP BY t.hash
)
UPDATE soroban_chaintransaction t
SET status = 'success', code = '', detail = '', contract_error = NULL, next_attempt_at = NULL, updated_at = now(),
  ledger = told.ledger, closed_at = told.closed_at,
  group_id = CASE WHEN t.function = 'create_group' THEN coalesce(told.created, t.group_id) ELSE t.group_id END,
  result = CASE WHEN t.function = 'create_group' THEN coalesce(to_jsonb(told.created::text), t.result) ELSE t.result END
FROM told
WHERE t.hash = told.hash AND told.is_read AND told.ledger <= %(ledger)s AND t.status IN ('pending', 'rejected')
"""
# `updated_at` is when the look-up found it, or its group was read again. A group that changed since the watermark moved
# may still be in Redis as it was before.
_BY_LOOK_UPS: Final = """
UPDATE soroban_chaintransaction t
SET status = 'success', code = '', detail = '', contract_error = NULL, next_attempt_at = NULL, updated_at = now()
WHERE t.status IN ('pending', 'rejected') AND t.next_attempt_at IS NOT NULL
  AND t.ledger <= least(%(ledger)s, %(instance_ledger)s) AND t.updated_at < %(as_of)s
  AND NOT EXISTS (
    SELECT FROM groups_group g WHERE g.id = t.group_id AND g.unreadable_since IS NULL
      AND (g.synced_ledger < t.ledger OR g.changed_at >= %(as_of)s)
  )
"""
_ANY: Final = """
SELECT EXISTS (
  SELECT FROM soroban_chaintransaction t
  WHERE t.status IN ('pending', 'rejected') AND t.next_attempt_at IS NOT NULL
    AND (t.ledger IS NOT NULL OR EXISTS (SELECT FROM soroban_contractevent e WHERE e.tx_hash = t.hash))
)
"""


def settle(shown: Shown) -> int:
    """Make successes of what is proven and shown, and return how many. Waits for the readers' caches, if for any."""
    with connection.cursor() as cursor:
        cursor.execute(_ANY)
        (is_any,) = cursor.fetchone()
    if not is_any:
        return 0
    shown.wait()
    now = visibility.shown()
    if now is None:
        return 0
    shown = shown.and_still(now)
    given: dict[str, Any] = {
        "ledger": shown.ledger,
        "as_of": shown.as_of,
        "instance_ledger": shown.instance_ledger,
    }
    ended = 0
    with connection.cursor() as cursor:
        for statement in (_BY_EVENTS, _BY_LOOK_UPS):
            cursor.execute(statement, given)
            ended += cursor.rowcount
    return ended
