"""
Endpoints to brokers, and what goes wrong on the way to one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from ..exceptions import ConnectError

if TYPE_CHECKING:
    from ..parameters import Parameters, TLSOptions

_NO_SERVER_NAME: Final = "disable"
_T = TypeVar("_T")
_log = Logger()


def place_of(parameters: Parameters, endpoint: IStreamClientEndpoint | None) -> str:
    """What is connected to, for people."""
    if endpoint is not None:
        return repr(endpoint)
    host = parameters.hostname
    return f"{f'[{host}]' if ':' in host else host}:{parameters.port}"


def endpoint_for(
    parameters: Parameters, reactor: IReactorTime
) -> IStreamClientEndpoint:
    """
    Make the endpoint of a broker, encrypted if the parameters ask for it.

    @param reactor: one that connects by TCP and resolves names.
    @raise OSError: a file of certificates or keys cannot be read.
    @raise ValueError: one holds no certificate or key, or cannot be understood.
    """
    endpoint: IStreamClientEndpoint = HostnameEndpoint(
        cast("Any", reactor),
        parameters.hostname,
        parameters.port,
        timeout=parameters.connect_timeout,
    )
    if parameters.tls is None:
        return endpoint
    return wrapClientTLS(tls_for(parameters.tls, parameters.hostname), endpoint)


def tls_for(tls: TLSOptions, hostname: str) -> IOpenSSLClientConnectionCreator:
    """
    Make what sets up TLS, as L{endpoint_for} does.

    @param hostname: the host connected to; checked, and asked for, unless the
        options name another.
    """
    name = tls.server_name or hostname
    own = _own_certificate(tls)
    if tls.verify and name != _NO_SERVER_NAME:
        return optionsForClientTLS(name, _trust(tls), extraCertificateOptions=own)
    if tls.verify:
        return _Unnamed(CertificateOptions(trustRoot=_trust(tls), **own), None)
    _log.warn(
        "TLS with {hostname} does not check the broker's certificate: anyone can "
        "pose as it",
        hostname=hostname,
    )
    asked = None if name == _NO_SERVER_NAME or _is_address(name) else name
    return _Unnamed(CertificateOptions(verify=False, **own), asked)


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


def _trust(tls: TLSOptions) -> Any:
    if tls.cacertfile is None:
        return platformTrust()
    return trustRootFromCertificates(
        [
            Certificate(crypto.X509.from_cryptography(each))
            for each in _certificates(tls.cacertfile)
        ]
    )


def _own_certificate(tls: TLSOptions) -> dict[str, Any]:
    """What we show of ourselves, as options of C{CertificateOptions}."""
    if tls.certfile is None:
        return {}
    own, *chain = _certificates(tls.certfile)
    keyfile = tls.keyfile or tls.certfile
    key = _load(keyfile, lambda pem: load_pem_private_key(pem, None))
    return {"privateKey": key, "certificate": own, "extraCertChain": chain}


def _certificates(path: str) -> list[x509.Certificate]:
    return _load(path, x509.load_pem_x509_certificates)


def _load(path: str, load: Callable[[bytes], _T]) -> _T:
    pem = Path(path).read_bytes()
    try:
        return load(pem)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} does not hold what it should: {error}") from error


@implementer(IOpenSSLClientConnectionCreator)
class _Unnamed:
    """TLS without a check of the host's name."""

    def __init__(self, options: CertificateOptions, asked: str | None) -> None:
        self._options = options
        self._asked = asked

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        connection = SSL.Connection(self._options.getContext(), None)
        if self._asked is not None:
            connection.set_tlsext_host_name(self._asked.encode("idna"))
        return connection


def connect_error(place: str, reason: BaseException) -> ConnectError:
    """
    The error for a connection that did not come about, with its cause.

    @param place: what was connected to.
    """
    error = ConnectError(_describe(place, reason))
    error.__cause__ = reason
    return error


def _describe(place: str, reason: BaseException) -> str:
    if isinstance(reason, VerificationError | CertificateError):
        return (
            f"TLS with {place} failed: its certificate is not for that host; if it "
            "is the right broker, name it with server_name (in a URL: "
            "server_name_indication)"
        )
    if isinstance(reason, SSL.Error):
        return f"TLS with {place} failed: {_openssl(reason)}"
    if isinstance(reason, ConnectionDone | ConnectionLost):
        return f"{place} closed the connection before the login was over"
    return f"cannot connect to {place}: {str(reason).rstrip('.')}"


def _openssl(reason: SSL.Error) -> str:
    """What OpenSSL says, and what to do about the usual."""
    entries = reason.args[0] if reason.args else ()
    said = ", ".join(str(entry[-1]) for entry in entries if entry) or repr(reason)
    if "certificate verify failed" in said:
        return f"{said}; name the authority that signed it with cacertfile"
    if "wrong version number" in said or "packet length" in said:
        return f"{said}; it does not speak TLS there"
    return said
