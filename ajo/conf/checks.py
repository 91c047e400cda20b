"""Checks of the settings: a bad one is refused at start, by its variable's name. No message holds a value, which may be
secret.

Django runs `check_settings` before management commands; the web and Celery, which run no checks, call
`refuse_bad_settings` when they start.
"""

import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlsplit

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from stellar_sdk import StrKey

from ajo.conf.env import READ_ELSEWHERE, given
from ajo.conf.log_config import LEVELS
from ajo.conf.reachability import why_not_postgresql, why_not_redis

# The passphrase of the sandbox that `make run` starts. Real networks never carry it, so it tells the sandbox apart
# before anything is asked of it.
SANDBOX_PASSPHRASE = "Ajo Sandbox ; for development only"  # noqa: S105  (public by design)
PLACEHOLDER_KEY = "change-me"
MIN_KEY_LENGTH = 32  # characters
MIN_TOKEN_LENGTH = 16  # characters
MIN_PRELOAD_SECONDS = 31_536_000  # a year, which browsers' preload list asks for
RATE = re.compile(r"^[1-9][0-9]*/(s|sec|second|m|min|minute|h|hour|d|day)$")
PUBLIC = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?(/[!\"$->@-~]*)?", re.ASCII)
HOST = re.compile(r"\*|\.?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)

HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

WARNING = "Warning. "
# Similarity of two names, as difflib counts it: of a name in the file, and of one among others' in the environment.
SIMILAR, TYPO = 0.6, 0.9
# Variables that libraries, libpq and the interpreter read.
LIBRARY_VARIABLES = re.compile(
    "(https?|no|all)_proxy$|PG|PYTHON|LC_|LANG$|TZ$|SSL_CERT_|(REQUESTS|CURL)_CA_BUNDLE$|DJANGO_|COMPOSE_",
    re.IGNORECASE,
)
# Options of a rediss:// address; the first three are files.
REDIS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")

Problem = tuple[str, str]


def check_settings(app_configs: Sequence[AppConfig] | None = None, **_: object) -> list[CheckMessage]:
    """Return an error for each variable that is missing or cannot be used, and a warning for each that nothing reads.

    The variable's name leads the message.
    """
    found = list(settings.ENV.problems)
    unreadable = {name for name, _ in found}
    for part in (_web, _chain, _servers):
        found += [(name, what) for name, what in part() if name not in unreadable]
    errors = [Error(f"{name}: {what}.", hint="See .env.example.", id=f"ajo.{name}") for name, what in found]
    return errors + [
        Warning(f"{name}: {what}.", hint="See .env.example.", id="ajo.unknown") for name, what in _unknown()
    ]


def refuse_bad_settings() -> None:
    """Exit with one line for each error, before anything is served or worked on. Warnings are printed only."""
    found = check_settings()
    for message in found:
        if not message.is_serious():
            print(f"{WARNING}{message.msg}", file=sys.stderr)
    errors = [f"Refused to start. {message.msg}" for message in found if message.is_serious()]
    if errors:
        sys.exit("\n".join(errors))


def warn_of_unreachable_servers() -> None:
    """Print a line for each server that cannot be reached now, as the setting may be wrong.

    The process starts all the same, and waits for them.
    """
    unreachable = {"DATABASE_URL": why_not_postgresql(settings.DATABASES["default"])}
    for name in ("REDIS_URL", "CELERY_BROKER_URL"):
        unreachable[name] = why_not_redis(getattr(settings, name))
    if settings.CELERY_BROKER_URL == settings.REDIS_URL:
        del unreachable["CELERY_BROKER_URL"]
    for name, why in unreachable.items():
        if why:
            print(f"{WARNING}{name}: {why}.", file=sys.stderr, flush=True)


def _unknown() -> Iterator[Problem]:
    """Yield variables that nothing reads: all of the file's, and those of the environment that look like a typo.

    Containers have the file's variables in their environment, among others.
    """
    known = sorted(settings.ENV.names | READ_ELSEWHERE)
    for name in sorted({*settings.ENV_FILE.names, *os.environ} - {*known, "ENV_FILE"}):
        if LIBRARY_VARIABLES.match(name):
            continue
        is_in_file = name in settings.ENV_FILE.names
        nearest = get_close_matches(name, known, 1, SIMILAR if is_in_file else TYPO)
        if nearest:
            yield name, f"nothing reads it; the nearest setting is {nearest[0]}"
        elif is_in_file:
            yield name, "nothing reads it"


def _web() -> Iterator[Problem]:
    key = given("SECRET_KEY")
    if not settings.DEBUG:
        if not key:
            yield "SECRET_KEY", "missing; set a random text of 50 characters"
        elif key.startswith((PLACEHOLDER_KEY, "django-insecure-")):
            yield "SECRET_KEY", "still the example's; set a random text of 50 characters"
        elif len(key) < MIN_KEY_LENGTH:
            yield "SECRET_KEY", f"shorter than {MIN_KEY_LENGTH} characters"
    if any(len(key) < MIN_KEY_LENGTH for key in settings.SECRET_KEY_FALLBACKS):
        yield (
            "SECRET_KEY_FALLBACKS",
            f"a key is shorter than {MIN_KEY_LENGTH} characters; earlier keys, comma separated",
        )
    yield from _hsts()
    if not _is_web_address(settings.PUBLIC_URL):
        yield "PUBLIC_URL", "expected an address that starts with http:// or https://"
    elif not PUBLIC.fullmatch(settings.PUBLIC_URL):
        yield (
            "PUBLIC_URL",
            "expected an address as browsers write it: ASCII (xn--… for other names), no account, no query",
        )
    # by default PUBLIC_URL's: one mistake, one message
    if given("ALLOWED_HOSTS") and not all(HOST.fullmatch(host) for host in settings.ALLOWED_HOSTS):
        yield "ALLOWED_HOSTS", "expected host names without scheme, port or path, comma separated"
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < MIN_TOKEN_LENGTH:
        yield "METRICS_TOKEN", f"shorter than {MIN_TOKEN_LENGTH} characters"
    for name in ("READ_RATE", "CHAIN_RATE"):
        rate = getattr(settings, name)
        if rate and not RATE.match(rate):
            yield name, "expected a rate like 600/min (per s, min, hour or day), or nothing for no limit"
    if settings.LOG_LEVEL not in LEVELS:
        yield "LOG_LEVEL", f"expected one of {', '.join(LEVELS)}"
    if not HEADER_NAME.fullmatch(settings.CLIENT_ADDRESS_HEADER):
        yield "CLIENT_ADDRESS_HEADER", "expected a header's name: letters, digits and hyphens, no underscore"
    for proxy in settings.TRUSTED_PROXIES:
        if not _is_network(proxy):
            yield "TRUSTED_PROXIES", "expected IP addresses or networks like 10.0.0.0/8, comma separated"
            break


def _hsts() -> Iterator[Problem]:
    """Yield combinations that browsers or their preload list do not accept."""
    if not settings.HSTS_SECONDS:
        for name in ("HSTS_INCLUDE_SUBDOMAINS", "HSTS_PRELOAD"):
            if getattr(settings, name):
                yield name, "has no effect without HSTS_SECONDS"
    elif settings.HSTS_PRELOAD and not (
        settings.HSTS_INCLUDE_SUBDOMAINS and settings.HSTS_SECONDS >= MIN_PRELOAD_SECONDS
    ):
        yield (
            "HSTS_PRELOAD",
            f"the list takes HSTS_SECONDS of {MIN_PRELOAD_SECONDS} or more with HSTS_INCLUDE_SUBDOMAINS",
        )


def _chain() -> Iterator[Problem]:
    if not settings.SOROBAN_RPC_URL:
        yield "SOROBAN_RPC_URL", "missing; set the address of a Stellar RPC"
    if not all(_is_web_address(address) for address in settings.SOROBAN_RPC_URL):
        yield "SOROBAN_RPC_URL", "expected addresses that start with http:// or https://, comma separated"
    if settings.RPC_PROXY and not _is_web_address(settings.RPC_PROXY):
        yield "RPC_PROXY", "expected an address that starts with http:// or https://"
    if not settings.AJO_CONTRACT_ID:
        yield "AJO_CONTRACT_ID", "missing; set the savings contract's C… address"
    elif not StrKey.is_valid_contract(settings.AJO_CONTRACT_ID):
        yield "AJO_CONTRACT_ID", "expected a contract's address: C and 55 more characters, with a valid checksum"
    if not all(StrKey.is_valid_contract(token) for token in settings.VERIFIED_TOKENS):
        yield "VERIFIED_TOKENS", "expected contract addresses (C…), comma separated"
    passphrase = settings.STELLAR_NETWORK_PASSPHRASE
    if not passphrase:
        yield "STELLAR_NETWORK_PASSPHRASE", "missing or empty; set the network's passphrase"
    elif passphrase == SANDBOX_PASSPHRASE and not settings.AJO_SANDBOX:
        yield "AJO_SANDBOX", "this is the sandbox's network, which is for development; set AJO_SANDBOX=1 to use it"


def _servers() -> Iterator[Problem]:
    if not settings.DATABASES["default"].get("NAME"):
        yield "DATABASE_URL", "missing; set an address like postgres://user:password@host:5432/name"
    if not settings.REDIS_URL:
        yield "REDIS_URL", "missing; set an address like redis://host:6379/0"
    # The queue's default address is made from REDIS_URL: one mistake, one message.
    for name in ("REDIS_URL", "CELERY_BROKER_URL"):
        if given(name) and (problem := redis_problem(getattr(settings, name))):
            yield name, problem


def redis_problem(address: str) -> str:
    """Return what is wrong with an address, or nothing. redis-py and Celery parse it differently; both accept it."""
    if not _has_host(address, ("redis", "rediss")):
        return "expected an address like redis://:password@host:6379/0"
    parts = urlsplit(address)
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        return "expected a database's number behind the last slash"
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in REDIS_OPTIONS:
            return f"there is no option {name}" if name.isidentifier() else "expected name=value behind the ?"
        if name == "ssl_cert_reqs" and value not in ("required", "optional", "none"):
            return "ssl_cert_reqs: expected required, optional or none"
        if name in REDIS_OPTIONS[:3] and not os.access(value, os.R_OK):
            return f"{name}: there is no such file, or it cannot be read"
    return ""


def _has_host(address: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an unclosed IPv6 bracket
        return False


def _is_web_address(address: str) -> bool:
    return _has_host(address, ("http", "https"))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
