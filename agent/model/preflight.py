"""What this process may see and do here, one sentence each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One privilege, binary or kernel feature. Where `ok` is false, `detail` says what is lost and `remedy` what to do."""

    name: str
    ok: bool
    detail: str = ""
    remedy: str = ""
