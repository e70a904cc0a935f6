"""
Connecting to brokers that speak AMQP 0-9-1, for the native transport and the adapters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ...exceptions import ConnectError
from ...interfaces import IBrokerTransport, ISession, ISessionListener
from ..connect import check_credentials, connect
from ..endpoints import place_of
from .session import AmqpSession

if TYPE_CHECKING:
    from ...url.parameters import Parameters


@implementer(IBrokerTransport)
class AmqpTransportBase:
    """
    Connects; see L{IBrokerTransport}.

    @cvar session: the class of its sessions.
    """

    session: type[AmqpSession]

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
        session = self.session(parameters, place, clock, listener, self._warned)
        return connect(session, parameters, endpoint, clock)
