"""TLS alerts in the words of Go's crypto/tls, which are what metrics-server logs behind `remote error: tls: `.

OpenSSL names the alert that a peer sent in its error's reason: `TLSV1_ALERT_INTERNAL_ERROR`, `SSLV3_ALERT_HANDSHAKE_FAILURE`.
"""

import re
import ssl

_REASON = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_([A-Z0-9_]+)")
# Where Go says it otherwise than OpenSSL (crypto/tls/alert.go, alertText).
_GO = {
    "bad record mac": "bad record MAC",
    "certificate expired": "expired certificate",
    "certificate revoked": "revoked certificate",
    "certificate unknown": "unknown certificate",
    "unknown ca": "unknown certificate authority",
    "decode error": "error decoding message",
    "decrypt error": "error decrypting message",
    "protocol version": "protocol version not supported",
    "insufficient security": "insufficient security level",
    "user cancelled": "user canceled",
    "unknown psk identity": "unknown PSK identity",
}


def alert_of(error: Exception) -> str:
    """The alert that ended a handshake, or an empty string where none came: the error is another one."""
    found = _REASON.fullmatch(error.reason or "") if isinstance(error, ssl.SSLError) else None
    if found is None:
        return ""
    words = found[1].replace("_", " ").lower()
    return _GO.get(words, words)
