"""Reasons why a server cannot be used, in words that say what to change. They never hold the address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import psycopg
import redis

NOT_LIBPQ: Final = {"pool", "isolation_level"}  # keys of OPTIONS that only Django reads
TIMEOUT: Final = 5  # seconds
UNANSWERED: Final = "that server does not answer; check host and port, and what stands between"
REFUSED: Final = "that server does not answer: nobody listens on that host and port"

# Patterns of libpq's messages, and what they mean for DATABASE_URL.
_POSTGRESQL_MEANINGS: Final = {
    "authentication failed|no password supplied|role .* does not exist": "the user or the password is wrong",
    "database .* does not exist": "there is no such database on that server; create it",
    "could not translate host name|failed to resolve host": "there is no host of that name",
    "Connection refused": REFUSED,
    "no pg_hba.conf entry": "the server lets nobody in from here without TLS, or at all; try ?sslmode=require",
    "certificate|server does not support SSL|SSL error": "TLS fails; check sslmode and sslrootcert",
    "too many|remaining connection slots": "the server has no connection left; lower DATABASE_POOL_SIZE",
    "permission denied for database": "that user may not connect to that database",
    "(invalid|bad) .*(value|option|integer)": "an option behind the ? has a value that it cannot have",
}
_REDIS_MEANINGS: Final = {
    "WRONGPASS|NOAUTH|invalid username-password|AUTH|Authentication": "the user or the password is wrong",
    "CERTIFICATE|certificate|SSL": "TLS fails; check the scheme (rediss://) and ?ssl_ca_certs=",
    "Name or service not known|name resolution|No address": "there is no host of that name",
    "refused": REFUSED,
    "DB index|SELECT": "that server has no database of that number; /0 is the first",
    "NOPERM|permissions": "that user may not do what is needed",
    "closed by server|reset by peer": "that server ends the connection; with TLS the scheme is rediss://",
}


def why_not_postgresql(database: Mapping[str, Any]) -> str:
    """Connect once by an entry of Django's DATABASES, and return what is wrong, or nothing."""
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    parameters = {name: database[key] for key, name in names.items() if database.get(key)}
    options = {name: value for name, value in database.get("OPTIONS", {}).items() if name not in NOT_LIBPQ}
    try:
        psycopg.connect(**{"connect_timeout": TIMEOUT, **options, **parameters}).close()
    except psycopg.Error as failure:
        return _meaning(str(failure), _POSTGRESQL_MEANINGS)
    return ""


def why_not_redis(address: str, timeout: float = TIMEOUT) -> str:
    """Connect once, with `timeout` in seconds, and return what is wrong, or nothing."""
    try:
        with redis.Redis.from_url(address, socket_timeout=timeout, socket_connect_timeout=timeout) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as failure:
        return _meaning(str(failure), _REDIS_MEANINGS)
    return ""


def _meaning(message: str, meanings: Mapping[str, str]) -> str:
    return next((meaning for pattern, meaning in meanings.items() if re.search(pattern, message)), UNANSWERED)
