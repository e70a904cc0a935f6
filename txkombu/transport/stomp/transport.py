"""
C{stomp://} and C{stomp+ssl://}: connecting to a broker that speaks STOMP 1.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ...exceptions import ConnectError
from ...interfaces import IBrokerTransport, ISession, ISessionListener
from .activemq import ActiveMQDialect
from .connector import Connector
from .dialect import Dialect
from .protocol import StompProtocol
from .rabbitmq import RabbitMQDialect
from .session import StompSession

if TYPE_CHECKING:
    from ...url.parameters import Parameters

_DIALECTS: Final[tuple[type[Dialect], ...]] = (RabbitMQDialect, ActiveMQDialect)


@implementer(IBrokerTransport)
class StompTransport:
    """See L{IBrokerTransport}."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        connector = Connector(parameters, endpoint, clock)
        session = StompSession(connector, listener, self._warned)

        def logged_in(socket: StompProtocol) -> ISession:
            try:
                dialect = dialect_of(socket.server, parameters, connector.place)
            except ConnectError:
                socket.abort()
                raise
            return session.opened(socket, dialect)

        opening: Deferred[Any] = connector.open(session)
        return opening.addCallback(logged_in)


def dialect_of(server: str, parameters: Parameters, place: str) -> Dialect:
    """
    The dialect that a broker speaks.

    @param server: what it says it is; C{""} if it hides that.
    @raise ConnectError: it is not known, and no option says it.
    """
    product, _, version = server.partition(" ")[0].partition("/")
    wanted = parameters.dialect
    for kind in _DIALECTS:
        if kind.product == product and wanted not in (None, kind.name):
            raise ConnectError(
                f"{place} calls itself {server!r}, which does not speak the dialect "
                f"{wanted}: leave ?dialect= out of the URL"
            )
    for kind in _DIALECTS:
        if kind.name == wanted or (not wanted and kind.product == product):
            return kind(version, parameters.userid)
    said = f"calls itself {server!r}" if server else "does not say what it is"
    options = " or ".join(f"?dialect={kind.name}" for kind in _DIALECTS)
    raise ConnectError(
        f"{place} {said}, and STOMP brokers differ: RabbitMQ and ActiveMQ Classic "
        f"are supported; if it is one of them, add {options} to the URL"
    )
