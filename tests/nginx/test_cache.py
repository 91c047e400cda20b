"""A real nginx that caches in front of the service: what an answer says of its freshness is as true behind it.

It runs the shipped sample, deploy/nginx/ajo.conf. `make nginx`; needs Debian's nginx and openssl. nginx keeps a stored
answer's headers when the origin answers 304.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings
from django.db import connection

from ajo.settings import BASE_DIR
from ajo.soroban.models import Checkpoint
from devtools.stack.process import ManagedProcess, free_port
from tests.support.factories import API, make_checkpoint, make_group
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
SAMPLE = BASE_DIR / "deploy" / "nginx" / "ajo.conf"
# What Debian's nginx.conf has around it, in the test's own folder.
AROUND = """
daemon off;
{user}
pid {home}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  include {home}/ajo.conf;
}}
"""


def sample(home: Path, *, http: int, https: int, origin: int) -> str:
    """The shipped configuration with the test's ports, folder and certificate in place of its own."""
    text = re.sub(r"    listen \[::\]:.*\n", "", SAMPLE.read_text())
    for old, new in {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{origin};",
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{https} ssl http2;",
        "/var/cache/nginx/ajo": f"{home}/cache",
        "/etc/letsencrypt/live/ajo.example": str(home),
        "server_name ajo.example;": "server_name localhost;",
    }.items():
        assert old in text
        text = text.replace(old, new)
    return text


def make_certificate(home: Path) -> None:
    """A certificate for localhost that signs itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", home / "privkey.pem", "-out", home / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Front:
    url: str
    http: str
    home: Path

    def ask(self, path: str, **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(f"{self.url}{path}", headers=names, verify=str(self.home / "fullchain.pem"), timeout=20)

    def get(self, path: str) -> requests.Response:
        answer = self.ask(f"{API}{path}")
        assert answer.status_code == 200, answer.text
        return answer

    def until(self, path: str, ledger: str, *, stale: bool) -> requests.Response:
        """The first answer, of a second or so, that says this of its freshness."""
        headers = {"Latest-Ledger": ledger, "Ajo-Stale": "true" if stale else None}

        def as_wanted() -> requests.Response | None:
            answer = self.get(path)
            return answer if {name: answer.headers.get(name) for name in headers} == headers else None

        found: requests.Response = wait_for(as_wanted, 15, f"{path} {headers}")
        return found


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """nginx before a web process on the tests' servers."""
    database, http, port, origin = connection.settings_dict, free_port(), free_port(), free_port()
    make_checkpoint(1000, chain_ledger=1000, network_passphrase=settings.STELLAR_NETWORK_PASSPHRASE)
    make_group(1)
    env = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
        f"/{database['NAME']}",
        "PORT": str(origin),
        "PUBLIC_URL": f"https://localhost:{port}",
        "TRUSTED_PROXIES": "127.0.0.1",
        "ACCESS_LOG": "on",
        "WEB_WORKERS": "1",
    }
    user = "user root;" if os.geteuid() == 0 else ""  # as which it may write into the test's folder
    config = tmp_path / "nginx.conf"
    config.write_text(AROUND.format(user=user, home=tmp_path))
    (tmp_path / "ajo.conf").write_text(sample(tmp_path, http=http, https=port, origin=origin))
    make_certificate(tmp_path)
    subprocess.run(["nginx", "-t", "-p", str(tmp_path), "-c", str(config)], check=True, capture_output=True)
    web = ManagedProcess("web", [sys.executable, "-m", "ajo.web"], tmp_path / "web.log", env=env)
    nginx = ManagedProcess("nginx", ["nginx", "-p", str(tmp_path), "-c", str(config)], tmp_path / "nginx.log")
    try:
        web.start()
        web.wait_until(lambda: answers(f"http://127.0.0.1:{origin}"))
        nginx.start()
        made = Front(f"https://localhost:{port}", f"http://localhost:{http}", tmp_path)
        nginx.wait_until(lambda: answers(made.url, verify=str(tmp_path / "fullchain.pem")))
        yield made
    finally:
        nginx.stop()
        web.stop()


def answers(url: str, **options: Any) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=5, **options).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("path", ["groups/1/", "groups/", "users/"])
def test_freshness_survives_revalidation_by_nginx(front: Front, path: str) -> None:
    """Breaks with a 304 once the headers changed: nginx then shows an old state as new, for as long as nobody pays."""
    first = front.until(path, "1000", stale=False)
    unchanged = wait_for(lambda: is_revalidated(front.get(path)), 15, "a 304 from the origin")
    assert unchanged.headers["Latest-Ledger"] == "1000"
    Checkpoint.objects.update(ledger=1005, chain_ledger=1005)
    front.until(path, "1005", stale=False)
    Checkpoint.objects.update(chain_advanced_at=datetime.now(UTC) - timedelta(seconds=settings.STALE_AFTER + 1))
    front.until(path, "1005", stale=True)
    assert wait_for(lambda: is_revalidated(front.get(path)), 15, "a 304").headers["Ajo-Stale"] == "true"
    Checkpoint.objects.update(chain_advanced_at=datetime.now(UTC))
    last = front.until(path, "1005", stale=False)
    assert (last.content, last.headers["ETag"]) == (first.content, first.headers["ETag"])


def is_revalidated(answer: requests.Response) -> requests.Response | None:
    return answer if answer.headers["X-Cache-Status"] == "REVALIDATED" else None


def test_the_sample_redirects_compresses_hides_metrics_and_says_who_asks(front: Front) -> None:
    plain = requests.get(f"{front.http}{API}groups/?limit=1", allow_redirects=False, timeout=20)
    assert (plain.status_code, plain.headers["Location"]) == (308, f"https://localhost{API}groups/?limit=1")
    assert front.ask("/metrics").status_code == 404
    assert front.ask("/metrics", X_Forwarded_For="127.0.0.1").status_code == 404

    packed = front.ask(f"{API}schema/", Accept_Encoding="gzip")
    assert (packed.status_code, packed.headers["Content-Encoding"]) == (200, "gzip")
    known = front.ask(f"{API}groups/1/", Accept_Encoding="gzip").headers["ETag"]
    again = front.ask(f"{API}groups/1/", If_None_Match=f"W/{known.removeprefix('W/')}")
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Latest-Ledger"] == "1000"
    ids = {front.get("groups/1/").headers["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3

    # Neither a forged header nor its double with underscores names the client.
    forged = {"X-Forwarded-For": "192.0.2.1", "X_Forwarded_For": "192.0.2.2", "X_Forwarded_Proto": "http"}
    answer = requests.get(
        f"{front.url}/health/live", headers=forged, verify=str(front.home / "fullchain.pem"), timeout=20
    )
    said = wait_for(lambda: logged(front.home / "web.log", answer.headers["X-Request-ID"]), what="its log line")
    assert (said["client"], said["status_code"], answer.status_code) == ("127.0.0.1", 200, 200)


def logged(log: Path, request_id: str) -> dict[str, Any]:
    """The access log's line of this request, or nothing."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if f'"{request_id}"' in line]
    return lines[0] if lines else {}


def test_one_of_many_who_want_the_same_page_asks_for_it(front: Front) -> None:
    """Breaks without proxy_cache_lock: after each second everybody would ask at once."""
    front.get("groups/")
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(lambda _: front.get("groups/?limit=7").headers["X-Cache-Status"], range(40)))
    assert statuses["MISS"] == 1
    assert 40 - statuses["HIT"] <= time.monotonic() - began + 2, statuses
