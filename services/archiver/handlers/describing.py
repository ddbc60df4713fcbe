"""Owns what is kept of a file beside its bytes: recipe, measures, the gate's rows, the curve; and what was wasted."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.common import metrics
from libs.common.metrics import Metric
from services.archiver.domain.failures import GATE
from services.archiver.domain.gate import Verdict
from services.archiver.handlers.taking import Made


def describe(made: Made, size: int) -> dict[str, Any]:
    """What is kept of a stored file, in the attempt's measures and in the segment's metadata."""
    formed, measures = made.formed, made.formed.measures
    return {
        "duration_ms": round(measures.seconds * 1000),
        "size_bytes": size,
        "parts": formed.parts,
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


def count_waste(provider: str, refused: Sequence[Mapping[str, Any]]) -> None:
    """Count takes that were refused for their sound, and how long they were."""
    for take in refused:
        if take["code"] in GATE:
            metrics.count(Metric.GATE_REFUSALS, provider=provider, code=str(take["code"]))
            metrics.count(Metric.GATE_WASTE, float(take.get("measures", {}).get("seconds", 0.0)), provider=provider)


def _holds(verdict: Verdict) -> bool:
    return verdict.passed or verdict.mode == "advise"
