"""
C{amqp://} and C{amqps://}: connecting to a broker that speaks AMQP 0-9-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ...exceptions import ConnectError
from ...interfaces import IBrokerTransport, ISession, ISessionListener
from ..attempt import connect
from ..credentials import check_credentials
from ..endpoints import place_of
from .protocol import AmqpSession

if TYPE_CHECKING:
    from ...url import Parameters


@implementer(IBrokerTransport)
class AmqpTransport:
    """The native transport; see L{IBrokerTransport}."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        try:
            check_credentials(parameters)
        except ConnectError as error:
            return fail(error)
        place = place_of(parameters, endpoint)
        session = AmqpSession(parameters, place, clock, listener, self._warned)
        return connect(session, parameters, endpoint, clock)
