"""Addresses of servers, and the names under which several services share one."""

import hashlib


def redis_namespace(passphrase: str, contract: str) -> str:
    """Return the prefix of every Redis key of the service that follows `contract` on the network of `passphrase`.

    Services of different contracts may share one Redis: none reads, counts, locks or takes what is another's.
    """
    return f"ajo:{hashlib.blake2b(f'{passphrase}/{contract}'.encode(), digest_size=6).hexdigest()}:"


def host_of(url: str) -> str:
    """The host name of an address, without port; empty where there is none. IPv6 addresses keep their brackets."""
    host = url.split("://")[-1].split("/")[0].split("@")[-1]
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.split(":")[0]
