"""The kubelet's serving certificate as Go's crypto/x509 would judge it: its dates, its names, its issuer, in this order.

Certificate.Verify in crypto/x509/verify.go looks at the leaf's dates first, then at the host name, then builds chains; the one
that fails is the error that is logged. Since Go 1.20 crypto/tls puts `tls: failed to verify certificate: ` before it.
"""

from dataclasses import replace
from ipaddress import ip_address

from agent.analysis.diagnosis.catalog.kubelet import (
    CERTIFICATE_EXPIRED,
    CERTIFICATE_NOT_YET_VALID,
    CERTIFICATE_UNTRUSTED,
    CERTIFICATE_WITHOUT_ADDRESS,
)
from agent.analysis.diagnosis.rung import Fault
from agent.analysis.diagnosis.scrape import Scrape, is_address
from agent.model.probe import Tls
from agent.model.report import Remedy
from agent.model.scrape import Trust

_PREFIX = "tls: failed to verify certificate: x509: "
_SECONDS = len("2026-01-31T12:00:00")  # RFC 3339 in UTC sorts as text up to here
_BOOTSTRAP = Remedy(
    command="kubectl get csr   # then: kubectl certificate approve <name>",
    persistent={"kubelet (/var/lib/kubelet/config.yaml)": "serverTLSBootstrap: true"},
    owner="kubelet",
    note="With serverTLSBootstrap the kubelet asks the cluster's CA for a certificate that names its addresses; somebody has "
    "to approve the request. In a lab, metrics-server --kubelet-insecure-tls passes over the certificate altogether.",
)


def judge_certificate(tls: Tls, scrape: Scrape, taken_at: str, trust: Trust | None) -> Fault | None:
    """The first fault of the certificate for a client that verifies it at `taken_at`; None where there is none to see."""
    if not tls.not_after:
        return None
    fault = _dates(tls, taken_at) or _names(tls, scrape) or _issuer(tls, scrape, trust)
    return fault and replace(fault, message=f"{fault.message} {_whom(scrape, fault)}", hurts=_hurts(scrape, fault))


def covers(tls: Tls, host: str) -> bool:
    """Whether the certificate names this address or host name (crypto/x509, VerifyHostname)."""
    if is_address(host):
        named = (name.removeprefix("IP:") for name in tls.sans if name.startswith("IP:"))
        return any(is_address(name) and ip_address(name) == ip_address(host) for name in named)
    return any(_matches(name.removeprefix("DNS:"), host) for name in tls.sans if name.startswith("DNS:"))


def _matches(pattern: str, host: str) -> bool:
    """A star stands for the whole first label and nothing else."""
    wanted, given = pattern.rstrip(".").lower().split("."), host.rstrip(".").lower().split(".")
    return len(wanted) == len(given) and wanted[1:] == given[1:] and wanted[0] in ("*", given[0])


def _dates(tls: Tls, taken_at: str) -> Fault | None:
    now = f"{taken_at[:_SECONDS]}Z"
    renew = Remedy(
        command="systemctl restart kubelet",
        persistent={"kubelet (/var/lib/kubelet/config.yaml)": "rotateCertificates: true, serverTLSBootstrap: true"},
        owner="kubelet",
        note="A kubelet that signs for itself makes a new certificate at its start only where the files are gone "
        "(/var/lib/kubelet/pki/kubelet.crt and kubelet.key).",
    )
    if now > tls.not_after:
        error = f"{_PREFIX}certificate has expired or is not yet valid: current time {now} is after {tls.not_after}"
        return Fault(
            cause=CERTIFICATE_EXPIRED,
            message=f"The certificate ended at {tls.not_after}; this node's clock says {now}.",
            go_error=error,
            remedy=renew,
        )
    if now < tls.not_before:
        error = f"{_PREFIX}certificate has expired or is not yet valid: current time {now} is before {tls.not_before}"
        return Fault(
            cause=CERTIFICATE_NOT_YET_VALID,
            message=f"The certificate begins at {tls.not_before}; this node's clock says {now}. One of the two clocks that met "
            "here, the signer's then and this node's now, is wrong.",
            go_error=error,
            remedy=Remedy(command="chronyc tracking || timedatectl timesync-status", owner="the node's clock"),
        )
    return None


def _names(tls: Tls, scrape: Scrape) -> Fault | None:
    host = scrape.address
    if not host or covers(tls, host):
        return None
    names = [name.partition(":")[2] for name in tls.sans if name.startswith("IP:" if is_address(host) else "DNS:")]
    if names:
        error = f"certificate is valid for {', '.join(names)}, not {host}"
    elif is_address(host):
        error = f"cannot validate certificate for {host} because it doesn't contain any IP SANs"
    elif tls.sans:
        error = f"certificate is not valid for any names, but wanted to match {host}"
    else:
        error = "certificate relies on legacy Common Name field, use SANs instead"
    shown = ", ".join(tls.sans) or "none"
    return Fault(
        cause=CERTIFICATE_WITHOUT_ADDRESS,
        message=f"The kubelet is asked by {scrape.kind} {host}; the names in its certificate are: {shown}.",
        go_error=f"{_PREFIX}{error}",
        remedy=_BOOTSTRAP,
    )


def _issuer(tls: Tls, scrape: Scrape, trust: Trust | None) -> Fault | None:
    if scrape.own_authority:
        return None  # held against a CA that is not read here
    issued = trust.issued if trust else None
    if issued or (issued is None and not tls.self_signed):
        return None
    signer = "itself" if tls.self_signed else f"{tls.issuer}, which is not the CA that pods are given"
    known = f" ({'; '.join(trust.authorities)})" if trust and trust.authorities and not tls.self_signed else ""
    return Fault(
        cause=CERTIFICATE_UNTRUSTED,
        message=f"The certificate is signed by {signer}{known}.",
        go_error=f"{_PREFIX}certificate signed by unknown authority",
        remedy=_BOOTSTRAP,
    )


def _hurts(scrape: Scrape, fault: Fault) -> bool:
    """A kubelet out of the box signs for itself and names no address: a fault only where somebody here verifies that."""
    usual = fault.cause in (CERTIFICATE_WITHOUT_ADDRESS, CERTIFICATE_UNTRUSTED)
    return scrape.strict if usual else scrape.strict or scrape.server is None


def _whom(scrape: Scrape, fault: Fault) -> str:
    if scrape.strict and scrape.server:
        return f"metrics-server (pid {scrape.server.pid}) verifies it, and so cannot read this node."
    if scrape.server:
        return "metrics-server here does not verify it (--kubelet-insecure-tls) and reads this node all the same."
    usual = fault.cause in (CERTIFICATE_WITHOUT_ADDRESS, CERTIFICATE_UNTRUSTED)
    whom = "a metrics-server without --kubelet-insecure-tls, or an API server with --kubelet-certificate-authority"
    return f"This is how a kubelet comes out of the box; it hurts {whom}." if usual else f"It hurts {whom}."
