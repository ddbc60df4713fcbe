"""Owns the jobs of this process: their files, their status, and how they look in callbacks and in `record-info`.

Jobs live with the process. After a restart a task is unknown, and a new attempt renders it again, bit for bit.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from services.composer.dialect import Order, Status
from services.composer.engine import ENGINE, ENGINE_VERSION
from services.composer.engine.labels import AI, LICENCE
from services.composer.engine.plan import SAMPLE_RATE, SegmentPlan
from services.composer.files import GrowingFile
from services.composer.pool import RenderPool
from services.composer.wire import Kind

TAKES = 2
_CAMEL = {
    "audio_url": "audioUrl",
    "source_audio_url": "sourceAudioUrl",
    "stream_audio_url": "streamAudioUrl",
    "source_stream_audio_url": "sourceStreamAudioUrl",
    "image_url": "imageUrl",
    "source_image_url": "sourceImageUrl",
    "model_name": "modelName",
    "engine_version": "engineVersion",
}


@dataclass
class Job:
    """One accepted order."""

    order: Order
    number: int  # age: older jobs render first
    folder: Path
    base_url: str
    task_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    item_ids: tuple[str, ...] = field(default_factory=lambda: tuple(str(uuid.uuid4()) for _ in range(TAKES)))
    created_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    status: Status = Status.PENDING
    error: str | None = None
    finished_at: float | None = None  # monotonic
    files: dict[tuple[int, Kind], GrowingFile] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None

    def finish(self, status: Status, error: str | None = None) -> None:
        self.status, self.error, self.finished_at = status, error, time.monotonic()

    def file(self, take: int, kind: Kind, pool: RenderPool) -> GrowingFile:
        """The file, whose rendering begins when it is first asked for."""
        key = (take, kind)
        if key not in self.files:
            path = self.folder / f"{self.task_id}.{take}.{kind}.mp3"
            self.files[key] = pool.render(self._take(take), kind, path, self.number)
        return self.files[key]

    def _take(self, take: int) -> SegmentPlan:
        return self.order.plan.other_take(take) if take else self.order.plan

    def items(self, finished_takes: int) -> list[dict[str, Any]]:
        """Both songs in the webhook's spelling; those not yet finished have an empty address and no duration."""
        return [self._item(take, finished=take < finished_takes) for take in range(TAKES)]

    def camel_items(self, finished_takes: int) -> list[dict[str, Any]]:
        """The same in the spelling of `record-info`."""
        return [{_CAMEL.get(key, key): value for key, value in item.items()} for item in self.items(finished_takes)]

    def parameters(self) -> str:
        """The request as text, without the callback address: it carries a secret."""
        return orjson.dumps({key: value for key, value in self.order.body.items() if key != "callBackUrl"}).decode()

    def _item(self, take: int, *, finished: bool) -> dict[str, Any]:
        files = f"{self.base_url}/files/{self.task_id}/{take}"
        audio = f"{files}.mp3" if finished else ""
        stream = "" if self.order.plan.from_seconds else f"{files}.stream.mp3"
        item: dict[str, Any] = {
            "id": self.item_ids[take],
            "audio_url": audio,
            "source_audio_url": audio,
            "stream_audio_url": stream,
            "source_stream_audio_url": stream,
            "image_url": "",
            "source_image_url": "",
            "prompt": "",
            "model_name": ENGINE,
            "title": self.order.title,
            "tags": self.order.tags,
            "createTime": self.created_ms,
            "engine": ENGINE,
            "engine_version": ENGINE_VERSION,
            "ai": AI,
            "licence": LICENCE,
            "seed": self.order.plan.seed,
            "key": self.order.plan.key,
            "mode": self.order.plan.span.mode,
        }
        if finished:
            item["duration"] = self.order.plan.samples / SAMPLE_RATE
        final = self.files.get((take, "final"))
        if final is not None and final.measures is not None:
            measured = final.measures
            item["measures"] = {
                "lufs": measured.lufs,
                "peak_dbtp": measured.peak_dbtp,
                "centroid_hz": measured.centroid_hz,
                "bpm_start": measured.bpm_start,
                "bpm_end": measured.bpm_end,
                "preview_gain_db": measured.preview_gain_db,
                "quiet_points_ms": list(measured.quiet_points_ms),
                "render_seconds": measured.render_seconds,
            }
        return item


class JobTable:
    """All jobs this process knows, oldest first."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def add(self, job: Job) -> None:
        self._jobs[job.task_id] = job

    def get(self, task_id: str) -> Job | None:
        return self._jobs.get(task_id)

    def continuing(self, order: Order) -> Job | None:
        """The job that makes, or has made, the same rest of a file for one who looks: its bits would be the same."""
        if not order.plan.from_seconds or order.callback_url:
            return None
        same = (job for job in self._jobs.values() if job.order.plan == order.plan and job.error is None)
        return next(same, None)

    def files(self) -> Iterator[GrowingFile]:
        return (file for job in self._jobs.values() for file in job.files.values())

    @property
    def unfinished(self) -> int:
        return sum(not job.is_finished for job in self._jobs.values())

    def expire(self, keep_seconds: float, keep_count: int) -> list[Job]:
        """Take out finished jobs that are too old or too many; their files are the caller's to remove."""
        finished = [job for job in self._jobs.values() if job.finished_at is not None]
        oldest_kept = time.monotonic() - keep_seconds
        surplus = max(0, len(finished) - keep_count)
        expired = [
            job
            for place, job in enumerate(finished)
            if place < surplus or (job.finished_at is not None and job.finished_at < oldest_kept)
        ]
        for job in expired:
            del self._jobs[job.task_id]
        return expired
