"""Plans and fixes: the guarded change. Only POST and DELETE change anything, and each twice is as good as once."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from agent.api.answers import Form, json_answer, only, text_answer
from agent.model.plan import LEASE, LONGEST_LEASE, LeaseKind
from agent.render import fixes as render
from agent.service.fixes import Fixing, Wishes


class Apply(BaseModel):
    """Which plan, and what is asked beyond it."""

    model_config = ConfigDict(extra="forbid")
    plan: str = Field(pattern="^[0-9a-f]{12}$", description="The id of a plan that POST /v1/plans made.")
    lease: LeaseKind = Field(LeaseKind.KERNEL, description="Who ends it: the kernel, or this process.")
    put_back: bool = Field(False, description="Put it in again, at most 3 times, where a reload takes it out.")
    cut_flows: bool = Field(False, description="End the connections that it let in together with it.")


class Confirm(BaseModel):
    """For how long from now."""

    model_config = ConfigDict(extra="forbid")
    lease: Annotated[int, Field(strict=True, ge=1, le=LONGEST_LEASE)] = LEASE


def fix_routes(fixing: Fixing) -> APIRouter:
    """The routes. Whether anything may be changed at all is the broker's to say, by the operator's --allow-fix."""
    router = APIRouter(tags=["fixes"])

    @router.post("/v1/plans", status_code=HTTPStatus.CREATED, dependencies=[Depends(only("o"))])
    def create_plan(o: Form = "json") -> Response:
        """Looks now and says which one rule would help, where it goes, and what it would change. Changes nothing."""
        made = fixing.plan()
        location = {"Location": f"/v1/plans/{made.id}"}
        if o == "text":
            return text_answer(render.plan(made), HTTPStatus.CREATED, **location)
        return json_answer(made, HTTPStatus.CREATED, **location)

    @router.get("/v1/plans/{plan_id}", dependencies=[Depends(only("o"))])
    def one_plan(plan_id: str, o: Form = "json") -> Response:
        """A plan that was made here lately."""
        found = fixing.planned(plan_id)
        return text_answer(render.plan(found)) if o == "text" else json_answer(found)

    @router.post("/v1/fixes", status_code=HTTPStatus.CREATED, dependencies=[Depends(only())])
    def create_fix(wanted: Apply, request: Request) -> Response:
        """Puts the rule in and tries it. 201: it is on trial. 200: the same was open already, and this is its fix."""
        wishes = Wishes(kind=wanted.lease, put_back=wanted.put_back, cut_flows=wanted.cut_flows)
        fix = fixing.apply(fixing.planned(wanted.plan), _caller(request), wishes)
        status = HTTPStatus.OK if fix.known else HTTPStatus.CREATED
        return json_answer(fix, status, Location=f"/v1/fixes/{fix.id}")

    @router.get("/v1/fixes", dependencies=[Depends(only("o"))])
    def all_fixes(o: Form = "json") -> Response:
        """Those that are known, newest first."""
        found = fixing.all()
        return text_answer(render.fixes(found.fixes, found.problems)) if o == "text" else json_answer(found)

    @router.get("/v1/fixes/{fix_id}", dependencies=[Depends(only())])
    def one_fix(fix_id: str) -> Response:
        """One of them."""
        return json_answer(fixing.get(fix_id))

    @router.post("/v1/fixes/{fix_id}/confirm", dependencies=[Depends(only())])
    def confirm_fix(fix_id: str, request: Request, wanted: Confirm | None = None) -> Response:
        """Has it last, from now on for so many seconds; again before the end, for longer."""
        return json_answer(fixing.confirm(fix_id, _caller(request), (wanted or Confirm()).lease))

    @router.delete("/v1/fixes/{fix_id}", dependencies=[Depends(only())])
    def delete_fix(fix_id: str, request: Request) -> Response:
        """Takes it out. Of one that has ended already, says how."""
        return json_answer(fixing.revert(fix_id, _caller(request)))

    return router


def _caller(request: Request) -> str:
    """Who asks, for the audit log: the name that the gate found out, where it did."""
    return str(getattr(request.state, "caller", "") or f"HTTP from {request.client.host if request.client else 'a socket'}")
