"""Addresses of servers: what may be said about them, and how one is derived from another."""

from urllib.parse import urlsplit, urlunsplit


def broker_address(redis_url: str) -> str:
    """The Redis database beside the cache's: flushing the cache must not empty the queue."""
    parts = urlsplit(redis_url)
    number = parts.path.strip("/")
    beside = str(int(number) + 1) if number.isdigit() else "1"
    return urlunsplit(parts._replace(path=f"/{beside}")) if parts.netloc else redis_url


def host_of(url: str) -> str:
    """The host name of an address, without port; empty where there is none. IPv6 addresses keep their brackets."""
    host = url.split("://")[-1].split("/")[0].split("@")[-1]
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.split(":")[0]
