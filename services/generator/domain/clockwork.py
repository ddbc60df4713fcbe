"""Every duration the generator lives by, in seconds, multiplied by TIME_SCALE in one place."""

from dataclasses import dataclass, fields
from typing import Any

EPSILON_SECONDS = 0.05  # §2.3: 200 ppm of drift over a lease; not scaled, clocks do not run faster in tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Clockwork:
    """Defaults are production's; sections are those of performance-and-reliability.md."""

    send_budget: float = 5.0  # §2.2: an older claim is not sent any more
    connect_timeout: float = 5.0
    submit_timeout: float = 20.0  # §2.2: in all, connect included
    lookup_timeout: float = 10.0  # §7 W4: record-info and credit, in all
    adopt: float = 90.0  # §4.2 T_adopt: how long a callback may still adopt an ambiguous attempt
    backoff: tuple[float, ...] = (2.0, 4.0, 6.0)  # §2.4
    late: float = 30.0  # §4.3 overdue: what a stage may be late
    lookup_every: float = 30.0  # §4.3: record-info, an attempt
    lookup_gap: float = 1.0  # §4.3: record-info, all attempts together
    silent: float = 300.0  # §4.3
    silent_running: float = 900.0  # §4.3: whatever the provider says
    bridge_within: float = 15.0  # architecture.md §5: how near the listener's need must be
    bridge_backoff: float = 10.0  # architecture.md §5: a back-off that ends later is bridged
    expected_playable: float = 150.0  # §3: G
    wallet_every: float = 600.0  # §2.4
    balance_every: float = 60.0  # operations.md §6.1
    confirm_gap: float = 0.25  # §7 W4: 4/s an account, beside the 1/s of reconciliation
    confirmation: float = 10.0  # §7 W4: then the archiver goes on without an answer
    troubled: float = 15.0  # architecture.md §5, ADR 0007: how long a refused submission may be repeated unheard
    stored: float = 30.0  # ADR 0007: from a delivery to the stored file, before a listener without sound is helped
    stored_heard: float = 300.0  # ADR 0007: the same, where the listener has the preview
    maintenance: float = 60.0  # §2.4
    clean: float = 60.0  # §2.2: after it a halved account grows by a slot
    probe_every: float = 10.0  # §2.4
    breaker_within: float = 60.0  # §2.4
    sweep_every: float = 5.0  # §4.3
    keys_every: float = 43_200.0  # §4.3: then the keys of signed webhooks are fetched anew
    keys_look: float = 60.0  # … and after a failure, this soon

    @property
    def ambiguous_after(self) -> float:
        """By then a reply was read or will never be."""
        return self.send_budget + self.submit_timeout

    def scaled(self, factor: float) -> "Clockwork":
        """Multiply all by `factor`, with floors where a busy machine would break the protocol instead of testing it."""
        values: dict[str, Any] = {field.name: _times(getattr(self, field.name), factor) for field in fields(self)}
        for name, least in _FLOORS.items():
            values[name] = max(values[name], min(least, getattr(self, name)))
        return Clockwork(**values)


_FLOORS = {
    "send_budget": 1.0,
    "connect_timeout": 1.0,
    "submit_timeout": 2.0,
    "lookup_timeout": 2.0,
    "confirmation": 2.0,
}


def _times(value: float | tuple[float, ...], factor: float) -> float | tuple[float, ...]:
    return tuple(each * factor for each in value) if isinstance(value, tuple) else value * factor
