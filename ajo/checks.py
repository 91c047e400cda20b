"""Refuses to start on a bad setting, by the variable's name. Never prints a value: it may hold a password or key.

Django runs `check_settings` before management commands; the web and Celery, which run no checks, call
`refuse_bad_settings` when they start.
"""

import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from stellar_sdk import StrKey

# The passphrase of the sandbox that `make run` starts. Real networks never carry it, so it tells the sandbox apart
# before anything is asked of it.
SANDBOX_PASSPHRASE = "Ajo Sandbox ; for development only"  # noqa: S105  (public by design)
PLACEHOLDER_KEY = "change-me"
LEAST_KEY = 32  # characters
LEAST_TOKEN = 16  # characters
RATE = re.compile(r"^[1-9][0-9]*/(s|sec|second|m|min|minute|h|hour|d|day)$")

Problem = tuple[str, str]


def check_settings(app_configs: Sequence[AppConfig] | None = None, **_: object) -> list[CheckMessage]:
    """One error for each variable that is missing or cannot be used; the variable's name leads the message."""
    found = list(settings.ENV.problems)
    unreadable = {name for name, _ in found}
    for part in (_web, _chain, _servers):
        found += [(name, what) for name, what in part() if name not in unreadable]
    return [Error(f"{name}: {what}.", hint="See .env.example.", id=f"ajo.{name}") for name, what in found]


def refuse_bad_settings() -> None:
    """End the process with one line for each problem, before anything is served or worked on."""
    errors = check_settings()
    if errors:
        sys.exit("\n".join(f"Refused to start. {error.msg}" for error in errors))


def _web() -> Iterator[Problem]:
    key = os.environ.get("SECRET_KEY", "").strip()
    if not settings.DEBUG:
        if not key:
            yield "SECRET_KEY", "missing; set a random text of 50 characters"
        elif key.startswith((PLACEHOLDER_KEY, "django-insecure-")):
            yield "SECRET_KEY", "still the example's; set a random text of 50 characters"
        elif len(key) < LEAST_KEY:
            yield "SECRET_KEY", f"shorter than {LEAST_KEY} characters"
    if not _is_web_address(settings.PUBLIC_URL):
        yield "PUBLIC_URL", "expected an address that starts with http:// or https://"
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < LEAST_TOKEN:
        yield "METRICS_TOKEN", f"shorter than {LEAST_TOKEN} characters"
    for name in ("READ_RATE", "CHAIN_RATE"):
        rate = getattr(settings, name)
        if rate and not RATE.match(rate):
            yield name, "expected a rate like 600/min (per s, min, hour or day), or nothing for no limit"
    if settings.LOG_LEVEL not in settings.LOG_LEVELS:
        yield "LOG_LEVEL", f"expected one of {', '.join(settings.LOG_LEVELS)}"
    for proxy in settings.TRUSTED_PROXIES:
        if not _is_network(proxy):
            yield "TRUSTED_PROXIES", "expected IP addresses or networks like 10.0.0.0/8, comma separated"
            break


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
        if os.environ.get(name, "").strip() and not _has_host(getattr(settings, name), ("redis", "rediss")):
            yield name, "expected an address like redis://:password@host:6379/0"


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
