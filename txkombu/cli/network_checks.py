"""What C{txkombu doctor} checks before the login: names, TCP and TLS."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final

from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IHandshakeListener, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from .._util.timeouts import with_timeout
from ..exceptions import ConnectError, OperationTimeout
from ..transport.endpoints import connect_error, endpoint_for, place_of
from ..url.parameters import NO_SERVER_NAME, Parameters, TLSOptions
from .findings import CheckFailed, Findings

_SOON: Final = 30
"""Days in which a certificate should be renewed."""


async def check_name(parameters: Parameters, reactor: Any, findings: Findings) -> None:
    """
    Look up the host.

    @param parameters: where the broker is.
    @param reactor: looks names up.
    @param findings: get the result.
    @raise CheckFailed: it has no address.
    """
    host = parameters.hostname
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host, parameters.port)
    late = with_timeout(
        receiver.done, reactor, parameters.connect_timeout, "looking up the name"
    )
    try:
        addresses = [str(each.host) for each in await late]
    except OperationTimeout as error:
        raise CheckFailed(f"{error}: does the name server answer?") from None
    if not addresses:
        raise CheckFailed(
            f"{host} has no address: correct the host, or the name server's entry"
        )
    if addresses == [host]:
        findings.ok("DNS", f"{host} is an address")
    else:
        findings.ok("DNS", f"{host} is {', '.join(dict.fromkeys(addresses))}")


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects the addresses of a host."""

    def __init__(self) -> None:
        self._found: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: object) -> None:
        """Learn that it begins."""

    def addressResolved(self, address: object) -> None:
        """Learn one address."""
        self._found.append(address)

    def resolutionComplete(self) -> None:
        """Learn that there are no more."""
        self.done.callback(self._found)


async def check_tcp(parameters: Parameters, reactor: Any, findings: Findings) -> None:
    """
    Connect, and close.

    @param parameters: where the broker is.
    @param reactor: connects.
    @param findings: get the result.
    @raise CheckFailed: it cannot be connected to.
    """
    place = place_of(parameters, None)
    endpoint = HostnameEndpoint(
        reactor,
        parameters.hostname,
        parameters.port,
        timeout=parameters.connect_timeout,
    )
    try:
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
    except ConnectionRefusedError:
        usual = parameters.scheme.port
        raise CheckFailed(
            f"nothing listens at {place}: is the broker running, and is that its "
            f"port? The usual one of {parameters.transport} is {usual}"
        ) from None
    except TimeoutError:
        seconds = parameters.connect_timeout
        raise CheckFailed(
            f"{place} does not answer within {seconds:g} s: a firewall may be between"
        ) from None
    except Exception as error:
        raise CheckFailed(f"cannot connect to {place}: {error}") from None
    transport: Any = protocol.transport  # type: ignore[attr-defined]  # it is a Protocol
    findings.ok("TCP", f"{place} accepts connections")
    transport.abortConnection()


async def check_tls(
    parameters: Parameters, tls: TLSOptions, reactor: Any, findings: Findings
) -> None:
    """
    Shake hands, as a session does, and look at the broker's certificate.

    @param parameters: where the broker is.
    @param tls: how to make sure of it.
    @param reactor: connects.
    @param findings: get the result.
    @raise CheckFailed: the handshake fails.
    """
    place = place_of(parameters, None)
    handshake = _Handshake()
    try:
        endpoint = endpoint_for(parameters, reactor)
    except (OSError, ValueError) as error:
        raise CheckFailed(
            f"{error}: correct the file that the URL names as cacertfile, certfile or "
            "keyfile"
        ) from None
    try:
        await endpoint.connect(_factory_of(handshake))
        certificate = await with_timeout(
            handshake.done, reactor, parameters.connect_timeout, f"TLS with {place}"
        )
    except ConnectError as error:
        raise CheckFailed(str(error)) from None
    except OperationTimeout as error:
        raise CheckFailed(f"{error}: is that a port with TLS?") from None
    except (SSL.Error, OSError, ValueError) as error:
        raise CheckFailed(str(connect_error(place, error, answered=False))) from None
    finally:
        handshake.abort()
    name = tls.server_name or parameters.hostname
    if not tls.verify:
        findings.warn(
            "TLS",
            f"{handshake.version}, but the certificate is not checked, so anyone can "
            "pose as the broker: leave out verify=verify_none",
        )
    elif name == NO_SERVER_NAME:
        findings.warn(
            "TLS",
            f"{handshake.version}, a trusted authority signed the certificate, but the "
            "name is not checked: leave out server_name_indication=disable",
        )
    else:
        findings.ok(
            "TLS",
            f"{handshake.version}, a trusted authority signed the certificate, which "
            f"is for {name}",
        )
    _check_expiry(certificate, findings)


def _check_expiry(certificate: crypto.X509, findings: Findings) -> None:
    told = certificate.get_notAfter()
    if told is None:
        return
    ends = datetime.strptime(told.decode(), "%Y%m%d%H%M%SZ")
    ends = ends.replace(tzinfo=timezone.utc)
    days = (ends - datetime.now(timezone.utc)).days
    text = f"the certificate is valid until {ends:%Y-%m-%d}, {days} days from now"
    if days < _SOON:
        findings.warn("TLS expiry", f"{text}: renew it")
    else:
        findings.ok("TLS expiry", text)


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    """
    Waits for the end of a handshake.

    @ivar done: fires with the broker's certificate; fails if the connection ends.
    @ivar version: the version of TLS.
    """

    def __init__(self) -> None:
        self.done: Deferred[crypto.X509] = Deferred()
        self.version = ""

    def handshakeCompleted(self) -> None:
        """Learn that it is done."""
        transport: Any = self.transport
        self.version = transport.getHandle().get_protocol_version_name()
        self.done.callback(transport.getPeerCertificate())

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Learn that it fails, unless it is done."""
        if not self.done.called:
            self.done.errback(reason)

    def abort(self) -> None:
        """Close the connection."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


def _factory_of(protocol: Protocol) -> Factory:
    return Factory.forProtocol(lambda: protocol)
