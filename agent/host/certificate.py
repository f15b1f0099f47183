"""What a serving certificate says of itself. The only place that imports cryptography, and only when there is one to read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Certificate:
    """Subject (RFC 4514), alternative names (`DNS:...`, `IP:...`), and whether it is signed with its own key.

    A kubelet that made its certificate itself signs it with a throwaway CA: that is not self-signed in this sense.
    """

    subject: str
    sans: tuple[str, ...]
    self_signed: bool


def describe(der: bytes) -> Certificate:
    """Reads an X.509 certificate; nothing in it is verified against anybody else. Raises `ValueError` where it is none."""
    # 40 ms and 10 MiB that a node whose kubelet cannot be reached does not pay.
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"its extensions are not understood: {error}") from error
    sans = [f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)]
    sans += [f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)]
    return Certificate(certificate.subject.rfc4514_string(), tuple(sans), _is_self_signed(certificate))


def _is_self_signed(certificate: "x509.Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415  as above

    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):  # another issuer, or a key that cannot tell
        return False
    return True
