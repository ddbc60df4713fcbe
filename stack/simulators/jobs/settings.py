"""Owns how a stand-in is set up; all its times are the provider's, divided by `speed`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`origin`: empty = where it is served. Without `keys` any will do. `audio`: the MP3 that files are cut from."""

    speed: float = 1.0
    origin: str = ""
    reply_delay: tuple[float, float] = (0.0, 0.0)
    started_after: float = 2.0  # s from acceptance until it runs
    done_after: float = 40.0  # s from acceptance until it is done
    retries: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)  # the spacing is documented nowhere
    answer_seconds: float = 15.0  # real ones, for a webhook's answer
    callbacks: Literal["all", "none"] = "all"
    keys: tuple[str, ...] = ()
    seed: int = 0
    audio: Path | None = None
    ledger: Path | None = None
