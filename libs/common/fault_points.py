"""Named places, at every commit boundary, where a test can end a process as a power cut would; off in production.

With FAULT_POINTS_FOLDER set, the first process to reach a point whose file lies in that folder takes the file away and
dies: no cleanup, no rollback, no flush. So a running stack is armed by touching a file, and once only.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

EXIT_STATUS: Final = 86  # tells a test that the process died here, not elsewhere

POINTS: Final[Mapping[str, str]] = {
    # create
    "before_run_commit": "0: the run is written, not committed",
    "after_run_commit": "0: the run is committed, its answer not sent",
    "after_text_lease": "0: the text job is leased, the model not asked",
    "before_text_commit": "0: the model's words are written, not committed",
    # every consumer of Kafka, at <service>
    "inbox_written": "1, 8: the effect and its inbox row are written, not committed",
    "inbox_committed": "1, 8: both are committed, the message not acknowledged",
    # generator
    "before_claim_commit": "2: slot, attempt, status and news are written, not committed",
    "after_claim": "2: the claim is committed, nothing sent",
    "before_send": "3: the send budget is checked, nothing sent",
    "after_send": "3: all bytes are sent, no reply read",
    "reply_read": "4: the reply is read, nothing written",
    "before_reply_commit": "4: task id, rank and slot are written, not committed",
    "after_reply_commit": "4: they are committed",
    "before_resend_commit": "3: an attempt nobody adopted is given up and its resend queued, not committed",
    "after_resend_commit": "3: both are committed",
    # callback
    "before_callback_commit": "6: facts, status and news are written, not committed",
    "after_callback_commit": "6: they are committed, the provider not answered",
    # every relay, at <service>
    "before_publish": "7: rows of the outbox are leased, not published",
    "published": "7: a row is published, not stamped",
    "stamped": "7: a row is stamped",
    # archiver
    "after_lease": "8: the job is leased, nothing downloaded",
    "after_continuation": "8: composer has played the rest of a short file, nothing mastered",
    "after_download": "8: the file is downloaded, checked and mastered",
    "before_put": "9: its SHA-256 is committed to the attempt, nothing put but the music of a narrated file",
    "after_put": "9: the object is put, no row says so",
    "before_final_commit": "10: rank, status and news are written, not committed",
    "after_final_commit": "10: they are committed",
}
"""Each point, and the row of performance-and-reliability.md §4.2 (0: what comes before it) whose crash it plays."""

_FOLDER: Final = os.environ.get("FAULT_POINTS_FOLDER", "")


def reach(point: str, at: str = "") -> None:
    """Die here when this point is armed, for any process or for those of the service `at`."""
    if _FOLDER:
        _die_if_armed(point, at)


def arm(folder: Path, point: str, at: str = "") -> Path:
    """Arm a point for the first process to reach it, or the first of service `at`; the file is gone once it died."""
    _check(point)
    file = folder / _name(point, at)
    file.touch()
    return file


def _die_if_armed(point: str, at: str) -> None:
    _check(point)
    for name in {point, _name(point, at)}:
        try:
            (Path(_FOLDER) / name).unlink()  # of several processes one succeeds, and only that one dies
        except FileNotFoundError:
            continue
        os._exit(EXIT_STATUS)


def _check(point: str) -> None:
    if point not in POINTS:
        raise ValueError(f"{point} is no fault point; they are {', '.join(POINTS)}")


def _name(point: str, at: str) -> str:
    return f"{point}@{at}" if at else point
