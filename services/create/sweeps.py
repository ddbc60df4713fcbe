"""Create's background work: workers that lease text jobs, woken by a commit and looking once a second."""

from functools import partial
from typing import Final

from libs.common.database import Channel, Database
from libs.common.loops import Loops
from libs.common.wakeups import Wakeups
from services.create.handlers.words import Author, enrich_one

LOOK_SECONDS: Final = 1.0  # notifications are lost with a connection, leases run out without one
COMMIT_SECONDS: Final = 15.0  # what a lease lasts beyond the model's own bound


def start(
    loops: Loops, wakeups: Wakeups, database: Database, author: Author, *, workers: int, lease_seconds: float
) -> None:
    """Run the text workers until the loops stop; a job in hand is left to its lease then."""
    work = partial(enrich_one, database, author, lease_seconds=lease_seconds)
    for number in range(1, workers + 1):
        loops.add(f"texts-{number}", work, every=LOOK_SECONDS, wake=wakeups.event(Channel.TEXTS))
