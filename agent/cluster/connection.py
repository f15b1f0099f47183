"""A connection to the Kubernetes API: where its configuration is, and every failure as one kind of error with a sentence."""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# An API server that needs longer for one object is itself in trouble, and must not keep an agent from its node.
TIMEOUT = 5.0
# An exec begins when the API server has reached the kubelet, which is what may be in trouble; other nodes are asked meanwhile.
EXEC_TIMEOUT = 15.0


class ClusterError(Exception):
    """The API did not do what it was asked. `status` is the HTTP status, 0 without an answer; `patience` seconds to wait."""

    def __init__(self, sentence: str, status: int = 0, patience: float | None = None) -> None:
        super().__init__(sentence)
        self.status, self.patience = status, patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command in a container ended."""

    status: int
    stdout: bytes
    stderr: bytes


def configuration() -> Path | None:
    """The service account's directory or the kubeconfig file: what an in-cluster pod and an operator's shell have."""
    if os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        return SERVICE_ACCOUNT
    # As kubectl reads it: a list of files. The first one counts here.
    files = [text for text in os.environ.get("KUBECONFIG", "").split(os.pathsep) if text]
    return Path(files[0]) if files else None


def persons_configuration() -> Path | None:
    """The same for a command that a person runs: without KUBECONFIG, kubectl's own file in their home.

    An agent takes no file that lies there: it is asked about its node, and not about the cluster that somebody worked with.
    """
    own = Path("~/.kube/config").expanduser()
    return configuration() or (own if own.is_file() else None)


def node_name(given: str = "") -> str:
    """This node's name in the cluster: what was given, else NODE_NAME, else the host's own in lower case.

    The last is what a kubelet does without --hostname-override (kubernetes/kubernetes pkg/util/node `GetHostname`).
    """
    return given or os.environ.get("NODE_NAME", "") or os.uname().nodename.lower()


class Connection:
    """Requests to one API server, each bounded in time. Made by `connect`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def kind(self, group: str, version: str, kind: str, plural: str) -> Any:
        """The class of a custom resource that is not namespaced."""
        from lightkube.generic_resource import create_global_resource  # noqa: PLC0415

        return create_global_resource(group, version, kind, plural)

    def get(self, kind: Any, name: str) -> Any:
        """One object. Raises `ClusterError`."""
        return _sentenced(f"reading {_plural(kind)}/{name}", lambda: self._client.get(kind, name))

    def create(self, value: Any, namespace: str | None = None) -> None:
        """Makes an object. Raises `ClusterError`."""
        more = {"namespace": namespace} if namespace else {}
        _sentenced(f"creating {_plural(type(value))}", lambda: self._client.create(value, **more))

    def patch(self, kind: Any, name: str, change: dict[str, Any]) -> None:
        """A merge patch (RFC 7386). Raises `ClusterError`."""
        from lightkube.types import PatchType  # noqa: PLC0415

        _sentenced(
            f"writing {_plural(kind)}/{name}", lambda: self._client.patch(kind, name, change, patch_type=PatchType.MERGE)
        )

    def list(
        self,
        kind: Any,
        chunk: int,
        *,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """All objects, or those of a namespace with these labels and fields, asked for in chunks. Raises `ClusterError`."""
        chosen = {"namespace": namespace, "labels": labels, "fields": fields}
        more = {name: value for name, value in chosen.items() if value}
        found = _sentenced(f"listing {_plural(kind)}", lambda: iter(self._client.list(kind, chunk_size=chunk, **more)))
        while (item := _sentenced(f"listing {_plural(kind)}", lambda: next(found, None))) is not None:
            yield item

    def run(  # noqa: PLR0913 - where, what, and what bounds it
        self, pod: str, namespace: str, container: str, argv: Sequence[str], *, timeout: float, limit: int
    ) -> Ran:
        """Runs a command in a container (`pods/exec`) to its end. Safe from any thread.

        Raises `ClusterError`, also when it prints over `limit` bytes.
        """
        stdout, stderr = _Bounded(limit), _Bounded(limit)

        def ask() -> Ran:
            more = {"namespace": namespace, "container": container, "timeout": timeout}
            done = self._client.exec(pod, command=list(argv), stdout=stdout, stderr=stderr, decode=None, **more)
            return Ran(status=done.exit_code, stdout=stdout.getvalue(), stderr=stderr.getvalue())

        return _sentenced(f"exec in pod {namespace}/{pod}", ask)


class _Bounded(io.BytesIO):
    """Bytes of a stranger, up to a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        """As a file does it. Raises `ClusterError` over the limit."""
        if self.tell() + len(data) > self._limit:
            raise ClusterError(f"more than {self._limit} bytes were printed")
        return super().write(data)


def connect(source: Path | None = None, context: str = "", timeout: float = TIMEOUT) -> Connection:
    """A connection by the configuration of this process, `timeout` seconds for each of its steps.

    Raises `ClusterError` where there is none, or it is not understood.
    """
    source = source or configuration()
    if source is None:
        raise ClusterError("no cluster is configured: set KUBECONFIG, or run in a pod with a service account.")
    # Imported here: a quarter of a second and 15 MiB that a node outside any cluster need not pay.
    from lightkube import Client, KubeConfig  # noqa: PLC0415

    patience: Any = timeout  # a number is as good as the transport's own type, which differs between versions

    def make() -> Connection:
        inside = source == SERVICE_ACCOUNT
        config = KubeConfig.from_service_account(source) if inside else KubeConfig.from_file(source)
        return Connection(Client(config.get(context or None), timeout=patience, field_manager="kubereach"))

    return _sentenced(f"the cluster's configuration {source}", make)


def _sentenced(what: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Exception as error:
        # The client raises its transport's errors too, whichever that is; none is lost.
        response = getattr(error, "response", None)
        status = int(getattr(response, "status_code", 0) or 0)
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(f"{what} failed: {detail}", status, _patience(response)) from error


def _patience(response: Any) -> float | None:
    """Retry-After in seconds (RFC 9110 section 10.2.3); its form as a date is not used by API servers."""
    value = response.headers.get("Retry-After", "") if response is not None else ""
    return float(value) if value.isdecimal() else None


def _plural(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind)).lower()
