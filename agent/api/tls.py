"""A certificate to serve with: its fingerprint, and the context of `ssl` that shows it."""

import os
import ssl
from hashlib import sha256


def fingerprint(certificate: str) -> str:
    """SHA-256 of the first certificate of a PEM text, as `openssl x509 -fingerprint` shows it. Raises `ValueError`."""
    first = certificate[certificate.index("-----BEGIN CERTIFICATE") :].partition("-----END CERTIFICATE-----")
    digest = sha256(ssl.PEM_cert_to_DER_cert(first[0] + first[1])).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's context, TLS 1.2 or later. `ssl` reads keys from paths only, so they pass through a memory file.

    Raises `ssl.SSLError` where the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    descriptor = os.memfd_create("kubereach-serving")
    try:
        os.write(descriptor, f"{certificate}\n{key}".encode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
