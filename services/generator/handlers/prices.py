"""The sweep that writes what an adopted attempt cost: its reply was lost, but the provider has charged for it."""

from libs.common import metrics
from libs.common.metrics import Metric
from services.generator.handlers.resources import Resources
from services.generator.storage import attempts


async def sweep_prices(resources: Resources) -> bool:
    """One round. An attempt of an account that is configured no more stays without a price."""
    async with resources.database.connection() as connection:
        for row in await attempts.unpriced(connection):
            cost = resources.music.price(row["account"], row["plan"])
            if cost is not None and await attempts.price(connection, row["id"], cost):
                unit = resources.roster.provider(row["provider"]).cost_unit
                metrics.count(Metric.GENERATION_COST, cost, provider=row["provider"], unit=unit)
    return False
