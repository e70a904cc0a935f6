"""Connections of services: brokers list them as C{app@host:process/purpose}."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from ..connection import BrokerConnection

_MOST: Final = 100
"""Characters of the application's and the host's name."""


def hosted_connection(
    broker: str | Sequence[str], purpose: str, app: str, **options: Any
) -> BrokerConnection:
    """
    Make a connection of a service, whose name tells what it is, unless its URL has one.

    @param broker: a URL, or several.
    @param purpose: what it is for, such as C{consumers}.
    @param app: the application's name.
    @param options: as for L{BrokerConnection}.
    """
    connection = BrokerConnection(broker, **options)
    if connection.info()["name"] is not None:
        return connection
    host = socket.gethostname()[:_MOST]
    name = f"{app[:_MOST]}@{host}:{os.getpid()}/{purpose}"
    return BrokerConnection(broker, name=name, **options)
