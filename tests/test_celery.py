"""What counts as a lost connection to the broker."""

import os
from typing import Any

import pytest
from celery import Celery
from kombu.transport.redis import Transport

from ajo.celery import ReconnectingChannel


def test_a_channel_that_is_used_after_its_connection_was_closed_asks_for_a_new_one() -> None:
    """Breaks on kombu 5.7, where it is an AttributeError, which ends the worker."""
    with Celery(broker=os.environ["REDIS_URL"]).connection() as connection:
        channel: Any = connection.default_channel
        assert isinstance(channel, ReconnectingChannel)
        assert channel._connparams()["host"]
        connection.close()
        with pytest.raises(connection.recoverable_connection_errors, match="was closed meanwhile"):
            channel._connparams()


def test_a_mistake_in_our_own_code_is_no_lost_connection() -> None:
    assert not issubclass(AttributeError, Transport.connection_errors + Transport.channel_errors)
