"""
TLS for connections to brokers: whom to trust, and which certificate to show.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
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

if TYPE_CHECKING:
    from ..url.parameters import TLSOptions


_NO_SERVER_NAME: Final = "disable"
_T = TypeVar("_T")
_log = Logger()


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
