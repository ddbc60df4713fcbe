"""Owns the labels in front of our files: an ID3 tag that says a machine made this, and from which numbers.

Only what is known before rendering, since bytes are served while the file grows. The Info frame stays the first frame.
"""

from libs.common import id3
from services.composer.engine import ENGINE, ENGINE_VERSION
from services.composer.engine.plan import SegmentPlan

AI = "procedural"  # composed by rules, by no model
LICENCE = "procedural, no third-party material"


def labels_of(plan: SegmentPlan) -> dict[str, str]:
    """Names and values, in this order."""
    start = plan.span.start_seconds
    return {
        "AI": AI,
        "ENGINE": ENGINE,
        "ENGINE_VERSION": ENGINE_VERSION,
        "LICENCE": LICENCE,
        "SEED": str(plan.seed),
        "TAKE": str(plan.take),
        "KEY": plan.key,
        "MODE": plan.span.mode,
        "BPM_START": f"{plan.path.at(start).bpm:.1f}",
        "BPM_END": f"{plan.path.at(start + plan.span.seconds).bpm:.1f}",
        "TARGET_LUFS": f"{plan.target_lufs:.1f}",
    }


def id3_tag(plan: SegmentPlan) -> bytes:
    return id3.tag({}, named=labels_of(plan))
