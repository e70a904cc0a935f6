"""MonitoringService: answers probes and Prometheus on one endpoint."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeGuard

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..service import ConsumerService

if TYPE_CHECKING:
    from .resource import Answers


class MonitoringService(Service):
    """
    Tells how a L{ConsumerService} is, and counts what it does, from now on.

    It answers until the service has stopped.  Make it before the service starts, and
    start it after.  An endpoint that cannot be bound halts the service.

    @param service: the service.
    @param endpoint: where to answer, as C{tcp:8080:interface=127.0.0.1}.
    @param reactor: the reactor; by default the global one.
    @raise ImportError: prometheus_client is not installed.
    @raise ValueError: the endpoint cannot be understood.
    """

    _log = Logger()

    def __init__(
        self, service: ConsumerService, endpoint: str, reactor: Any = None
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._service = service
        self._text = endpoint
        self._endpoint = serverFromString(reactor, endpoint)
        self._answers = _answers(service, reactor)
        self._listening: Deferred[IListeningPort | None] = succeed(None)

    def startService(self) -> None:
        """Begin to listen."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        # As a Deferred, since an endpoint may also raise.
        listening = maybeDeferred(self._endpoint.listen, self._answers.site())
        self._listening = listening.addCallbacks(self._begun, self._not_bound)

    def _begun(self, port: IListeningPort) -> IListeningPort:
        found = port.getHost()
        place = f"{found.host}:{found.port}" if _has_port(found) else str(found)
        self._log.info("Health and metrics are told at {place}", place=place)
        return port

    def _not_bound(self, failure: Failure) -> None:
        error = EndpointNotBound(
            f"the endpoint {self._text!r} of http cannot be bound: "
            f"{failure.getErrorMessage()}"
        )
        error.__cause__ = failure.value
        self._service.halt(error)

    @property
    def port(self) -> IListeningPort | None:
        """Where it listens, if it does."""
        result = getattr(self._listening, "result", None)
        return result if IListeningPort.providedBy(result) else None

    def stopService(self) -> Deferred[None]:
        """
        Stop to listen when the service has stopped.

        @return: fires then; never fails.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        stopped = self._service.when_stopped()
        return stopped.addCallback(lambda _: self._close())

    def _close(self) -> Deferred[None]:
        listening, self._listening = self._listening, succeed(None)

        def close(port: IListeningPort | None) -> object:
            return None if port is None else port.stopListening()

        def failed(failure: Failure) -> None:
            self._log.failure("Closing the endpoint of http failed", failure)

        return listening.addCallback(close).addCallbacks(lambda _: None, failed)


class EndpointNotBound(Exception):
    """Health and metrics cannot be told, as the endpoint cannot be bound."""


def _has_port(place: Any) -> TypeGuard[IPv4Address | IPv6Address]:
    return isinstance(place, IPv4Address | IPv6Address)


def check_installed() -> None:
    """
    Check that what tells metrics is installed.

    @raise ImportError: it is not; the text says how to install it.
    """
    try:
        import prometheus_client  # noqa: F401  # only a look
    except ImportError as error:
        text = "health and metrics need prometheus_client: "
        text += "pip install 'txkombu[metrics]'"
        raise ImportError(text, name=error.name) from error


def _answers(service: ConsumerService, reactor: Any) -> Answers:
    check_installed()
    # Loaded when asked for, as not everybody has what they need.
    metrics = import_module("txkombu.monitoring.metrics")
    resource = import_module("txkombu.monitoring.resource")
    made: Answers = resource.Answers(service, metrics.Metrics(service), reactor)
    return made
