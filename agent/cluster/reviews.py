"""Who is behind a bearer token, and what may they do? Asked of the Kubernetes API: TokenReview and SubjectAccessReview.

A token goes to the API server for which it was made, and nowhere else; it appears in no error.
"""

import asyncio
from typing import Any

from agent.cluster.connection import configuration
from agent.cluster.node import TIMEOUT, load
from agent.model.access import GROUP, Action, User

# A service account's own token is renewed every hour or so, and the client reads it once.
_FRESH = 300.0


class ReviewError(Exception):
    """The Kubernetes API did not decide; the message is a sentence. Whoever asked must be refused."""


def in_cluster() -> bool:
    """Whether there is an API server to ask."""
    return configuration() is not None


class Reviews:
    """Asks one API server. For one event loop."""

    def __init__(self, audience: str, node: str) -> None:
        self._audience, self._node = audience, node
        self._client: tuple[float, Any] | None = None

    async def who(self, token: str) -> User | None:
        """Whose token this is; None where it is nobody's, expired, or made for another audience. Raises `ReviewError`."""
        from lightkube.models.authentication_v1 import TokenReviewSpec  # noqa: PLC0415 - see agent.cluster.node
        from lightkube.resources.authentication_v1 import TokenReview  # noqa: PLC0415

        status = await self._ask("TokenReview", TokenReview(spec=TokenReviewSpec(token=token, audiences=[self._audience])))
        user = status.user
        # An API server that knows no audiences names none: then the token is one for the API server itself.
        if not status.authenticated or self._audience not in (status.audiences or []) or user is None or not user.username:
            return None
        extra = tuple((str(key), tuple(map(str, values))) for key, values in (user.extra or {}).items())
        return User(name=user.username, uid=user.uid or "", groups=tuple(user.groups or ()), extra=extra)

    async def may(self, user: User, action: Action) -> bool:
        """Whether they may do this on this node (the resource's name is the node's). Raises `ReviewError`."""
        from lightkube.models.authorization_v1 import ResourceAttributes, SubjectAccessReviewSpec  # noqa: PLC0415
        from lightkube.resources.authorization_v1 import SubjectAccessReview  # noqa: PLC0415

        asked = ResourceAttributes(group=GROUP, resource=action.resource, verb=action.verb, name=self._node)
        spec = SubjectAccessReviewSpec(
            user=user.name,
            uid=user.uid,
            groups=list(user.groups),
            extra={key: list(values) for key, values in user.extra},
            resourceAttributes=asked,
        )
        status = await self._ask("SubjectAccessReview", SubjectAccessReview(spec=spec))
        return bool(status.allowed) and not status.denied

    async def _ask(self, what: str, review: Any) -> Any:
        try:
            answer = await (await self._connected()).create(review)
            status = answer.status
        except Exception as error:  # noqa: BLE001 - the client raises its transport's errors too, whichever httpx that is; none is lost
            code = getattr(getattr(error, "response", None), "status_code", None)
            why = f"HTTP {code}" if code else type(error).__name__
            raise ReviewError(f"The Kubernetes API did not answer a {what} ({why}).") from None  # its trace may hold the token
        if status is None:
            raise ReviewError(f"The Kubernetes API answered a {what} without a status.")
        return status

    async def _connected(self) -> Any:
        from lightkube import AsyncClient  # noqa: PLC0415

        now = asyncio.get_running_loop().time()
        if self._client is None or now - self._client[0] > _FRESH:
            source = configuration()
            if source is None:
                raise ReviewError("There is no Kubernetes API to ask.")
            timeout: Any = TIMEOUT
            await self.close()
            self._client = (now, AsyncClient(load(source), timeout=timeout))
        return self._client[1]

    async def close(self) -> None:
        """Ends the connection to the API server, if there is one."""
        if self._client is not None:
            _, client = self._client
            self._client = None
            await client.close()
