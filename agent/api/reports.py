"""The question and its answer: the page, the report, the one-line verdict, the diagnoses behind them, the capture."""

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from agent.api.answers import Form, json_answer, only, page_answer, text_answer
from agent.api.problems import ProblemError
from agent.model.codec import to_plain
from agent.model.fix import Fixes
from agent.model.report import Report, State
from agent.model.settings import Extras
from agent.render import page, text
from agent.render.page import Past
from agent.service.answering import Shortened, newest_fix
from agent.service.diagnoses import Diagnoses, Diagnosis
from agent.service.fixes import Fixing
from agent.service.host import HostError
from agent.service.input_path import met_rules

SCHEMA = "kubereach.dev/diagnosis/v1"
UNKNOWN = "There is no such diagnosis, or it is forgotten: GET /v1/diagnoses lists those that are kept."
# Seconds between two looks at a diagnosis that is followed: a stage takes milliseconds, a reader's eye a tenth of a second.
_PULSE = 0.1
# A connection that is silent for this many pulses is told that it is not forgotten; one that is gone is found out by it.
_BEAT = 20
# Degraded is 200: pods do reach the kubelet. Unknown is 503: nobody should take it for a yes.
VERDICT_STATUS = {
    State.REACHABLE: HTTPStatus.OK,
    State.DEGRADED: HTTPStatus.OK,
    State.BLOCKED: HTTPStatus.SERVICE_UNAVAILABLE,
    State.UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}


def report_routes(diagnoses: Diagnoses, fixing: Fixing | None = None, node: str = "") -> APIRouter:
    """The routes. A report that is younger than ten seconds is given again; an older one is replaced first.

    `fixing` knows the fixes that the page shows; `node` is the name that the cluster has for this node.
    """
    router = APIRouter(tags=["report"])
    shortened = Shortened(node, lambda: newest_fix(fixing) if fixing else None)

    @router.get("/", dependencies=[Depends(only("o"))])
    def root(request: Request, o: Form | None = None) -> Response:
        """The page: text for curl, HTML for a browser, the report as JSON with `?o=json`."""
        report = _report(diagnoses.recent())
        if o == "json":
            return json_answer(report)
        if o is None and "text/html" in request.headers.get("accept", ""):
            return page_answer(_page(diagnoses, fixing, report))
        return text_answer(text.report(report))

    @router.get("/v1/report", dependencies=[Depends(only("o"))])
    def report(o: Form = "json") -> Response:
        """The latest report if it is younger than ten seconds, else a new one."""
        found = _report(diagnoses.recent())
        return text_answer(text.report(found)) if o == "text" else json_answer(found)

    @router.get("/v1/verdict", dependencies=[Depends(only())])
    def verdict() -> Response:
        """One line; 200 when pods reach the kubelet, 503 when they are blocked or nobody can tell."""
        found = _report(diagnoses.recent())
        return text_answer(text.verdict(found), VERDICT_STATUS[found.state])

    @router.get("/v1/reach", dependencies=[Depends(only())])
    def reach() -> Response:
        """The same answer as short as the cluster keeps it: what `kubereach cluster --from agents` puts side by side."""
        diagnosis = diagnoses.recent()
        found = shortened(diagnosis, _report(diagnosis), diagnoses.capture)
        if found is None:  # a fix was put in or taken out while the first look of all was under way
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "The diagnosis is outdated", "The rules changed: ask again.")
        return json_answer(found)

    @router.get("/v1/capture", dependencies=[Depends(only())])
    def capture() -> Response:
        """What the latest report rests on, raw: a bug report, and the input of `kubereach replay`."""
        _report(diagnoses.recent())
        return json_answer(diagnoses.capture())

    @router.post("/v1/diagnoses", status_code=HTTPStatus.CREATED, dependencies=[Depends(only("wait", "o", "deep", "phantom"))])
    def diagnose(wait: bool = True, o: Form = "json", deep: bool = False, phantom: bool = False) -> Response:
        """Looks now, or joins the look under way. With `wait=false` it answers 202 at once; Location says where it will be.

        `deep=true`: one more connect under the kernel's own trace, and its drop reason. `phantom=true`: where the node has no
        pod, one is made for the time of the look.
        """
        extras = Extras(deep=deep, phantom=phantom)
        diagnosis = diagnoses.run(extras) if wait else diagnoses.start(extras)
        location = {"Location": f"/v1/diagnoses/{diagnosis.id}"}
        if not wait:
            return json_answer(_entry(diagnosis), HTTPStatus.ACCEPTED, **location)
        found = _report(diagnosis)
        if o == "text":
            return text_answer(text.report(found), HTTPStatus.CREATED, **location)
        return json_answer({**_entry(diagnosis), "report": found}, HTTPStatus.CREATED, **location)

    @router.get("/v1/diagnoses", dependencies=[Depends(only())])
    def history() -> Response:
        """The last diagnoses, newest first; those that found trouble are kept longer than those that did not."""
        return json_answer({"schema": SCHEMA, "items": [_entry(diagnosis) for diagnosis in diagnoses.all()]})

    @router.get("/v1/diagnoses/{diagnosis_id}", dependencies=[Depends(only("o"))])
    def one(diagnosis_id: str, o: Form = "json") -> Response:
        """One diagnosis, with its report when it is done."""
        diagnosis = diagnoses.get(diagnosis_id)
        if diagnosis is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "Not found", UNKNOWN)
        if o == "text":
            return text_answer(text.report(diagnosis.report) if diagnosis.report else f"{diagnosis.progress.value}\n")
        return json_answer({**_entry(diagnosis), "report": diagnosis.report})

    @router.get("/v1/diagnoses/{diagnosis_id}/events", dependencies=[Depends(only())])
    async def events(diagnosis_id: str) -> Response:
        """Server-sent events: `stage` for each part of the look as it ends, then `done` or `failed` with the diagnosis."""
        if diagnoses.get(diagnosis_id) is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "Not found", UNKNOWN)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(diagnoses, diagnosis_id), media_type="text/event-stream", headers=headers)

    return router


async def _events(diagnoses: Diagnoses, diagnosis_id: str) -> AsyncIterator[str]:
    """Lines as the HTML standard has them (9.2.5). Looks again and again instead of waiting, which would take a thread."""
    told, silent = 0, 0
    while (diagnosis := diagnoses.get(diagnosis_id)) is not None:
        for stage in diagnosis.stages[told:]:
            yield _event("stage", to_plain(stage))
        told, silent = len(diagnosis.stages), 0 if len(diagnosis.stages) > told else silent + 1
        if diagnosis.ended_at is not None:
            yield _event(diagnosis.progress.value, _entry(diagnosis))
            return
        if silent % _BEAT == _BEAT - 1:
            yield ": still looking\n\n"
        await asyncio.sleep(_PULSE)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"  # JSON has no line ends of its own here


def _report(diagnosis: Diagnosis) -> Report:
    if diagnosis.report is None:
        detail = f"{diagnosis.error} GET /readyz?verbose says what this process may see."
        again = {"Retry-After": "1"} if diagnosis.passing else {}
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "The diagnosis failed", detail, again)
    return diagnosis.report


def _page(diagnoses: Diagnoses, fixing: Fixing | None, report: Report) -> str:
    capture = diagnoses.capture()
    rules, remarks = met_rules(capture) if capture else (None, {})
    history = (
        Past(id=each.id, asked_at=each.asked_at, state=each.report.state.value, summary=each.report.summary)
        for each in diagnoses.all()
        if each.report
    )
    return page.render(report, rules, remarks, tuple(history), _fixes(fixing) if fixing else None)


def _fixes(fixing: Fixing) -> Fixes:
    """Those that are known; where the journal cannot be read, the sentence that says so: the report is whole without."""
    try:
        return fixing.all()
    except HostError as error:
        return Fixes(fixes=(), problems=(str(error),))


def _entry(diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis without its report: `state` is the run's, `answer` the report's."""
    report = diagnosis.report
    return {
        "schema": SCHEMA,
        "id": diagnosis.id,
        "state": diagnosis.progress.value,
        "asked_at": diagnosis.asked_at,
        "ended_at": diagnosis.ended_at,
        "error": diagnosis.error,
        "answer": report.state.value if report else None,
        "summary": report.summary if report else None,
    }
