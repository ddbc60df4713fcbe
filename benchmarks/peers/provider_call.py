"""Owns the one call that every peer makes: a generation at the simulated provider."""

from typing import Any

HEADERS = {"Authorization": "Bearer benchmark"}
PATH = "/api/v1/generate"


def body(label: str) -> dict[str, Any]:
    """A valid request; the ledger shows `label` as its segment."""
    return {
        "customMode": True,
        "instrumental": True,
        "model": "V5_5",
        "callBackUrl": f"http://127.0.0.1:9/callback?segment={label}",
        "style": "instrumental ambient, no vocals",
        "title": "Benchmark",
    }
