"""The embedded Redis: closed without its password, and a clear word where there is no server to start."""

from pathlib import Path

import pytest
from redis import AuthenticationError, Redis

from devtools.stack import StackError, redis
from devtools.stack.redis_server import find_server


def test_it_answers_to_its_password_alone(tmp_path: Path) -> None:
    with redis(tmp_path / "home", tmp_path / "log") as (address, part):
        with Redis.from_url(address) as client:
            assert client.ping() is True
        password = address.split(":")[2].split("@")[0]
        with Redis.from_url(address.replace(password, "")) as client, pytest.raises(AuthenticationError):
            client.ping()
        assert part.process is not None
        assert password not in " ".join(part.argv)


def test_redis_server_from_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis-server").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == tmp_path / "redis-server"


def test_a_machine_without_any_server_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "toaster")
    with pytest.raises(StackError, match="install redis-server, or set REDIS_URL"):
        find_server()
