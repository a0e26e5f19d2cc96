"""A certificate authority of one's own, for hosts that are played on this machine."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_DAYS = 3650  # its certificate is a part of images, which a new one would rebuild
_HOST_DAYS = 30
_SHARED = Path(__file__).resolve().parents[2] / ".toolchain" / "demo"
_CLOCK_SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Authority:
    """The authority's own certificate and key, both PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def create(cls, name: str) -> Self:
        """A new one, of this common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _begin(subject, subject, key.public_key(), _AUTHORITY_DAYS).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        return cls(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))

    @classmethod
    def kept(cls, folder: Path, name: str) -> Self:
        """The one of this folder (`authority.pem`, `authority.key`), made when there is none."""
        certificate, key = folder / "authority.pem", folder / "authority.key"
        if not (certificate.is_file() and key.is_file()):
            made = cls.create(name)
            folder.mkdir(parents=True, exist_ok=True)
            key.touch(0o600)
            key.write_bytes(made.key)
            certificate.write_bytes(made.certificate)
        return cls(certificate.read_bytes(), key.read_bytes())

    @classmethod
    def shared(cls) -> Self:
        """The one of this checkout. Images hold its certificate: with a new one each time, each time is a new build."""
        return cls.kept(_SHARED, "agent-environments, for hosts played on this machine")

    def issue(self, host: str) -> Issued:
        """A certificate for a server of this name."""
        authority = x509.load_pem_x509_certificate(self.certificate)
        signer = serialization.load_pem_private_key(self.key, None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        builder = (
            _begin(subject, authority.subject, key.public_key(), _HOST_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        return Issued(_pem(builder.sign(signer, hashes.SHA256())), _key_pem(key))


def _begin(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
