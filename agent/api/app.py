"""The HTTP interface, put together: routes, the gate before them, problems for every error.

Handlers are plain functions, run in the thread pool, because a look blocks; only `/livez` is not.
"""

from fastapi import FastAPI

from agent import __version__
from agent.api.callers import Callers
from agent.api.contract import describe
from agent.api.fixes import fix_routes
from agent.api.gate import Gate, NodeNames
from agent.api.health import health_routes
from agent.api.problems import install
from agent.api.reports import report_routes
from agent.api.rules import rule_routes
from agent.api.schemas import schema_routes
from agent.api.traffic import Traffic
from agent.cluster.connection import node_name
from agent.model.settings import Settings
from agent.service.clock import Clock
from agent.service.diagnoses import Diagnoses
from agent.service.failures import Failures
from agent.service.fixes import Fixing
from agent.service.host import Host


def create_app(  # noqa: PLR0913 - the parts of one process, put together once
    host: Host,
    diagnoses: Diagnoses,
    settings: Settings,
    clock: Clock,
    fixing: Fixing | None = None,
    *,
    callers: Callers | None = None,
    failures: Failures | None = None,
) -> FastAPI:
    """The application. It owns neither the host nor the diagnoses: whoever made them closes them.

    `callers` decides who is let in; without it nobody is. `failures` are those of publishing, None where nothing is published.
    """
    traffic = Traffic()
    app = FastAPI(
        title="kubereach",
        version=__version__,
        description="Can pods on this node reach this node's kubelet, and if not, which rule stops them?",
        docs_url=None,  # its assets would come from a CDN, which a node in an incident may not reach
        redoc_url=None,
    )
    install(app)
    names = NodeNames(host, settings, clock)
    app.add_middleware(Gate, names=names, callers=callers or Callers(), clock=clock, traffic=traffic)
    app.include_router(report_routes(diagnoses, fixing, node_name(settings.node_name)))
    app.include_router(rule_routes(host, clock))
    if fixing is not None:
        app.include_router(fix_routes(fixing))
    app.include_router(health_routes(host, diagnoses, clock, traffic, fixing, failures=failures))
    app.include_router(schema_routes())
    describe(app)
    return app
