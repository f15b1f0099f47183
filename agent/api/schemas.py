"""The JSON Schemas of what the API answers, at addresses that name their version."""

import sys
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from agent.api.answers import json_answer, only
from agent.api.problems import ProblemError
from agent.model import schema
from agent.model.capture import Capture
from agent.model.explanation import Explanation
from agent.model.fix import Fix
from agent.model.plan import Plan
from agent.model.report import Report
from agent.render.data import as_json

# The address of each: `kubereach.dev/report/v1` is `report-v1`.
PUBLISHED: dict[str, type] = {
    "report-v1": Report,
    "capture-v1": Capture,
    "explanation-v1": Explanation,
    "plan-v1": Plan,
    "fix-v1": Fix,
}
MEDIA_TYPE = "application/schema+json"


def schema_routes() -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["schemas"])

    @router.get("/v1/schemas", dependencies=[Depends(only())])
    def names() -> Response:
        """Which schemas there are."""
        return json_answer({"items": [f"/v1/schemas/{name}" for name in PUBLISHED]})

    @router.get("/v1/schemas/{name}", dependencies=[Depends(only())])
    def one(name: str) -> Response:
        """One JSON Schema, draft 2020-12."""
        if name not in PUBLISHED:
            detail = f"There is no such schema: there are {', '.join(PUBLISHED)}."
            raise ProblemError(HTTPStatus.NOT_FOUND, "Not found", detail)
        answer = json_answer(schema.schema(PUBLISHED[name]))
        answer.headers["content-type"] = MEDIA_TYPE
        return answer

    return router


def write(directory: Path) -> None:
    """Writes every schema there: `python -m agent.api.schemas docs/schemas`, after the model was changed on purpose."""
    directory.mkdir(exist_ok=True)
    for name, kind in PUBLISHED.items():
        (directory / f"{name}.json").write_text(as_json(schema.schema(kind)), encoding="ascii")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
