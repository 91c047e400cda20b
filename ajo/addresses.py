"""Addresses of servers: what may be said about them, and how one is derived from another."""

from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def broker_address(redis_url: str) -> str:
    """The Redis database beside the cache's: flushing the cache must not empty the queue."""
    parts = urlsplit(redis_url)
    number = parts.path.strip("/")
    beside = str(int(number) + 1) if number.isdigit() else "1"
    return urlunsplit(parts._replace(path=f"/{beside}")) if parts.netloc else redis_url


def normal_address(url: str) -> str:
    """A web address as browsers write it in Origin: scheme and host in small letters, no default port, no slash at the
    end. One that cannot be read is returned as it is.
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
    """Scheme, host and port of a web address; empty where it has none."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if separator else ""


def host_of(url: str) -> str:
    """The host name of an address, without port; empty where there is none. IPv6 addresses keep their brackets."""
    host = url.split("://")[-1].split("/")[0].split("@")[-1]
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.split(":")[0]
