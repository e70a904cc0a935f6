"""Connections of services: brokers list them as C{app@host:process/purpose}."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import partial
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
    return name_connection(BrokerConnection(broker, **options), purpose, app)


def name_connection(
    connection: BrokerConnection, purpose: str, app: str
) -> BrokerConnection:
    """
    Let the name of a connection tell what it is, unless it has one.

    @param connection: the connection, which is returned.
    @param purpose: what it is for, such as C{consumers}.
    @param app: the application's name.
    """
    if connection.info()["name"] is None:
        # Made at each login: twistd becomes another process after it made the service.
        connection.core.settings.name_by(partial(_name, purpose, app))
    return connection


def _name(purpose: str, app: str) -> str:
    host = socket.gethostname()[:_MOST]
    return f"{app[:_MOST]}@{host}:{os.getpid()}/{purpose}"
