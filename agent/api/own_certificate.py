"""The service's own certificate where none is given: made at its start, known by its fingerprint.

Made by the command, not by the front that shows it: the library costs 3 MiB that would stay for as long as the service runs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# It lives as long as the process, and a process that is left running may live long.
_LIFE = timedelta(days=365)
_EARLIER = timedelta(hours=1)  # clocks differ


def self_signed(names: Sequence[str], now: datetime) -> tuple[str, str]:
    """A certificate and its key, PEM. `names` are host names and IP addresses; the first becomes the subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in dict.fromkeys(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode("ascii"), private.decode("ascii")


def now() -> datetime:
    """The time, for `self_signed`."""
    return datetime.now(UTC)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
