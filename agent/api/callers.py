"""Who is asking? By which door they came, what they hold, and whether that is enough for what they want.

Whatever goes wrong here refuses. A token is compared or shown to the cluster that issued it, and kept by nobody.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Scope

from agent.api.problems import ProblemError
from agent.model.access import GET_DIAGNOSES, Action
from agent.service.authority import Authority, ReviewError
from agent.service.limits import Limiter

# In `scope["state"]`: set by the listener for connections over the Unix socket, by the gate for whoever it let in.
PEER_UID, LOOPBACK, CALLER = "peer_uid", "loopback", "caller"
# A service account's token has about 1 KiB.
_LONGEST = 8 * 1024
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="kubereach"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in. `name` is for logs and limits."""

    name: str

    def __str__(self) -> str:
        return self.name


class Callers:
    """Decides who is let in. Made with nothing, it lets nobody in but `uids` (none) over the Unix socket."""

    def __init__(
        self,
        *,
        uids: frozenset[int] = frozenset(),
        insecure_loopback: bool = False,
        token_sha256: str = "",
        authority: Authority | None = None,
        reviews: Limiter | None = None,
    ) -> None:
        """`insecure_loopback`: whoever connects to a loopback address. `reviews`: what an address may cost the cluster."""
        self._uids, self._insecure, self._digest = uids, insecure_loopback, token_sha256
        self._authority, self._reviews = authority, reviews

    def without_token(self, scope: Scope) -> Caller | None:
        """The caller, where the door alone says that they may do everything."""
        uid = scope["state"].get(PEER_UID)
        if uid is not None:
            return Caller(f"uid {uid}") if uid in self._uids else None
        if self._insecure and scope["state"].get(LOOPBACK, False):
            return Caller("loopback")
        return None

    async def admit(self, scope: Scope, action: Action | None) -> Caller:
        """The caller, allowed to do `action`; None stands for what does not exist, which only readers are told.

        Raises `ProblemError`: 401, 403, 429, or 503 where nobody can decide.
        """
        known = self.without_token(scope)
        if known is not None:
            return known
        if PEER_UID in scope["state"]:
            detail = "Only root and the user that started kubereach may use its Unix socket."
            raise ProblemError(HTTPStatus.FORBIDDEN, "Not allowed", detail)
        token = _token(Headers(scope=scope))
        if self._digest and hmac.compare_digest(sha256(token).hexdigest(), self._digest):
            return Caller("static token")
        if self._authority is None:
            raise _unauthorized("This token is not known here.")
        return await self._reviewed(scope, token.decode("ascii", "replace"), action or GET_DIAGNOSES, self._authority)

    async def _reviewed(self, scope: Scope, token: str, action: Action, authority: Authority) -> Caller:
        judgement = authority.remembered(token, action)
        if judgement is None:
            address = (scope.get("client") or ("",))[0]
            wait = self._reviews.wait(address) if self._reviews else 0
            if wait:
                detail = "Too many tokens were shown from this address: wait."
                raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", detail, {"Retry-After": str(wait)})
            try:
                judgement = await authority.judge(token, action)
            except ReviewError as error:
                detail = f"{error} Nobody is let in unseen; as root on the node, use the Unix socket."
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Nobody can be authenticated", detail, {"Retry-After": "2"}
                ) from None
        if judgement.user is None:
            raise _unauthorized("This token is nobody's: it may have expired, or was made for another audience.")
        if not judgement.allowed:
            detail = f"{judgement.user.name} may not {action}: a ClusterRole must allow it."
            raise ProblemError(HTTPStatus.FORBIDDEN, "Not allowed", detail)
        return Caller(judgement.user.name)


def _token(headers: Headers) -> bytes:
    given = headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if given else ("", "", "")
    if len(given) != 1 or scheme.lower() != "bearer" or not token.strip() or len(token) > _LONGEST:
        raise _unauthorized("Send one header Authorization: Bearer with a token; as root on the node, use the Unix socket.")
    return token.strip().encode("latin-1")


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, "Who is asking?", detail, _CHALLENGE)
