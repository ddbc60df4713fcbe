"""Create's background work: workers that lease text jobs, woken by a commit and looking once a second."""

from functools import partial
from typing import Final

from libs.common.database import Channel, Database
from libs.common.loops import Loops
from libs.common.wakeups import Wakeups
from services.create.handlers.words import Author, begin_unheard, enrich_one

LOOK_SECONDS: Final = 1.0  # notifications are lost with a connection, leases run out without one
UNHEARD_SECONDS: Final = 30.0  # longer than news takes on its worst honest way, shorter than the second segment's
SWEEP_SECONDS: Final = 10.0
COMMIT_SECONDS: Final = 15.0  # what a lease lasts beyond the model's own bound


def start_hearing(loops: Loops, database: Database, group: str, *, time_scale: float) -> None:
    """Look for runs whose news never came, until the loops stop."""

    async def unheard() -> bool:
        await begin_unheard(database, group, seconds=UNHEARD_SECONDS * time_scale)
        return False

    loops.add("unheard", unheard, every=SWEEP_SECONDS * time_scale)


def start(
    loops: Loops, wakeups: Wakeups, database: Database, author: Author, *, workers: int, lease_seconds: float
) -> None:
    """Run the text workers until the loops stop; a job in hand is left to its lease then."""
    work = partial(enrich_one, database, author, lease_seconds=lease_seconds)
    for number in range(1, workers + 1):
        loops.add(f"texts-{number}", work, every=LOOK_SECONDS, wake=wakeups.event(Channel.TEXTS))
