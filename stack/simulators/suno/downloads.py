"""Owns serving files: a finished one with byte ranges, a stream that grows, and the faults of both."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from stack.simulators.suno.faults import Fault
from stack.simulators.suno.replies import Dropped, dripping, growing
from stack.simulators.suno.reseller import Reseller
from stack.simulators.suno.sound import Cut, Sound
from stack.simulators.suno.tasks import SUCCEEDED, Task

MP3: Final = "audio/mpeg"
SILENT: Final = "file_silent"
LONGEST_SECONDS: Final = 3600.0  # of a prepared file that is asked for by hand
_NAME: Final = re.compile(r"([01])(\.stream)?\.mp3")
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_PAGE: Final = b"<!DOCTYPE html><html><body><h1>Not what you asked for</h1></body></html>" * 40


@dataclass
class Downloads:
    """`/files/{task_id}/{take}.mp3` and `/files/{task_id}/{take}.stream.mp3`."""

    reseller: Reseller

    async def file(self, request: Request) -> Response:
        named = _NAME.fullmatch(request.path_params["name"])
        task = self.reseller.tasks.get(request.path_params["task_id"])
        if named is None or task is None:
            return _missing()
        take, stream = int(named[1]), named[2] is not None
        case = task.case(take=take, stream=stream)
        fault = self.reseller.faults.first("file", case)
        answer = self._answer(request, task, take, fault, stream=stream)
        at = self.reseller.ledger.note(
            "download",
            account=task.account.name,
            taskId=task.task_id,
            take=take,
            stream=stream,
            status=answer.status_code,
        )
        task.downloads.append({"take": take, "stream": stream, "status": answer.status_code, "at": at})
        return answer

    async def prepared(self, request: Request) -> Response:
        """`/_sim/audio/{name}.mp3?seconds=N`: the prepared file, for a hand-made callback that belongs to no task."""
        try:
            seconds = float(request.query_params.get("seconds", self.reseller.sound.seconds))
        except ValueError:
            return PlainTextResponse("seconds: expected a number", status_code=400)
        return _whole(request, self.reseller.sound.cut(min(LONGEST_SECONDS, max(1.0, seconds))))

    def _answer(self, request: Request, task: Task, take: int, fault: Fault | None, *, stream: bool) -> Response:
        silent = fault is not None and fault.name == SILENT
        cut = (Sound.silence() if silent else self.reseller.sound).cut(task.seconds)
        if fault is not None:
            task.struck_by(fault.name)
            if fault.name in _INSTEAD:
                return _INSTEAD[fault.name](fault)
        if not _exists(task, take, stream=stream):
            return _missing()
        if fault is not None and not silent:
            return self._spoilt(cut, fault)
        if stream:
            return StreamingResponse(growing(task, cut, self.reseller.clock), media_type=MP3)
        return _whole(request, cut)

    def _spoilt(self, cut: Cut, fault: Fault) -> Response:
        """The file in parts: slowly, or not all of it."""
        if fault.name == "slow_file":
            body = dripping(cut, cut.size, fault["seconds"], self.reseller.clock)
            return StreamingResponse(body, headers={"content-length": str(cut.size)}, media_type=MP3)
        kept = cut.read(0, int(cut.size * fault["fraction"]))
        return Response(kept, media_type=MP3) if fault["how"] == "short" else Dropped(kept, cut.size)


def _exists(task: Task, take: int, *, stream: bool) -> bool:
    """A stream from the text on, the first file from `first` on, the second at the end."""
    if task.status in SUCCEEDED:
        return task.with_audio
    if stream:
        return task.status in ("TEXT_SUCCESS", "FIRST_SUCCESS")
    return task.status == "FIRST_SUCCESS" and take == 0


def _whole(request: Request, cut: Cut) -> Response:
    """The file, or the one range that was asked for."""
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    start, end, status = 0, cut.size, 200
    headers = {"accept-ranges": "bytes"}
    if asked is not None:
        start, end, status = int(asked[1]), min(int(asked[2] or cut.size) + 1, cut.size), 206
        if start >= end:
            return Response(b"", 416, {"content-range": f"bytes */{cut.size}"})
        headers["content-range"] = f"bytes {start}-{end - 1}/{cut.size}"
    headers["content-length"] = str(end - start)
    return StreamingResponse(_each(cut, start, end), status, headers, MP3)


async def _each(cut: Cut, start: int, end: int) -> AsyncIterator[bytes]:
    for chunk in cut.chunks(start, end):
        yield chunk


def _missing() -> Response:
    return Response(b"Not Found", 404, media_type="text/plain")


_INSTEAD: Final[Mapping[str, Callable[[Fault], Response]]] = {
    "file_gone": lambda _: _missing(),
    "file_error": lambda fault: Response(b"upstream error", fault["status"], media_type="text/plain"),
    "file_html": lambda _: Response(_PAGE, media_type=MP3),
}
