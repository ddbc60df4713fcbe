"""Owns where downloaded and built programs are kept: `.work/` of a checkout, else the user's cache folder."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def work_folder() -> Path:
    """Where `make setup` puts what no Python wheel carries; nothing in it is anybody's data."""
    if named := os.environ.get("PARCOURS_WORK"):
        return Path(named)
    if (CHECKOUT / "pyproject.toml").exists():
        return CHECKOUT / ".work"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parcours"
