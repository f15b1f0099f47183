"""Serving certificates as kubelets have them, in order and out of it, and the cluster's CA on stage."""

import os
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


class Signer(StrEnum):
    """Who signed: the kubelet itself, the cluster's CA, another CA; NOBODY: there is no certificate (yet)."""

    ITSELF = "itself"
    CLUSTER = "cluster"
    STRANGER = "stranger"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A serving certificate. `address` is an address that it names beside the node's name, empty for none.

    It is valid from `begins` to `ends` days from now; a kubelet's own is valid for a year (client-go util/cert).
    """

    signer: Signer = Signer.ITSELF
    address: str = ""
    begins: int = -1
    ends: int = 365


def make_authority(folder: Path, now: datetime) -> None:
    """Writes the CA of a cluster on stage: `ca.crt` and `ca.key`, PEM."""
    certificate, key = _authority("kubernetes", now)
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(certificate.public_bytes(_PEM))
    (folder / "ca.key").write_bytes(_private(key))


def certify(node: str, now: datetime, serving: Serving | None = None, authority: Path | None = None) -> tuple[bytes, bytes]:
    """A serving certificate and its key, PEM. As a kubelet signs for itself: CN=<node>@<seconds>, a DNS name, no address
    (k8s.io/client-go/util/cert GenerateSelfSignedCertKey); as a cluster signs for it: CN=system:node:<node>.
    """
    wanted = serving or Serving()
    key = ec.generate_private_key(ec.SECP256R1())
    own = wanted.signer is Signer.ITSELF
    name = _name(f"{node}@{int(now.timestamp())}" if own else f"system:node:{node}")
    issuer, issuing = (name, key) if own else _issuer(wanted.signer, now, authority)
    sans: list[x509.GeneralName] = [x509.DNSName(node)]
    sans += [x509.IPAddress(ip_address(wanted.address))] if wanted.address else []
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=wanted.begins))
        .not_valid_after(now + timedelta(days=wanted.ends))
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .sign(issuing, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM), _private(key)


def secure(certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A TLS server context. `ssl` reads keys from paths only, so they pass through a memory file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("kubelet-serving")
    try:
        os.write(descriptor, certificate + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _issuer(signer: Signer, now: datetime, authority: Path | None) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    if signer is Signer.STRANGER or authority is None:
        certificate, key = _authority("another-cluster", now)
        return certificate.subject, key
    certificate = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes())
    private = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("the CA on stage has a key of another kind than it was made with")
    return certificate.subject, private


def _authority(name: str, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
