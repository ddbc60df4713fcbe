"""What a provider's dialect is to the rest: a request to send, and what its replies mean; no connection, no state."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

from services.generator.domain.answers import Answer, Finding
from services.generator.domain.providers import Provider
from services.generator.domain.request import SegmentBrief


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach one account. `callback_base`: the whole address to which `?segment=…&token=…` is appended."""

    provider: Provider
    base_url: str
    key: str
    model: str
    callback_base: str
    keys_url: str = ""  # where the public keys of the provider's webhooks are, if that is another place


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `body` is decoded JSON, `None` when it is none or too large."""

    status: int
    headers: Mapping[str, str]
    body: object


@dataclass(frozen=True, slots=True)
class Task:
    """A task to be looked up: the provider's id, and what its acceptance said of it (`Accepted.facts`)."""

    id: str
    facts: Mapping[str, object] = field(default_factory=dict)


Ask = Callable[[Call], Awaitable[Reply | None]]
"""Sends a call that changes nothing; `None` when nobody answered."""


class Dialect(Protocol):
    """One provider's way of speaking. What a code means is no matter of it: that is the provider's verdict table."""

    def submission(self, access: Access, brief: SegmentBrief, token: UUID) -> Call:
        """The request; raises KeyError, TypeError or ValueError for a plan that must not be sent."""
        ...

    def read_submission(self, access: Access, reply: Reply) -> Answer: ...

    def price(self, access: Access, plan: Mapping[str, Any], /) -> float | None:
        """What a segment costs by the provider's price list; `None` where every one costs the same."""
        ...

    async def look_up(self, access: Access, task: Task, ask: Ask) -> Finding: ...

    def credit(self, access: Access, /) -> Call | None:
        """How to ask for the balance; `None` where there is no such question."""
        ...

    def read_credit(self, reply: Reply, /) -> float | None: ...

    def keys(self, access: Access, /) -> Call | None:
        """How to fetch the public keys of its webhooks; `None` where it signs none."""
        ...

    def read_keys(self, reply: Reply, /) -> Mapping[str, str] | None:
        """Key ids and keys as the callback reads them; `None` for an answer without any usable key."""
        ...


JSON_TYPE: Mapping[str, str] = {"content-type": "application/json"}


def bearer(access: Access) -> dict[str, str]:
    return {"authorization": f"Bearer {access.key}", **JSON_TYPE}
