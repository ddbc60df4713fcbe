"""How the providers are, from our last real calls: never from the mere presence of a key."""

from datetime import datetime
from typing import Any

import asyncpg

from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, calls

ProviderHealth = dict[str, Any]
"""`provider`, `account`; `status`: ok, degraded (it takes calls, but the last one failed, it is on probation or has
fewer slots than its contract), closed, or unknown before the first call; `circuit`: closed (calls pass) or open, with
its `reason`; `closedUntil`, null when nothing but a sweep or an operator opens it; `lastSuccessAt`, `lastErrorCode`,
`lastErrorAt`; `balance` as last told, else null; `slots`: contract, allowed, busy."""


async def provider_health(resources: Resources) -> list[ProviderHealth]:
    """One entry an account, in the configured order of providers."""
    async with resources.database.connection() as connection:
        rows = await accounts.states(connection, resources.roster.account_names)
        entries = [_entry(row, await calls.health(connection, row["account"])) for row in rows]
    names = resources.roster.names
    return sorted(entries, key=lambda entry: names.index(entry["provider"]))


def _entry(state: asyncpg.Record, recent: asyncpg.Record | None) -> ProviderHealth:
    return {
        "provider": state["provider"],
        "account": state["account"],
        "status": _status(state, recent),
        "circuit": "open" if state["close_reason"] else "closed",
        "reason": state["close_reason"],
        "closedUntil": None if state["is_open"] else _iso(state["closed_until"]),
        "lastSuccessAt": recent and _iso(recent["last_success_at"]),
        "lastErrorCode": recent and recent["last_error_code"],
        "lastErrorAt": recent and _iso(recent["last_error_at"]),
        "balance": state["balance"],
        "slots": {
            "contract": state["slots_contract"],
            "allowed": state["slots_allowed"],
            "busy": state["slots_busy"],
        },
    }


def _status(state: asyncpg.Record, recent: asyncpg.Record | None) -> str:
    if not state["is_open"]:
        return "closed"
    if recent is None:
        return "unknown"
    whole = state["close_reason"] is None and state["slots_allowed"] == state["slots_contract"]
    return "ok" if whole and recent["is_well"] else "degraded"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
