"""The runner's periodic work."""

from typing import Final

from libs.common.database import Database
from libs.common.loops import Loops
from services.runner.handlers.tidy import Tidiness, measure, prune, tidy

SWEEP_SECONDS: Final = 5.0  # performance-and-reliability.md §4.3
MEASURE_SECONDS: Final = 15.0  # as often as the page is read
PRUNE_SECONDS: Final = 3600.0


def start(loops: Loops, database: Database, tidiness: Tidiness) -> None:
    """Run the sweeps until the loops stop."""

    async def runs() -> bool:
        await tidy(database, tidiness)
        return False

    async def gauges() -> bool:
        await measure(database, tidiness)
        return False

    async def housekeeping() -> bool:
        return await prune(database)

    loops.add("runs", runs, every=SWEEP_SECONDS * tidiness.pace.scale)
    loops.add("gauges", gauges, every=MEASURE_SECONDS)
    loops.add("housekeeping", housekeeping, every=PRUNE_SECONDS)
