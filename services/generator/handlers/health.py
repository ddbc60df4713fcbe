"""How the providers are, from our last real calls: never from the mere presence of a key."""

from datetime import datetime

from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, calls

ProviderHealth = dict[str, str | None]
"""`provider`, `account`; `status`: ok, failing, closed, or unknown before the first call; `circuit`: closed (calls
pass) or open, with its `reason`; `lastSuccessAt`, `lastErrorCode`."""


async def provider_health(resources: Resources) -> list[ProviderHealth]:
    """One entry an account, in the configured order of providers."""
    async with resources.database.connection() as connection:
        rows = await accounts.states(connection, resources.roster.account_names)
        seen = [(row, await calls.health(connection, row["account"])) for row in rows]
    entries = [
        ProviderHealth(
            provider=state["provider"],
            account=state["account"],
            status=_status(is_open=state["is_open"], is_well=None if recent is None else recent["is_well"]),
            circuit="open" if state["close_reason"] else "closed",
            reason=state["close_reason"],
            lastSuccessAt=None if recent is None else _iso(recent["last_success_at"]),
            lastErrorCode=None if recent is None else recent["last_error_code"],
        )
        for state, recent in seen
    ]
    names = resources.roster.names
    return sorted(entries, key=lambda entry: names.index(str(entry["provider"])))


def _status(*, is_open: bool, is_well: bool | None) -> str:
    if not is_open:
        return "closed"
    if is_well is None:
        return "unknown"
    return "ok" if is_well else "failing"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
