"""The question and its answer: the page, the report, the one-line verdict, the diagnoses behind them, the capture."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from agent.api.answers import Form, json_answer, only, page_answer, text_answer
from agent.api.problems import ProblemError
from agent.model.report import Report, State
from agent.render import page, text
from agent.render.page import Past
from agent.service.diagnoses import Diagnoses, Diagnosis
from agent.service.input_path import met_rules

SCHEMA = "kubereach.dev/diagnosis/v1"
# Degraded is 200: pods do reach the kubelet. Unknown is 503: nobody should take it for a yes.
VERDICT_STATUS = {
    State.REACHABLE: HTTPStatus.OK,
    State.DEGRADED: HTTPStatus.OK,
    State.BLOCKED: HTTPStatus.SERVICE_UNAVAILABLE,
    State.UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}


def report_routes(diagnoses: Diagnoses) -> APIRouter:
    """The routes. A report that is younger than ten seconds is given again; an older one is replaced first."""
    router = APIRouter(tags=["report"])

    @router.get("/", dependencies=[Depends(only("o"))])
    def root(request: Request, o: Form | None = None) -> Response:
        """The page: text for curl, HTML for a browser, the report as JSON with `?o=json`."""
        report = _report(diagnoses.recent())
        if o == "json":
            return json_answer(report)
        if o is None and "text/html" in request.headers.get("accept", ""):
            return page_answer(_page(diagnoses, report))
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

    @router.get("/v1/capture", dependencies=[Depends(only())])
    def capture() -> Response:
        """What the latest report rests on, raw: a bug report, and the input of `kubereach replay`."""
        _report(diagnoses.recent())
        return json_answer(diagnoses.capture())

    @router.post("/v1/diagnoses", status_code=HTTPStatus.CREATED, dependencies=[Depends(only("wait", "o"))])
    def diagnose(wait: bool = True, o: Form = "json") -> Response:
        """Looks now, or joins the look under way. With `wait=false` it answers 202 at once; Location says where it will be."""
        diagnosis = diagnoses.run() if wait else diagnoses.start()
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
            detail = "There is no such diagnosis, or it is forgotten: GET /v1/diagnoses lists those that are kept."
            raise ProblemError(HTTPStatus.NOT_FOUND, "Not found", detail)
        if o == "text":
            return text_answer(text.report(diagnosis.report) if diagnosis.report else f"{diagnosis.progress.value}\n")
        return json_answer({**_entry(diagnosis), "report": diagnosis.report})

    return router


def _report(diagnosis: Diagnosis) -> Report:
    if diagnosis.report is None:
        detail = f"{diagnosis.error} GET /readyz?verbose says what this process may see."
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "The diagnosis failed", detail)
    return diagnosis.report


def _page(diagnoses: Diagnoses, report: Report) -> str:
    capture = diagnoses.capture()
    rules, remarks = met_rules(capture) if capture else (None, {})
    history = (
        Past(id=each.id, asked_at=each.asked_at, state=each.report.state.value, summary=each.report.summary)
        for each in diagnoses.all()
        if each.report
    )
    return page.render(report, rules, remarks, tuple(history))


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
