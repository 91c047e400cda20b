"""Ask Redis: one pool of connections for each process, behind a circuit breaker."""

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
    """Return a hash of this code: what another release wrote may have another form, and is never read."""
    code = hashlib.blake2b(digest_size=6)
    for package in packages:
        for path in sorted((settings.BASE_DIR / package).rglob("*.py")):
            code.update(path.read_bytes())
    return code.hexdigest()


PREFIX: Final = f"{settings.REDIS_NAMESPACE}{_release('ajo', 'groups', 'contributions')}:"
MAX_POOL_AGE = 60.0  # seconds: after a failover the server that was the primary is asked no longer than that
COOLDOWN = 1.0  # seconds that the breaker stays open, so that not every request pays the timeout


@lru_cache(maxsize=1)
def client() -> redis.Redis:
    """Return the client with the one connection pool of this process."""
    timeout = settings.REDIS_TIMEOUT
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # a connection that died with a restarted server is made anew, once; a timeout is not retried
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


# After a failover these come from connections that stayed with the server that was the primary.
REPLICA_ERRORS = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)


class _Breaker:
    """The circuit breaker: after a failure Redis is left alone for COOLDOWN seconds, then one request probes it.

    No other request waits for the probe. Without the breaker a Redis that hangs would take its timeout from every
    thread again and again.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._open_until = 0.0
        self._probing = threading.Lock()
        self._renew_at = time.monotonic() + MAX_POOL_AGE

    def close(self) -> None:
        """Let the next request ask Redis at once."""
        self._is_open = False

    def run(self, action: Callable[[redis.Redis], Any]) -> Any:
        """Return the action's result, or None if Redis cannot be asked now.

        A failure (RedisError, OSError) is logged and opens the breaker; it is not raised.
        """
        if not self._is_open:
            return self._try(action)
        if time.monotonic() < self._open_until or not self._probing.acquire(blocking=False):
            return None
        try:
            return self._try(action)
        finally:
            self._probing.release()

    def _try(self, action: Callable[[redis.Redis], Any]) -> Any:
        if time.monotonic() > self._renew_at:
            self._drop_pool()
        try:
            found = action(client())
        except (redis.RedisError, OSError) as failure:
            if isinstance(failure, REPLICA_ERRORS):
                self._drop_pool()
            self._open_until = time.monotonic() + COOLDOWN
            self._is_open = True
            log.warning("Redis cannot be asked (%s): going on without it", type(failure).__name__)
            return None
        self._is_open = False
        return found

    def _drop_pool(self) -> None:
        """Make the next request connect anew, to whatever server the address names now.

        Connections that are in use end by themselves.
        """
        client.cache_clear()
        self._renew_at = time.monotonic() + MAX_POOL_AGE


breaker = _Breaker()
with_redis = breaker.run


class _ThreadConnection(threading.local):
    """Each thread's own connection, and the pool that it is from."""

    connection: Any = None
    pool: Any = None


_own = _ThreadConnection()


def exchange(r: redis.Redis, *words: str | bytes | int) -> Any:
    """Send one command on this thread's connection and return what Redis answers; for `with_redis`.

    It goes around the client's layers, which cost more than the round trip. Raise redis.RedisError.
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
