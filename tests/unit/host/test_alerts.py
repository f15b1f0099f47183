import ssl

import pytest

from agent.host.alerts import alert_of


def error(reason: str) -> ssl.SSLError:
    made = ssl.SSLError(1, reason)
    made.reason = reason
    return made


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV1_ALERT_INTERNAL_ERROR", "internal error"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "handshake failure"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "protocol version not supported"),
        ("SSLV3_ALERT_BAD_RECORD_MAC", "bad record MAC"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate required"),
        ("WRONG_VERSION_NUMBER", ""),
        ("UNEXPECTED_EOF_WHILE_READING", ""),
    ],
)
def test_alerts_are_told_in_the_words_of_go(reason: str, words: str) -> None:
    assert alert_of(error(reason)) == words


def test_what_is_no_tls_error_is_no_alert() -> None:
    assert alert_of(TimeoutError()) == ""
