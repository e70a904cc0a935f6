"""C{memory://name}: the brokers of this process, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from ...interfaces import IBrokerTransport, ISession, ISessionListener
from . import broker_named

if TYPE_CHECKING:
    from ...url.parameters import Parameters


@implementer(IBrokerTransport)
class MemoryTransport:
    """Connects to the broker that the URL names, which is made on first use."""

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        broker = broker_named(parameters.hostname)
        return broker.connect(parameters, endpoint, clock, listener)
