"""The rules as they are now, and what they would do to a packet."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from agent.api.answers import Form, json_answer, only, text_answer
from agent.render import chains, text
from agent.service.clock import Clock
from agent.service.explaining import explain_live
from agent.service.host import Host
from agent.service.input_path import narrow, read_live, trace_path
from agent.service.question import Question


class PacketQuery(BaseModel):
    """The packet, in the words of `kubereach explain`."""

    src: str = Field(description="The packet's source address, or a network: each of its addresses is then walked.")
    dst: str = Field(description="Its destination, taken as an address of this node.")
    in_: str = Field("", alias="in", description="The interface it comes in by. Not given: rules that ask for it are a maybe.")
    proto: str = Field("tcp", description="Protocol, by name or number.")
    sport: str = Field("", description="Source port.")
    dport: str = Field("", description="Destination port.")
    ctstate: str = Field("NEW", description="Connection-tracking state.")
    mark: str = Field("", description="The packet's mark, decimal or hexadecimal with 0x.")
    local: list[str] = Field([], description="Further addresses of this node.")
    o: Form = "json"

    def question(self) -> Question:
        """The same, for the service."""
        return Question(**{**self.model_dump(exclude={"o"}), "local": tuple(self.local)})


_WORDS = tuple(field.alias or name for name, field in PacketQuery.model_fields.items())


def rule_routes(host: Host, clock: Clock) -> APIRouter:
    """The routes. Both read the node's firewall at once; neither changes anything."""
    router = APIRouter(tags=["rules"])

    @router.get("/v1/firewall", dependencies=[Depends(only("o", "version"))])
    def firewall(o: Form = "json", version: Literal["4", "6"] = "4") -> Response:
        """The rules that a packet to this node meets. JSON has both IP versions, text the one asked for."""
        ruleset = read_live(host)
        path = trace_path(ruleset)
        return (
            text_answer(chains.rules(narrow(ruleset), int(version), path.remarks, path.notes))
            if o == "text"
            else json_answer(path)
        )

    @router.get("/v1/explain", dependencies=[Depends(only(*_WORDS, many="local"))])
    def explain(query: Annotated[PacketQuery, Query()]) -> Response:
        """Which rule decides about this packet."""
        explanation = explain_live(host, query.question(), clock)
        return text_answer(text.explanation(explanation)) if query.o == "text" else json_answer(explanation)

    return router
