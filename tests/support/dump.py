"""Writes the database of a release, with rows in every table, as SQL: what test_releases.py migrates.

`python -m tests.support.dump CHECKOUT NAME` runs the migrations of the checkout at CHECKOUT (this one: `.`) on an
empty server and writes tests/data/releases/NAME.sql.gz. A commit that adds a migration needs the dump of the commit
before it, made before the migration is written; NAME is that commit.
"""

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from devtools.stack import postgres
from devtools.stack.postgres_server import find_install
from tests.support.services import SETTINGS

RELEASES = Path(__file__).resolve().parents[1] / "data" / "releases"
WALLET = "G" + "A" * 55
TOKEN = "C" + "A" * 55
VALUES = {  # of columns that a constraint restricts, and of what a person wrote
    "address": TOKEN, "token_address": TOKEN, "wallet_address": WALLET, "id": 1, "group_id": 1, "position": 0,
    "user_id": 1, "creator_id": 1, "requester_id": 1, "member_count": 1, "max_members": 5, "reason": 0,
    "name": "Ọjọ́ circle", "tx_hash": "ab" * 32, "hash": "cd" * 32, "event_id": f"{7 << 32:019d}-0000000000",
    "network_passphrase": SETTINGS["STELLAR_NETWORK_PASSPHRASE"], "contract": SETTINGS["AJO_CONTRACT_ID"],
    "admin": WALLET,
}  # fmt: skip
STATUSES = {"groups_group": "active", "soroban_chaintransaction": "success"}
BY_TYPE = {
    "bigint": 1, "integer": 1, "smallint": 1, "numeric": 7, "boolean": True, "jsonb": "{}",
    "uuid": "0123456789abcdef0123456789abcdef", "timestamp with time zone": "2026-11-20T12:00:00Z",
}  # fmt: skip
# in the order in which rows may refer to each other
TABLES = (
    "groups_token", "groups_user", "groups_group", "groups_groupmember", "groups_refundrequest",
    "contributions_contribution", "contributions_payout", "contributions_refund", "soroban_checkpoint",
    "soroban_contractevent", "soroban_historygap", "soroban_syncrun", "soroban_undecodedentry",
    "soroban_chaintransaction", "soroban_lease", "soroban_rpcnode",
)  # fmt: skip
PEOPLE = f"""
INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
  VALUES ('amina', 'pbkdf2_sha256$1$salt$hash', 'Amina', '', 'amina@example.org', true, true, true, '2026-11-20Z');
INSERT INTO groups_walletlabel (address, label, note)
  VALUES ('{WALLET}', 'Treasurer Adébáyọ̀', 'Called on Monday'), ('{TOKEN}', 'Éclair', '');
INSERT INTO django_admin_log
  (action_time, object_id, object_repr, action_flag, change_message, content_type_id, user_id)
  SELECT '2026-11-20Z', '1', 'Treasurer', 1, '[]', t.id, u.id FROM django_content_type t, auth_user u
  WHERE t.model = 'walletlabel';
"""


def main(checkout: Path, name: str) -> None:
    """Write the dump. Raises CalledProcessError when a migration or pg_dump fails."""
    RELEASES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with postgres(home / "postgres", home / "log") as (address, _):
            env = os.environ | SETTINGS | {"DATABASE_URL": address, "REDIS_URL": "redis://127.0.0.1:1/0"}
            subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=checkout, env=env, check=True)
            fill(address)
            options = ["--no-owner", "--no-privileges", "--rows-per-insert=100", "--no-comments"]
            dump = [str(find_install() / "bin" / "pg_dump"), *options, address]
            text = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    packed = gzip.compress("".join(statements(text)).encode(), mtime=0)
    (RELEASES / f"{name}.sql.gz").write_bytes(packed)


def fill(address: str) -> None:
    """Insert one row in each table of the chain's, two labels and a staff account."""
    with psycopg.connect(address) as connection:
        connection.execute(PEOPLE.encode())
        for table in TABLES:
            columns = connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
                " AND is_generated = 'NEVER' AND is_identity = 'NO' ORDER BY ordinal_position",
                [table],
            ).fetchall()
            if columns:
                row = {name: value(table, name, kind) for name, kind in columns}
                connection.execute(
                    sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                        sql.Identifier(table),
                        sql.SQL(", ").join(map(sql.Identifier, row)),
                        sql.SQL(", ").join(sql.Placeholder() * len(row)),
                    ),
                    list(row.values()),
                )


def value(table: str, column: str, kind: str) -> object:
    if column == "status":
        return STATUSES[table]
    if column in ("id", "name") and kind in ("character varying", "text") and table.startswith("soroban_"):
        return VALUES["event_id"] if column == "id" else "sync"
    return VALUES.get(column, BY_TYPE.get(kind, column))


def statements(dump: str) -> Iterator[str]:
    """Yield the dump's statements without comments, settings of the session and blank lines."""
    for line in dump.splitlines(keepends=True):
        if line.strip() and not line.startswith(("--", "SET ", "SELECT pg_catalog.set_config", "\\")):
            yield line


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
