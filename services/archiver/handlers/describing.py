"""Owns what is kept of a file beside its bytes: recipe, measures, the gate's rows, the curve; and what was wasted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from libs.common import metrics
from libs.common.metrics import Metric
from services.archiver.domain.alignment import Alignment, quiet_points
from services.archiver.domain.failures import GATE
from services.archiver.domain.gate import Verdict
from services.archiver.handlers.labelling import label_for
from services.archiver.handlers.taking import Made
from services.archiver.storage import Order

MEASURED: Final = ("preview_offset_ms", "same_take", "preview_gain_db", "quiet_points_ms", "peaks", "parts")
"""What of it `segment.complete` tells."""


def describe(order: Order, made: Made, alignment: Alignment, size: int) -> dict[str, Any]:
    """What is kept of a stored file, in the attempt's measures and in the segment's metadata."""
    formed, measures = made.formed, made.formed.measures
    return {
        "duration_ms": round(measures.seconds * 1000),
        "size_bytes": size,
        "parts": formed.parts,
        "peaks": list(measures.peaks),
        "quiet_points_ms": _quiet_points(order, made),
        **alignment.record(),
        **label_for(order, formed.parts).record(),
        "measures": measures.record(),
        "curve": [dict(point) for point in measures.curve],
        "gate": [verdict.record() for verdict in made.verdicts],
        "gate_verdict": "passed" if all(_holds(verdict) for verdict in made.verdicts) else "recorded",
        "gate_refused": [dict(take) for take in made.refused],
        "acoustic_hash": measures.acoustic_hash,
        "coded_again": formed.coded,
        "archive_mode": str(made.mode),
        "provider_confirmed": made.confirmed,
        "provider_sha256": made.provider_sha256,
        "original_url": made.original_url,
    }


def _quiet_points(order: Order, made: Made) -> list[int]:
    """Composer's own where the whole file is one take that names them, since no note begins there."""
    measures, parts = made.formed.measures, made.formed.parts
    content, take = order.facts.get("content") or (), parts[0].get("take")
    named: Sequence[int] = ()
    if len(parts) == 1 and isinstance(take, int) and 0 < take <= len(content):
        named = content[take - 1].get("quiet_points_ms") or ()
    return quiet_points(named, measures.quiet_points_ms, 1000 * measures.seconds)


def plays_a_refused_take(notes: Mapping[str, Any]) -> bool:
    """Whether a file is of another take than its attempt's preview because the gate refused the preview's.

    A preview is the first take's: it is asked for before there is a second.
    """
    refused = any(take["take"] == 1 and take["code"] in GATE for take in notes.get("gate_refused", ()))
    return refused and not notes["same_take"]


def count_waste(provider: str, refused: Sequence[Mapping[str, Any]]) -> None:
    """Count takes that were refused for their sound, and how long they were."""
    for take in refused:
        if take["code"] in GATE:
            metrics.count(Metric.GATE_REFUSALS, provider=provider, code=str(take["code"]))
            metrics.count(Metric.GATE_WASTE, float(take.get("measures", {}).get("seconds", 0.0)), provider=provider)


def _holds(verdict: Verdict) -> bool:
    return verdict.passed or verdict.mode == "advise"
