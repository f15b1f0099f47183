from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.host import certificate
from agent.lab.serving import Serving, Signer, certify, make_authority

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_a_certificate_tells_its_names_its_issuer_and_its_life(tmp_path: Path) -> None:
    make_authority(tmp_path / "pki", NOW)
    pem, _ = certify("n1", NOW, Serving(signer=Signer.CLUSTER, address="192.0.2.10"), tmp_path / "pki")
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    shown = certificate.describe(der)
    assert (shown.subject, shown.issuer) == ("CN=system:node:n1", "CN=kubernetes")
    assert shown.sans == ("DNS:n1", "IP:192.0.2.10")
    assert shown.self_signed is False
    assert (shown.not_before, shown.not_after) == ("2026-01-30T12:00:00Z", f"{NOW + timedelta(days=365):%Y-%m-%dT%H:%M:%SZ}")
    assert shown.pem == pem.decode()


@pytest.mark.parametrize(("signer", "issued"), [(Signer.CLUSTER, True), (Signer.STRANGER, False), (Signer.ITSELF, False)])
def test_only_the_clusters_own_signature_counts(tmp_path: Path, signer: Signer, issued: bool) -> None:
    make_authority(tmp_path / "pki", NOW)
    pem, _ = certify("n1", NOW, Serving(signer=signer), tmp_path / "pki")
    authority = (tmp_path / "pki" / "ca.crt").read_text()
    assert certificate.hold_against(pem.decode(), authority) == (issued, ("CN=kubernetes",))


def test_a_certificate_that_is_itself_an_authority_is_trusted() -> None:
    pem, _ = certify("n1", NOW)
    assert certificate.hold_against(pem.decode(), pem.decode())[0] is True


def test_a_text_that_is_no_certificate_is_a_value_error() -> None:
    pem, _ = certify("n1", NOW)
    with pytest.raises(ValueError):  # noqa: PT011  the library's own words
        certificate.hold_against(pem.decode(), "no PEM")
