"""docs/operations.md, "Rotate SECRET_KEY": sessions and cursors outlive it, and end with the old key."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from ajo.settings import BASE_DIR
from tests.support.documents import commands, run_line
from tests.support.factories import API, make_configured_checkpoint, make_group

# One process with one key: it takes a session and a cursor over, and says what came of them and what it gives.
VISIT = """
import json, sys
import django
django.setup()
from django.test import Client
given = json.loads(sys.stdin.read())
client = Client(SERVER_NAME="localhost")
if given:
    client.cookies["sessionid"] = given["session"]
    page = client.get(given["next"])
    admin = client.get("/admin/").status_code
else:
    assert client.login(username="amina", password="x")
    page, admin = client.get("/api/v1/groups/?limit=1"), client.get("/admin/").status_code
following = page.json().get("next") or ""
print(json.dumps({
    "page": page.status_code, "admin": admin, "session": client.cookies["sessionid"].value,
    "ids": [each["id"] for each in page.json().get("results", [])], "next": following.partition("8000")[2],
}))
"""


def visit(key: str, fallbacks: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    known = connection.settings_dict
    address = f"postgres://{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{known['NAME']}"
    env = os.environ | {"SECRET_KEY": key, "SECRET_KEY_FALLBACKS": fallbacks, "DATABASE_URL": address}
    done = subprocess.run(
        [sys.executable, "-c", VISIT], input=json.dumps(given), cwd=BASE_DIR, env=env, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.django_db(transaction=True)
def test_a_rotation_keeps_sessions_and_cursors_until_the_old_key_is_taken_away(tmp_path: Any) -> None:
    make_configured_checkpoint()
    for number in (1, 2, 3, 4):
        make_group(number)
    get_user_model().objects.create_superuser("amina", password="x")
    [command] = commands("operations.md", "Rotate SECRET_KEY")
    old, new = (run_line(command, {}, tmp_path).stdout.strip() for _ in range(2))
    assert len(old) == 64
    assert old != new
    before = visit(old, "")
    assert (before["page"], before["admin"], before["ids"]) == (200, 200, ["4"])
    during = visit(new, old, before)
    assert (during["page"], during["admin"], during["ids"]) == (200, 200, ["3"])
    after = visit(new, "", during)  # whoever came by meanwhile has a session of the new key, as the new cursor is
    assert (after["page"], after["admin"], after["ids"]) == (200, 200, ["2"])
    late = visit(new, "", before)
    assert (late["page"], late["admin"]) == (400, 302)
    assert before["next"].startswith(f"{API}groups/?")
