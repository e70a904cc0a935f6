"""
TLS for connections to brokers: whom to trust, and which certificate to show.

A callback of our own checks the broker's name, and refuses whatever it cannot check.
Twisted's callback, since 26.4, only logs what service_identity raises for malformed
names, and lets the login go on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import (
    DNS_ID,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    verify_service_identity,
)
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

if TYPE_CHECKING:
    from ..url.parameters import TLSOptions


_NO_SERVER_NAME: Final = "disable"
_VERIFY: Final = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
_CHAIN_ERRORS: Final = {
    9: "is not valid yet: compare the clocks",
    10: "has expired",
    18: "is self-signed; to trust it, give it as cacertfile",
    23: "was revoked",
    24: "is signed with a certificate that is no authority's",
    26: "is not meant for servers",
    66: "has a key that is too short",
    68: "has a signature of a kind that is too weak",
    79: "is signed with a certificate that is no authority's",
}
"""What is wrong with a certificate, by OpenSSL's number (X509_V_ERR_*)."""
_NO_AUTHORITY: Final = (
    "the broker's certificate is not signed by an authority that is trusted; name "
    "the one that signed it with cacertfile"
)
_NO_AUTHORITY_ERRORS: Final = frozenset((2, 7, 19, 20, 21))
_SHOWN: Final = 200
_T = TypeVar("_T")
_Identity = DNS_ID | IPAddress_ID
_log = Logger()


class CertificateRefused(SSL.Error):
    """
    The broker's certificate is not accepted.

    @ivar why: what is wrong with it, as the end of a sentence.
    """

    def __init__(self, why: str) -> None:
        super().__init__([("SSL routines", "", "certificate verify failed")])
        self.why = why


def tls_for(tls: TLSOptions, hostname: str) -> IOpenSSLClientConnectionCreator:
    """
    Return what sets up TLS.

    @param tls: what to trust, what to check, and which certificate to show.
    @param hostname: the host connected to.  The broker's certificate has to be for
        it, and the broker is told it (SNI), unless the options name another.
    @raise OSError: a file of certificates or keys cannot be read.
    @raise ValueError: such a file does not hold what it should, the key does not
        belong to the certificate, or no certificate can be for the host.
    """
    name = tls.server_name or hostname
    identity = None if name == _NO_SERVER_NAME else _identity(name)
    own = _own_certificate(tls)
    if not tls.verify:
        _log.warn(
            "TLS with {hostname} does not check the broker's certificate: anyone "
            "can pose as it",
            hostname=hostname,
        )
        return _ClientTLS(CertificateOptions(verify=False, **own), identity)
    if identity is None:
        _log.warn(
            "TLS with {hostname} does not check the broker's name: anyone with a "
            "certificate of a trusted authority can pose as it",
            hostname=hostname,
        )
    options = CertificateOptions(trustRoot=_trust(tls), **own)
    options.getContext().set_verify(_VERIFY, partial(_verify, identity))
    return _ClientTLS(options, identity)


class KeptTLS:
    """
    What sets up TLS for several connections to one host.

    The files are read, and what is not checked is logged, for the first of them, and
    again after L{forget}.
    """

    def __init__(self, tls: TLSOptions | None, hostname: str) -> None:
        """See L{tls_for}; C{tls} is C{None} where no connection will ask."""
        self._tls = tls
        self._hostname = hostname
        self._creator: IOpenSSLClientConnectionCreator | None = None

    def creator(self) -> IOpenSSLClientConnectionCreator:
        """Return it; raises as L{tls_for}."""
        if self._creator is None:
            assert self._tls is not None
            self._creator = tls_for(self._tls, self._hostname)
        return self._creator

    def forget(self) -> None:
        """Read the files again for the next connection: they may have changed."""
        self._creator = None


def check_files(tls: TLSOptions) -> None:
    """
    Read the files of certificates and keys, as L{tls_for} does.

    @raise OSError: one cannot be read.
    @raise ValueError: one does not hold what it should, or the key is of another
        certificate.
    """
    _own_certificate(tls)
    if tls.cacertfile is not None:
        _trust(tls)


@implementer(IOpenSSLClientConnectionCreator)
class _ClientTLS:
    """Makes connections of a context, and tells the broker by which name we know it."""

    def __init__(self, options: CertificateOptions, identity: _Identity | None) -> None:
        # Made here, where an error fails the attempt; later it would only be logged.
        self._context = options.getContext()
        self._identity = identity

    def clientConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if isinstance(self._identity, DNS_ID):  # RFC 6066: addresses are not sent
            connection.set_tlsext_host_name(self._identity.hostname)
        return connection


# --- the broker's certificate ------------------------------------------------


def _identity(name: str) -> _Identity:
    """
    Return what a certificate has to be for.

    @raise ValueError: no certificate can be for that name.
    """
    if isIPAddress(name) or isIPv6Address(name):
        return IPAddress_ID(name)
    try:
        return DNS_ID(name)
    except ValueError as error:
        raise ValueError(f"no certificate can be for the host {name!r}") from error


def _verify(
    identity: _Identity | None,
    connection: SSL.Connection,
    certificate: crypto.X509,
    error: int,
    depth: int,
    ok: int,
) -> bool:
    """
    Check one certificate of the broker's chain (SSL_CTX_set_verify(3)).

    Whatever it raises makes OpenSSL refuse the certificate, and fails the handshake.

    @param error: the number of what OpenSSL finds wrong, if not C{ok}.
    @param depth: 0 for the broker's own certificate.
    """
    if not ok:
        raise CertificateRefused(_chain_error(error, depth))
    if depth == 0 and identity is not None:
        _check_name(certificate, identity)
    return True


def _chain_error(error: int, depth: int) -> str:
    why = _NO_AUTHORITY
    if error not in _NO_AUTHORITY_ERRORS:
        whose = "an authority's" if depth else "the broker's"
        what = _CHAIN_ERRORS.get(error, f"is not valid (OpenSSL's error {error})")
        why = f"{whose} certificate {what}"
    return f"certificate verify failed: {why}"


def _check_name(certificate: crypto.X509, identity: _Identity) -> None:
    """
    Check that a certificate is for the host.

    @raise CertificateRefused: it is not, or its names are malformed.
    """
    try:
        hosts = _hosts_of(certificate.to_cryptography())
        verify_service_identity(hosts, [identity], [])
    except VerificationError as error:
        raise CertificateRefused(
            "its certificate is not for that host; if it is the right broker, name "
            "it with server_name (in a URL: server_name_indication)"
        ) from error
    except Exception as error:
        why = ascii(str(error).rstrip("."))[1:-1][:_SHOWN]
        raise CertificateRefused(
            f"its certificate does not name hosts as it should: {why}"
        ) from error


def _hosts_of(certificate: x509.Certificate) -> list[DNSPattern | IPAddressPattern]:
    """
    Return the names and addresses that a certificate is for.

    @raise Exception: a name is malformed.
    """
    kind = x509.SubjectAlternativeName
    try:
        names = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return []
    return [
        *(
            DNSPattern.from_bytes(name.encode())
            for name in names.get_values_for_type(x509.DNSName)
        ),
        *(
            IPAddressPattern(cast("Any", address))  # networks have no names
            for address in names.get_values_for_type(x509.IPAddress)
        ),
    ]


def _trust(tls: TLSOptions) -> Any:
    if tls.cacertfile is None:
        return platformTrust()
    return trustRootFromCertificates(
        [
            Certificate(crypto.X509.from_cryptography(each))
            for each in _certificates(tls.cacertfile)
        ]
    )


# --- this program's certificate ---------------------------------------------


def _own_certificate(tls: TLSOptions) -> dict[str, Any]:
    """Return the certificate to show, as options of C{CertificateOptions}."""
    if tls.certfile is None:
        return {}
    own, *chain = _certificates(tls.certfile)
    keyfile = tls.keyfile or tls.certfile
    password = None if tls.password is None else tls.password.encode()
    key = _load(keyfile, lambda pem: load_pem_private_key(pem, password))
    if key.public_key() != own.public_key():
        raise ValueError(
            f"the key in {keyfile} does not belong to the certificate in {tls.certfile}"
        )
    return {"privateKey": key, "certificate": own, "extraCertChain": chain}


def _certificates(path: str) -> list[x509.Certificate]:
    return _load(path, x509.load_pem_x509_certificates)


def _load(path: str, load: Callable[[bytes], _T]) -> _T:
    pem = Path(path).read_bytes()
    try:
        return load(pem)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} does not hold what it should: {error}") from error
