"""Everything that was seen, each with how long it took: what `diagnose --debug` adds to the page.

The page is the answer; this is for whoever doubts it. Nothing here is judged.
"""

from collections.abc import Iterator

from agent.model.capture import Capture, Firewall
from agent.model.probe import ProbeResult
from agent.render.clean import clean


def observations(capture: Capture) -> str:
    """The observations as text, in the order in which the look made them; times are milliseconds."""
    lines = [f"observations, from {capture.taken_at} on", *(f"  {clean(line)}" for line in _lines(capture))]
    return "\n".join(lines) + "\n"


def _lines(capture: Capture) -> Iterator[str]:
    for stage in capture.stages:
        yield f"{_ms(stage.seconds)}  stage {stage.name}"
    yield from _readings("before", capture.before)
    if capture.between is not None:
        yield from _readings("between", capture.between)
    for process in capture.processes.processes:
        where = f" in network namespace {process.namespace}" if process.namespace else ""
        yield f"{_ms(capture.processes.seconds)}  process {process.pid}{where}: {' '.join(process.argv) or process.name}"
    for listener in capture.processes.listeners:
        owner = listener.process or "unknown"
        yield f"{_ms(capture.processes.seconds)}  listener {listener.address} port {listener.port}: {owner}"
    for result in capture.probes:
        yield from _probe(result)
    if capture.name_lookup is not None:
        for asked in capture.name_lookup.asked:
            question = f"{asked.question.kind} {asked.question.name} at {asked.question.server}"
            yield f"{_ms(asked.seconds)}  name {question}: {', '.join(asked.addresses) or asked.answer} {asked.detail}".rstrip()
    if capture.twin is not None:
        yield f"{_ms(capture.twin.seconds)}  twin: {capture.twin.problem or capture.twin.verdict}"


def _readings(name: str, firewall: Firewall) -> Iterator[str]:
    for reading in firewall.readings:
        status = reading.problem or f"status {reading.status}, {len(reading.stdout)} characters"
        yield f"{_ms(reading.seconds)}  firewall {name}: {' '.join(reading.argv)}: {status}"


def _probe(result: ProbeResult) -> Iterator[str]:
    request = result.request
    name = f"{request.vantage} {result.source or request.source} -> {request.target} port {request.port}"
    yield f"{_ms(result.seconds)}  connect {name}: {result.outcome} {result.errno or ''}".rstrip()
    tls = result.tls
    if tls is None:
        return
    yield f"{_ms(tls.handshake_seconds)}  handshake {name}: {tls.version if tls.ok else tls.error}"
    if tls.first_byte_seconds is not None:
        yield f"{_ms(tls.first_byte_seconds)}  first byte {name}: HTTP {tls.http_status or tls.http_error}"
    elif tls.http_error:
        yield f"{_ms(tls.seconds)}  answer {name}: {tls.http_error}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:8.1f} ms"
