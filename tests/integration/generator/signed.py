"""A provider that signs, as its simulator, with the platform that asks it before composer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from stack.simulators import fal, replicate
from stack.simulators.jobs.settings import Settings as SimulatorSettings
from stack.simulators.jobs.works import Works
from tests.integration.generator import rig
from tests.integration.generator.rig import Provider, open_provider, until
from tests.integration.generator.whole import SPEED, Whole, open_whole, serving_callback

KEYS = {"fal": "fal-id:fal-secret", "replicate": "r8_secret"}


@dataclass
class Play:
    """One provider's simulator and the platform that asks it before composer."""

    name: str
    simulator: Works
    whole: Whole
    composer: Provider

    def faults(self, *entries: dict[str, Any]) -> None:
        self.simulator.faults.replace(list(entries))

    @property
    def accepted(self) -> list[dict[str, Any]]:
        return list(self.simulator.report()["accepted"])

    async def account(self) -> Any:
        query = "SELECT close_reason, closed_until = 'infinity' AS for_good FROM quota_accounts WHERE account = $1"
        [row] = await rig.fetch(self.whole.pool, query, f"{self.name}-1")
        return row

    async def handed_on(self, segment: UUID) -> None:
        """Wait until composer was asked for it."""

        async def heard() -> bool:
            return any(each.segment_id == segment for each in self.composer.heard)

        await until(heard)


@asynccontextmanager
async def opened(name: str, dsn: str, song: Path, folder: Path) -> AsyncIterator[Play]:
    facts = SimulatorSettings(
        speed=SPEED, started_after=1.0, done_after=4.0, retries=(1.0, 2.0), keys=(KEYS[name],), audio=song
    )
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        simulator: Works = await enter(fal.serving(facts) if name == "fal" else replicate.serving(facts))
        composer = await enter(open_provider())
        callback = await enter(serving_callback(dsn))
        made = rig.settings(
            dsn,
            composer,
            composer,
            suno_api_key="",
            providers=f"{name},composer",
            callback_url=callback,
            callback_base=f"{callback}/callback",
            fal_key=KEYS["fal"],
            fal_base_url=simulator.origin,
            fal_jwks_url=f"{simulator.origin}/.well-known/jwks.json",
            replicate_api_token=KEYS["replicate"],
            replicate_base_url=f"{simulator.origin}/v1",
        )
        whole = await enter(open_whole(made, dsn, folder, (simulator.origin,)))

        async def keys_are_there() -> bool:
            return bool(await whole.keys(name))

        await until(keys_are_there)
        yield Play(name, simulator, whole, composer)
