"""Closes and opens accounts: what a verdict, the breaker, a balance and a clean minute do to them."""

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

import structlog

from libs.common import metrics
from libs.common.database import Channel, Connection
from libs.common.metrics import Metric
from services.generator.domain import breaker
from services.generator.domain.next_step import bridging
from services.generator.domain.verdicts import Verdict
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, attempts, calls, queue

_log = structlog.get_logger()


async def close_for(
    connection: Connection, resources: Resources, account: str, verdict: Verdict, *, look_soon: bool = False
) -> None:
    """Close the account if the verdict asks for it. Takes account and queue locks: before any run is locked."""
    if verdict in (Verdict.WALLET, Verdict.KEY):
        await close(connection, resources, account, verdict, None, look_soon=look_soon)
    elif verdict is Verdict.MAINTENANCE:
        await close(connection, resources, account, verdict, resources.clock.maintenance)


async def close(
    connection: Connection,
    resources: Resources,
    account: str,
    reason: str,
    seconds: float | None,
    *,
    look_soon: bool = False,
) -> None:
    """Close the account, and hand its provider's queue rows on if that has no other open one.

    They go to the next paid provider; for good (`None`), and without one, to the provider that costs nothing. What
    waits for a short closing is bridged row by row as its listener's need comes near.
    """
    if not await accounts.close(connection, account, reason, seconds, look_soon=look_soon):
        return
    _log.error("account_closed", account=account, reason=str(reason), seconds=seconds)
    roster = resources.roster
    provider = roster.accounts.get(account)
    open_ones = await accounts.open_providers(connection, roster.account_names)
    if provider is None or provider in open_ones:
        return
    later = roster.order[roster.names.index(provider) + 1 :]
    heir = next((each for each in later if each.paid and each.name in open_ones), None)
    if heir is None and seconds is None:
        heir = bridging(later)
    if heir is not None:
        await queue.repoint(connection, provider, heir.name)


async def check_breaker(resources: Resources, account: str) -> None:
    """Close the account for one probe interval when its last calls say so."""
    async with resources.database.connection() as connection:
        if not await _is_tripped(connection, resources, account):
            return
    async with resources.database.transaction(Channel.QUEUE) as connection:
        if not await accounts.is_closed(connection, account) and await _is_tripped(connection, resources, account):
            await close(connection, resources, account, "breaker", resources.clock.probe_every)


async def _is_tripped(connection: Connection, resources: Resources, account: str) -> bool:
    rows = await accounts.last_calls(connection, account)
    recent = [breaker.Call(failed=row["failed"], age_seconds=row["age_seconds"]) for row in rows]
    return breaker.is_tripped(recent, resources.clock.breaker_within)


async def ask_balance(resources: Resources, account: str) -> float | None:
    """Ask the credit endpoint, if there is one, outside any transaction, and keep a record of it."""
    provider = resources.roster.accounts.get(account)
    if provider is None or not resources.roster.provider(provider).tells_balance:
        return None
    began = time.perf_counter()
    balance = await resources.music.credit(account)
    outcome = "unreachable" if balance is None else "ok"
    call = calls.Call(provider, account, "credit", None, time.perf_counter() - began, outcome)
    async with resources.database.connection() as connection:
        await calls.record(connection, call)
    if balance is not None:
        async with resources.database.connection() as connection:
            await accounts.note_balance(connection, account, balance)
        metrics.gauge(Metric.PROVIDER_CREDITS, balance, provider=provider, account=account)
    return balance


async def note_balance(resources: Resources, account: str, notes: Mapping[UUID, str]) -> None:
    """Keep the balance beside attempts that may have been paid twice: the evidence for whoever asks later.

    `notes`: under which name in whose facts. One question for all of them: an endpoint that hangs is waited for once.
    """
    balance = await ask_balance(resources, account)
    async with resources.database.connection() as connection:
        for attempt_id, name in notes.items():
            await attempts.note_fact(connection, attempt_id, name, balance)


async def lacks_credits(resources: Resources, account: str) -> bool:
    """Whether the balance is below one generation; unknown counts as below, since it is asked again every 10 min."""
    balance = await ask_balance(resources, account)
    provider = resources.roster.provider(resources.roster.accounts[account])
    return balance is None or balance < provider.credits_per_generation


async def care_for_accounts(resources: Resources) -> bool:
    """One round of the accounts sweep."""
    names, clock = resources.roster.account_names, resources.clock
    async with resources.database.transaction() as connection:
        opened = await accounts.reopen_probed(connection, names)
        await accounts.grow(connection, names, clock.clean)
        to_ask = await accounts.wallets_to_ask(connection, names, clock.wallet_every)
        to_read = await accounts.balances_to_ask(connection, _with_free_balance(resources), clock.balance_every)
    await asyncio.gather(*(ask_balance(resources, account) for account in set(to_read).difference(to_ask)))
    for account in to_ask:
        if not await lacks_credits(resources, account):
            async with resources.database.transaction() as connection:
                opened += [account] if await accounts.reopen(connection, account, "wallet") else []
    for account in opened:
        _log.info("account_opened", account=account)
        resources.database.wake(Channel.QUEUE)
    for account in names:
        await check_breaker(resources, account)
    await _show(resources)
    return False


def _with_free_balance(resources: Resources) -> list[str]:
    """Accounts that cost money and whose questions do not count as calls (operations.md §6.1)."""
    roster = resources.roster
    asked = (each for each in roster.order if each.paid and each.tells_balance)
    providers = {each.name for each in asked if not each.terms.record_info_counts}
    return [account for account, provider in roster.accounts.items() if provider in providers]


async def _show(resources: Resources) -> None:
    async with resources.database.connection() as connection:
        rows = await accounts.states(connection, resources.roster.account_names)
    for row in rows:
        labels = {"provider": row["provider"], "account": row["account"]}
        metrics.gauge(Metric.PROVIDER_CIRCUIT_OPEN, float(row["close_reason"] is not None), **labels)
        metrics.gauge(Metric.PROVIDER_UP, float(row["is_open"]), **labels)
        metrics.gauge(Metric.PROVIDER_QUOTA_USED, row["slots_busy"] / row["slots_contract"], **labels)
