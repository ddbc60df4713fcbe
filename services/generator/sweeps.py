"""Periodic work: which sweep runs how often (performance-and-reliability.md §4.3)."""

from functools import partial

from libs.common.loops import Loops
from services.generator.handlers.account_care import care_for_accounts
from services.generator.handlers.bridges import sweep_bridges
from services.generator.handlers.lookups import sweep_overdue
from services.generator.handlers.prices import sweep_prices
from services.generator.handlers.resources import Resources
from services.generator.handlers.silence import sweep_expired, sweep_silent, sweep_surplus
from services.generator.handlers.unanswered import sweep_unanswered
from services.generator.handlers.webhook_keys import sweep_webhook_keys


def start(loops: Loops, resources: Resources) -> None:
    """Start all sweeps; any number of generators may run them at once."""
    clock = resources.clock
    for name, sweep in {
        "unanswered": sweep_unanswered,
        "silent": sweep_silent,
        "bridges": sweep_bridges,
        "accounts": care_for_accounts,
        "expired": sweep_expired,
        "surplus": sweep_surplus,
        "prices": sweep_prices,
        "overdue": sweep_overdue,
    }.items():
        loops.add(name, partial(sweep, resources), every=clock.sweep_every)
    loops.add("webhook-keys", partial(sweep_webhook_keys, resources), every=clock.keys_look)
