"""A real nginx that caches in front of the service: what an answer says of its freshness is as true behind it.

`make nginx`; needs Debian's nginx. It keeps a stored answer's headers when the origin answers 304.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.db import connection

from ajo.soroban.models import Checkpoint
from devtools.stack.process import ManagedProcess, free_port
from tests.support.factories import API, make_checkpoint, make_group
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
CONFIG = """
daemon off;
{user}
pid {home}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  proxy_cache_path {home}/cache keys_zone=answers:1m;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{origin};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_cache answers;
      proxy_cache_revalidate on;
      add_header X-Cache-Status $upstream_cache_status;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Front:
    url: str

    def get(self, path: str) -> requests.Response:
        answer = requests.get(f"{self.url}{API}{path}", timeout=20)
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
    database, port, origin = connection.settings_dict, free_port(), free_port()
    make_checkpoint(1000, chain_ledger=1000, network_passphrase=settings.STELLAR_NETWORK_PASSPHRASE)
    make_group(1)
    env = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
        f"/{database['NAME']}",
        "PORT": str(origin),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TRUSTED_PROXIES": "127.0.0.1",
        "WEB_WORKERS": "1",
    }
    user = "user root;" if os.geteuid() == 0 else ""  # as which it may write into the test's folder
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(user=user, home=tmp_path, port=port, origin=origin))
    web = ManagedProcess("web", [sys.executable, "-m", "ajo.web"], tmp_path / "web.log", env=env)
    nginx = ManagedProcess("nginx", ["nginx", "-p", str(tmp_path), "-c", str(config)], tmp_path / "nginx.log")
    try:
        web.start()
        web.wait_until(lambda: answers(origin))
        nginx.start()
        nginx.wait_until(lambda: answers(port))
        yield Front(f"http://127.0.0.1:{port}")
    finally:
        nginx.stop()
        web.stop()


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=5).ok
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
