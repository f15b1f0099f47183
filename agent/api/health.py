"""Is this process alive, can it look, and what did it last see: for the kubelet and for Prometheus."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from agent.api.answers import only, text_answer
from agent.api.callers import CALLER
from agent.api.traffic import Traffic
from agent.model.preflight import Check
from agent.render.clean import clean
from agent.render.metrics import CONTENT_TYPE, Counts, metrics
from agent.service.clock import Clock
from agent.service.diagnoses import Diagnoses
from agent.service.failures import Failures
from agent.service.fixes import Fixing
from agent.service.host import Host
from agent.service.readiness import ReadinessKept


def health_routes(  # noqa: PLR0913 - what a scrape tells of
    host: Host, diagnoses: Diagnoses, clock: Clock, traffic: Traffic, fixing: Fixing | None, *, failures: Failures | None
) -> APIRouter:
    """The routes. None of them starts a diagnosis."""
    router = APIRouter(tags=["health"])
    readiness = ReadinessKept(host, clock)

    @router.get("/livez")
    async def livez() -> Response:
        """Touches nothing: only a process that is stuck does not answer."""
        return text_answer("ok\n")

    @router.get("/readyz", dependencies=[Depends(only("verbose"))])
    def readyz(request: Request) -> Response:
        """503 where nothing of the firewall can be read, as while the broker is started again.

        `?verbose` says what may be seen, a line for each check.
        Strangers (kubelets have no token) are told one word only.
        """
        found = readiness.get()
        status = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
        told = "verbose" in request.query_params or not found.ready
        lines = [_line(check) for check in found.checks] if told and request.scope["state"].get(CALLER) else []
        return text_answer("".join(f"{line}\n" for line in (*lines, "ok" if found.ready else "not ready")), status)

    @router.get("/metrics")
    def exposition() -> Response:
        """The latest report as Prometheus metrics."""
        latest, fixes = diagnoses.latest(), fixing.counts() if fixing else None
        report, brokers = latest.report if latest else None, (host.lives(), max(0, host.incarnation() - 1))
        counts = Counts(
            diagnoses=diagnoses.counts(),
            requests=traffic.requests(),
            fixes=fixes,
            brokers=brokers,
            failures=failures.counts() if failures else None,
        )
        return Response(metrics(report, counts), media_type=CONTENT_TYPE)

    return router


def _line(check: Check) -> str:
    """In the form of Kubernetes' own `/readyz?verbose`."""
    sentences = ". ".join(part.rstrip(".") for part in (check.detail, check.remedy if not check.ok else "") if part)
    return clean(
        f"[{'+' if check.ok else '-'}]{check.name} {'ok' if check.ok else 'failed'}" + (f": {sentences}" if sentences else "")
    )
