"""The settings of `make run`, read from the environment without Django."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ajo.conf.addresses import ip_address
from devtools.stack.process import StackError


@dataclass(frozen=True)
class StackConfig:
    """The settings of `make run`. Each address that is set replaces an embedded server."""

    data: Path
    host: str
    port: int
    sandbox_port: int
    database_url: str
    redis_url: str
    rpc_url: str

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "StackConfig":
        """Read them from the environment. Raises StackError that names the variable."""
        config = cls(
            data=Path(env.get("DATA_DIR") or ".data").resolve(),
            host=_host(env),
            port=_port(env, "PORT", 8000),
            sandbox_port=_port(env, "SANDBOX_PORT", 8001),
            database_url=env.get("DATABASE_URL", "").strip(),
            redis_url=env.get("REDIS_URL", "").strip(),
            rpc_url=env.get("SOROBAN_RPC_URL", "").strip(),
        )
        if not config.rpc_url and env.get("AJO_CONTRACT_ID", "").strip():
            raise StackError("AJO_CONTRACT_ID is set and SOROBAN_RPC_URL is not: set both, or neither for the sandbox")
        return config


def _host(env: Mapping[str, str]) -> str:
    try:
        return ip_address(env.get("WEB_HOST", "").strip() or "127.0.0.1")
    except ValueError as error:
        raise StackError("WEB_HOST: expected an IP address: 127.0.0.1, ::1, 0.0.0.0 or ::, for example") from error


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise StackError(f"{name}: expected a port number from 1 to 65535")
    return int(text)
