"""Addresses of servers, and the namespace of a service in a shared Redis."""

import hashlib
import ipaddress
from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def redis_namespace(passphrase: str, contract: str) -> str:
    """Return the prefix of every Redis key of the service that follows `contract` on the network of `passphrase`.

    Services of different contracts may share one Redis: none reads, counts, locks or takes what is another's.
    """
    return f"ajo:{hashlib.blake2b(f'{passphrase}/{contract}'.encode(), digest_size=6).hexdigest()}:"


def ip_address(text: str) -> str:
    """Return the IP address that a server listens on, without brackets. Raises ValueError for anything else."""
    if text == "localhost":
        return "127.0.0.1"
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in inner:  # a scope: neither URLs nor the web server take it
        raise ValueError(text)
    return str(ipaddress.ip_address(inner))


def local_address(listens_on: str) -> str:
    """Return the IP address under which this machine reaches a server that listens there: loopback if everywhere."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listens_on, listens_on)  # noqa: S104  # nothing is bound


def in_url(host: str) -> str:
    """Return a host as a URL writes it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def normal_address(url: str) -> str:
    """Return a web address as browsers write it in Origin: in lower case, without default port and final slash.

    The path keeps its case. An address that cannot be parsed is returned unchanged.
    """
    try:
        parts = urlsplit(url.rstrip("/"))
        port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return url
    account, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return urlunsplit(parts._replace(netloc=f"{account}{at}{host}{port}"))


def origin_of(url: str) -> str:
    """Return scheme, host and port of a web address; empty where it has none."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if separator else ""


def host_of(url: str) -> str:
    """Return the host name of an address, without port; empty without one. IPv6 addresses keep their brackets."""
    host = url.split("://")[-1].split("/")[0].split("@")[-1]
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.split(":")[0]
