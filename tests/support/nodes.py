"""The nodes by which a test follows the chain."""

from typing import Protocol

from pytest_django import Settings

from ajo.soroban.models import RpcNode
from ajo.soroban.rpc.pool import nodes


class HasUrl(Protocol):
    """A sandbox, a proxy, or any other server that a test starts."""

    @property
    def url(self) -> str: ...


def use_nodes(settings: Settings, *nodes_to_use: HasUrl) -> None:
    """Follow the chain by these nodes from now on, in this order, with nothing known of them and without retries."""
    settings.SOROBAN_RPC_URL = [node.url for node in nodes_to_use]
    settings.RPC_RETRIES = 0
    RpcNode.objects.all().delete()
    nodes.cache_clear()


def forget_backoff() -> None:
    """Let the pool ask every node at once, whatever its backoff was."""
    RpcNode.objects.all().delete()
