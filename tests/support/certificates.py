"""
Certificates for tests: an authority, and the certificates that it signs.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

EMAIL, DNS_NAME, URI, IP_ADDRESS = 0x81, 0x82, 0x86, 0x87
"""The kinds of alternative names, as their tags in DER."""

_ALTERNATIVE_NAME = ExtensionOID.SUBJECT_ALTERNATIVE_NAME


class Authority:
    """
    Signs certificates.

    @ivar cacertfile: its own certificate, in PEM form.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority of the tests")
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(self._key, hashes.SHA256())
        )
        path = folder / "ca.pem"
        path.write_bytes(_pem(certificate))
        self.cacertfile = str(path)

    def sign(
        self,
        host: str,
        *,
        names: bytes | None = None,
        days: tuple[int, int] = (-1, 2),
        password: str | None = None,
        file: str = "",
    ) -> str:
        """
        Make a certificate for a host name.

        @param names: the result of L{alternative_names}, instead of the host alone;
            C{b""} for no names.
        @param days: the first and the last day of its validity, counted from now.
        @param password: the passphrase of its key.
        @param file: the name of the file; default is the host's.
        @return: a file with the certificate and its key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(host), self._name, key.public_key(), days)
        if names is None:
            names = alternative_names((DNS_NAME, host.encode()))
        if names:
            named = x509.UnrecognizedExtension(_ALTERNATIVE_NAME, names)
            builder = builder.add_extension(named, False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = self._folder / (file or f"{host}.pem")
        path.write_bytes(_pem(certificate) + _pem(key, password))
        return str(path)


def alternative_names(*names: tuple[int, bytes]) -> bytes:
    """
    Write a subjectAltName, however malformed the names are (RFC 5280, 4.2.1.6).

    @param names: each with its kind; less than 128 bytes together.
    """
    entries = b"".join(bytes([kind, len(name)]) + name for kind, name in names)
    return bytes([0x30, len(entries)]) + entries


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    days: tuple[int, int] = (-1, 2),
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )


def _pem(
    part: x509.Certificate | ec.EllipticCurvePrivateKey, password: str | None = None
) -> bytes:
    if isinstance(part, x509.Certificate):
        return part.public_bytes(serialization.Encoding.PEM)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return part.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
