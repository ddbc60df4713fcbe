"""Owns the files: MP3s of any length, cut at frames from one that was made before; nothing is encoded at run time."""

import array
import functools
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from libs.common import mp3

WHOLE_SECONDS: Final = 361.0  # what a file that is no MP3, or silence, says of its length
CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cut:
    """A file of an exact length: an Info frame, then frames of the prepared file, over again when it is too short."""

    head: bytes
    audio_bytes: int
    source: "Sound"

    @property
    def size(self) -> int:
        return len(self.head) + self.audio_bytes

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`."""
        skipped = len(self.head)
        return self.head[start:end] + self.source.loop(max(0, start - skipped), min(end, self.size) - skipped)

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        last = self.size if end is None else end
        for position in range(start, last, CHUNK):
            yield self.read(position, min(position + CHUNK, last))


class Sound:
    """A prepared file in memory, with the place of each of its frames. What is no MP3 is served as it is."""

    def __init__(self, content: bytes) -> None:
        self._frames = array.array("Q")  # where each frame begins, and where the last one ends
        self._layout: mp3.Layout | None = None
        try:
            self._layout = mp3.scan_bytes(content)
        except mp3.NotMp3Error:
            self._audio = content
            self.seconds = WHOLE_SECONDS
            return
        start = self._layout.audio_start
        self._audio = content[start : start + self._layout.audio_bytes]
        self.seconds = self._layout.seconds
        self._frames.extend(_frame_places(self._audio))

    @classmethod
    def read(cls, path: Path) -> Self:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return cls(view[:])

    @classmethod
    @functools.cache
    def silence(cls) -> Self:
        """Frames of nothing: valid, and made once."""
        header = mp3.Header.constant(128)
        frame = header.raw + bytes(header.size - len(header.raw))
        return cls(frame * mp3.frames_needed(int(WHOLE_SECONDS * header.sample_rate)))

    def cut(self, seconds: float | None) -> Cut:
        """A file of that many seconds, to the sample; the whole one for None."""
        return _cut(self, self.seconds if seconds is None else seconds)

    def loop(self, start: int, end: int) -> bytes:
        """Bytes of the audio as if it went on for ever."""
        size = len(self._audio)
        parts = []
        while start < end:
            at = start % size
            part = self._audio[at : at + min(end - start, size - at)]
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def make_cut(self, seconds: float) -> Cut:
        """As `cut`, reckoned anew."""
        if self._layout is None:
            return Cut(b"", len(self._audio), self)
        first = self._layout.first
        samples = round(seconds * first.sample_rate)
        delay = self._layout.delay or mp3.ENCODER_DELAY
        frames = mp3.frames_needed(samples, delay=delay, frame_samples=first.samples)
        rounds, rest = divmod(frames, len(self._frames) - 1)
        size = rounds * len(self._audio) + self._frames[rest]
        try:
            head = mp3.info_frame(first, frames=frames, audio_bytes=size, samples=samples, delay=delay)
        except ValueError:  # frames too small to hold one
            head = b""
        return Cut(head, size, self)


def _frame_places(audio: bytes) -> Iterator[int]:
    position = 0
    while header := mp3.parse_header(audio[position : position + 4]):
        yield position
        position += header.size
    yield min(position, len(audio))


@functools.lru_cache(maxsize=512)
def _cut(sound: Sound, seconds: float) -> Cut:
    return sound.make_cut(seconds)
