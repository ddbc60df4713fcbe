"""The sweep that fetches the keys of signed webhooks, since the callback, which checks them, may reach nobody (W6)."""

import structlog

from services.generator.domain.providers import Provider
from services.generator.handlers.resources import Resources
from services.generator.storage import webhook_keys

_log = structlog.get_logger()


async def sweep_webhook_keys(resources: Resources) -> bool:
    """One round: keys that are missing or half a day old are fetched; what was kept stays until others are stored."""
    for provider in resources.roster.order:
        if provider.signs:
            async with resources.database.connection() as connection:
                due = await webhook_keys.are_due(connection, provider.name, resources.clock.keys_every)
            if due:
                await _fetch(resources, provider)
    return False


async def _fetch(resources: Resources, provider: Provider) -> None:
    """Ask for every account: one provider has the same keys for all, another a secret for each."""
    kept: dict[str, str] = {}
    silent = []
    for account in resources.roster.accounts_of(provider.name):
        keys = await resources.music.webhook_keys(account)
        if keys is None:
            silent.append(account)
            continue
        new = {key_id: key for key_id, key in keys.items() if key not in kept.values()}
        kept |= {key_id if key_id not in kept else f"{key_id} {account}": key for key_id, key in new.items()}
    if silent:
        _log.error("webhook_keys_missing", provider=provider.name, accounts=len(silent))
    if kept:
        async with resources.database.transaction() as connection:
            await webhook_keys.store(connection, provider.name, kept, complete=not silent)
        _log.info("webhook_keys_stored", provider=provider.name, keys=len(kept))
