"""What every use case of the generator is handed: the database, the providers, and the ways to reach them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from libs.common.database import Database
from services.generator.domain.answers import Answer, Finding
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.request import SegmentBrief
from services.generator.domain.roster import Roster


class Music(Protocol):
    """A music provider's accounts. No method raises for anything the provider does."""

    async def generate(self, account: str, brief: SegmentBrief, token: UUID) -> Answer: ...
    def price(self, account: str, plan: Mapping[str, Any]) -> float | None: ...
    async def record_info(self, account: str, task_id: str, facts: Mapping[str, object] | None = None) -> Finding: ...
    async def credit(self, account: str) -> float | None: ...
    async def webhook_keys(self, account: str) -> Mapping[str, str] | None: ...


class News(Protocol):
    """The callback service's internal route."""

    async def news(self, attempt_id: UUID, body: Mapping[str, Any]) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Made once, in the composition root. `tracks`: the release tracks whose runs this process serves."""

    database: Database
    roster: Roster
    clock: Clockwork
    tracks: list[str]
    music: Music
    callback: News
