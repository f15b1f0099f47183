"""What a serving certificate says of itself. The only place that imports cryptography, and only when there is one to read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Certificate:
    """Subject and issuer (RFC 4514), alternative names (`DNS:...`, `IP:...`), its life (RFC 3339 in UTC), whether it is signed
    with its own key, and itself as PEM.

    A kubelet that made its certificate itself signs it with a throwaway CA: that is not self-signed in this sense.
    """

    subject: str
    issuer: str
    sans: tuple[str, ...]
    self_signed: bool
    not_before: str
    not_after: str
    pem: str


def describe(der: bytes) -> Certificate:
    """Reads an X.509 certificate; nothing in it is verified against anybody else. Raises `ValueError` where it is none."""
    # 40 ms and 10 MiB that a node whose kubelet cannot be reached does not pay.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"its extensions are not understood: {error}") from error
    sans = [f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)]
    sans += [f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)]
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        sans=tuple(sans),
        self_signed=_is_issued_by(certificate, certificate),
        not_before=f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        not_after=f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
    )


def hold_against(certificate: str, authorities: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a certificate is issued by one of `authorities`, or is one of them, and their subjects; both are PEM.

    Only a direct issuer counts: no intermediate is looked for. Raises `ValueError` where one of the texts is no PEM.
    """
    from cryptography import x509  # noqa: PLC0415  as above

    leaf = x509.load_pem_x509_certificate(certificate.encode())
    known = x509.load_pem_x509_certificates(authorities.encode())
    issued = any(leaf == authority or _is_issued_by(leaf, authority) for authority in known)
    return issued, tuple(authority.subject.rfc4514_string() for authority in known)


def _is_issued_by(certificate: "x509.Certificate", authority: "x509.Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415  as above

    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):  # another issuer, or a key that cannot tell
        return False
    return True
