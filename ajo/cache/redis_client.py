"""Asking Redis: one pool of connections, left alone for a moment when it fails."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)


def _release(*packages: str) -> str:
    """Of this code: what another release wrote may have another form, and is never read."""
    code = hashlib.blake2b(digest_size=6)
    for package in packages:
        for path in sorted((settings.BASE_DIR / package).rglob("*.py")):
            code.update(path.read_bytes())
    return code.hexdigest()


PREFIX: Final = f"{settings.REDIS_NAMESPACE}{_release('ajo', 'groups', 'contributions')}:"
MAX_CONNECTION_AGE = 60.0  # seconds of a pool: a server that another took over from is asked no longer than that
COOLDOWN = 1.0  # seconds that a Redis that failed is left alone, so that its timeouts are not paid by every request


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    """The one connection pool of this process."""
    timeout = settings.REDIS_TIMEOUT
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # a connection that died with a restarted server is made anew, once; who timed out does not wait twice
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


# After a failover, from connections that stayed with the server that was the primary.
OF_A_REPLICA = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)


class _Breaker:
    """Leaves a Redis that failed alone for a moment; then one request finds out whether it is back, and no other waits.

    A Redis that hangs would else take its timeout from every thread again and again.
    """

    def __init__(self) -> None:
        self._is_down = False
        self._until = 0.0
        self._finding_out = threading.Lock()
        self._leave_at = time.monotonic() + MAX_CONNECTION_AGE

    def close(self) -> None:
        """Ask again at once."""
        self._is_down = False

    def run(self, action: Callable[[redis.Redis], Any]) -> Any:
        """The action's result, or None if Redis cannot be asked now."""
        if not self._is_down:
            return self._try(action)
        if time.monotonic() < self._until or not self._finding_out.acquire(blocking=False):
            return None
        try:
            return self._try(action)
        finally:
            self._finding_out.release()

    def _try(self, action: Callable[[redis.Redis], Any]) -> Any:
        if time.monotonic() > self._leave_at:
            self._leave_server()
        try:
            found = action(client())
        except (redis.RedisError, OSError) as failure:
            if isinstance(failure, OF_A_REPLICA):
                self._leave_server()
            self._until = time.monotonic() + COOLDOWN
            self._is_down = True
            log.warning("Redis cannot be asked (%s): going on without it", type(failure).__name__)
            return None
        self._is_down = False
        return found

    def _leave_server(self) -> None:
        """Let new connections find out which server it is; those that are in use end by themselves."""
        client.cache_clear()
        self._leave_at = time.monotonic() + MAX_CONNECTION_AGE


breaker = _Breaker()
with_redis = breaker.run


class _Own(threading.local):
    """A connection of each thread's own."""

    connection: Any = None
    pool: Any = None


_own = _Own()


def exchange(r: redis.Redis, *words: str | bytes | int) -> Any:
    """What Redis answers to one command, for `with_redis`.

    Without the client's layers, which cost more than the round trip.
    """
    if _own.pool is not r.connection_pool:
        _own.connection = r.connection_pool.get_connection()
        _own.pool = r.connection_pool
    for is_last in (False, True):
        try:
            _own.connection.send_command(*words)
            return _own.connection.read_response()
        except redis.ResponseError:
            raise
        except redis.ConnectionError:
            _own.connection.disconnect()
            if is_last:  # the first may only have met a connection from before a restart
                raise
        except BaseException:
            _own.connection.disconnect()  # an answer that was not read would be the next request's
            raise
    raise AssertionError("unreachable: the last attempt returns or raises")
