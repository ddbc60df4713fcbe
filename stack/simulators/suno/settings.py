"""Owns what a simulator of the reseller can be told before it starts; the figures are those of providers.md §1."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Dialect = Literal["sunoapi", "kie"]
WindowKind = Literal["sliding", "fixed", "bucket"]
ResultJson = Literal["data", "urls"]

STAGES: Final = (12.0, 35.0, 150.0)  # s after acceptance: text; stream link 30–40; file 2–3 min [D]
RETRIES: Final = {
    "sunoapi": (1.0, 3.0, 9.0),  # three retries [D]; their spacing is documented nowhere
    "kie": (60.0, 300.0, 900.0),  # one version of its page
}
V6_SECONDS: Final = 20.0  # length when V6 is told none [D]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Seconds are the provider's: each is divided by `speed`, except `answer_seconds`."""

    dialect: Dialect = "sunoapi"
    speed: float = 1.0
    window: WindowKind = "sliding"
    window_calls: int = 20
    window_seconds: float = 10.0
    reply_delay: tuple[float, float] = (0.1, 0.8)
    seed: int = 0
    callbacks: Literal["all", "none"] = "all"
    stages: tuple[float, float, float] = STAGES
    jitter: float = 0.0
    retries: tuple[float, ...] | None = None  # None: the dialect's
    answer_seconds: float = 15.0  # real seconds a callback may take to be answered [D]
    credits: float = 100_000
    credits_per_call: float = 12  # [W]
    keys: tuple[str, ...] = ()  # empty: every key is an account
    max_in_flight: int | None = None
    record_info_counts: bool = False
    prompt_alone: bool = False
    audio: Path | None = None  # None: silence
    faults: Path | None = None
    ledger: Path | None = None
    hmac_key: str | None = None
    result_json: ResultJson = "data"
    refuse_bots: bool = False
    origin: str = ""  # what file addresses begin with; empty: the address the call came to

    @property
    def retry_pauses(self) -> tuple[float, ...]:
        return RETRIES[self.dialect] if self.retries is None else self.retries
