"""Owns what an MP3 is in bytes: frame headers, the frames of a file, its exact length, and the Info frame we write.

Pure functions over bytes and files, no codec. Facts: audio-and-player.md §6.2; ISO 11172-3 for the tables.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

DECODER_DELAY: Final = 529  # samples every decoder adds; with the encoder's own delay it is skipped at the start
ENCODER_DELAY: Final = 576  # samples LAME adds in front

_KILOBITS_MPEG1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_MPEG2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # MPEG 1, 2, 2.5
_MPEG1: Final = 3
_LAYER3: Final = 1
_MONO: Final = 3
_PADDING_BIT: Final = 0x02
_LAME_OFFSET: Final = 120  # bytes from `Info` to the encoder's name
_GAPS_OFFSET: Final = 141  # bytes from `Info` to the three bytes of delay and padding
_INFO_BYTES: Final = 156  # `Info` to the end of the LAME part
_MAX_GAP: Final = 4095  # 12 bits
_SEEK_POINTS: Final = 100
_TAG_STARTS: Final = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"3DI", b"ID3")


class NotMp3Error(ValueError):
    """The bytes hold no two MP3 frames in a row."""


@dataclass(frozen=True, slots=True)
class Header:
    """One Layer III frame header; `size` counts the whole frame in bytes, `samples` per channel."""

    raw: bytes
    version: int
    kilobits: int
    sample_rate: int
    channels: int
    size: int
    samples: int

    @classmethod
    def constant(cls, kilobits: int) -> Self:
        """The header LAME writes first at 44.1 kHz joint stereo: MPEG-1, no CRC, no padding bit, original."""
        raw = bytes((0xFF, 0xFB, _KILOBITS_MPEG1.index(kilobits) << 4, 0x44))
        return cls(raw, _MPEG1, kilobits, 44100, 2, 144_000 * kilobits // 44100, 1152)

    @property
    def side_bytes(self) -> int:
        """Length of the side information between header and main data."""
        if self.version == _MPEG1:
            return 17 if self.channels == 1 else 32
        return 9 if self.channels == 1 else 17

    def agrees(self, other: "Header") -> bool:
        """Whether both may stand in one stream."""
        mine = (self.version, self.sample_rate, self.channels)
        return mine == (other.version, other.sample_rate, other.channels)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What an Info or Xing frame says about itself; delay and padding are `None` without the LAME part."""

    declared_frames: int | None
    delay: int | None
    padding: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """The frames of a file. `audio_start` and `audio_bytes` leave tags and the Info frame out."""

    first: Header
    audio_start: int
    audio_bytes: int
    frames: int
    constant: bool
    gaps: Gaps | None
    clean_end: bool

    @property
    def delay(self) -> int:
        """Samples of the encoder's delay, as announced; 0 where nothing was announced."""
        return (self.gaps.delay or 0) if self.gaps else 0

    @property
    def samples(self) -> int:
        """Samples per channel that a decoder which obeys the header gives: the exact length."""
        padding = (self.gaps.padding or 0) if self.gaps else 0
        return max(0, self.frames * self.first.samples - self.delay - padding)

    @property
    def seconds(self) -> float:
        return self.samples / self.first.sample_rate


def parse_header(raw: bytes) -> Header | None:
    """Read four bytes as a Layer III frame header; `None` when they are none (free format is none)."""
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - four bytes of header
        return None
    version, layer, rate, index = raw[1] >> 3 & 3, raw[1] >> 1 & 3, raw[2] >> 2 & 3, raw[2] >> 4
    if version not in _RATES or layer != _LAYER3 or rate == 3 or index in (0, 15):  # noqa: PLR2004 - reserved values
        return None
    kilobits = (_KILOBITS_MPEG1 if version == _MPEG1 else _KILOBITS_MPEG2)[index]
    sample_rate = _RATES[version][rate]
    samples = 1152 if version == _MPEG1 else 576
    size = samples // 8 * 1000 * kilobits // sample_rate + (raw[2] >> 1 & 1)
    return Header(bytes(raw[:4]), version, kilobits, sample_rate, 1 if raw[3] >> 6 == _MONO else 2, size, samples)


def skip_id3(view: bytes | mmap.mmap) -> int:
    """Where the audio may begin: behind all ID3v2 tags at the start."""
    position = 0
    while view[position : position + 3] == b"ID3" and len(view) >= position + 10:
        size = 0
        for byte in view[position + 6 : position + 10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size + (10 if view[position + 5] & 0x10 else 0)
    return position


def begins_with_frames(view: bytes | mmap.mmap) -> bool:
    """Whether two agreeing frames stand at the start, or behind ID3 tags and zeros; one sync word is chance."""
    return _first_frame(view) is not None


def scan(path: Path) -> Layout:
    """Walk the frames of a file; blocking (about 2 µs a frame), memory-mapped. Raises `NotMp3Error`."""
    if path.stat().st_size == 0:
        raise NotMp3Error("expected frames, found an empty file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return scan_bytes(view)


def scan_bytes(view: bytes | mmap.mmap) -> Layout:
    """As `scan`, of what is in memory; an incomplete last frame is left out."""
    found = _first_frame(view)
    if found is None:
        raise NotMp3Error("expected two MP3 frames in a row, found none")
    start, head = found
    gaps = _read_info(view[start : start + head.size], head)
    if gaps is not None:
        start += head.size
    first = parse_header(view[start : start + 4])
    if first is None or not first.agrees(head):
        raise NotMp3Error("expected audio behind the Info frame, found none")
    position, frames, constant = start, 0, True
    while (frame := parse_header(view[position : position + 4])) and frame.agrees(first):
        if position + frame.size > len(view):
            break
        constant &= frame.kilobits == first.kilobits
        position, frames = position + frame.size, frames + 1
    rest = view[position : position + 16]
    clean = not rest.strip(b"\0") or rest.startswith(_TAG_STARTS)
    return Layout(first, start, position - start, frames, constant, gaps, clean)


def frames_begin(path: Path) -> int:
    """The byte of the first frame, an Info frame included: behind tags and zeros. Raises `NotMp3Error`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        found = _first_frame(view)
    if found is None:
        raise NotMp3Error("expected two MP3 frames in a row, found none")
    return found[0]


def frames_end(path: Path, layout: Layout, frames: int) -> int:
    """The byte behind the first `frames` audio frames of a scanned file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        position = layout.audio_start
        for _ in range(min(frames, layout.frames)):
            header = parse_header(view[position : position + 4])
            if header is None:
                raise NotMp3Error("expected the frames that were scanned, found others")
            position += header.size
        return position


def frames_needed(samples: int, *, delay: int = ENCODER_DELAY, frame_samples: int = 1152) -> int:
    """How many frames decode to `samples`, the decoder's own delay at the end included."""
    return -(-(samples + delay + DECODER_DELAY) // frame_samples)


def info_frame(like: Header, *, frames: int, audio_bytes: int, samples: int, delay: int = ENCODER_DELAY) -> bytes:
    """A silent frame for the front of a constant bit rate stream: counts, seek table, exact delay and padding.

    Args:
        like: header of the stream's first frame; the Info frame has the same, without the padding bit.
        frames: audio frames that follow.
        audio_bytes: their size.
        samples: what a player shall play, per channel.
        delay: samples to skip at the start besides the decoder's own 529.
    """
    raw = like.raw[:2] + bytes((like.raw[2] & ~_PADDING_BIT, like.raw[3]))
    header = parse_header(raw)
    at = 4 + like.side_bytes
    if header is None or header.size < at + _INFO_BYTES:
        raise ValueError(f"expected frames of at least {at + _INFO_BYTES} bytes, found {header and header.size}")
    padding = min(max(frames * like.samples - delay - samples, 0), _MAX_GAP)
    info = b"Info" + (0x0F).to_bytes(4, "big") + frames.to_bytes(4, "big")
    info += (audio_bytes + header.size).to_bytes(4, "big")
    info += bytes(point * 256 // _SEEK_POINTS for point in range(_SEEK_POINTS)) + (50).to_bytes(4, "big")
    frame = bytearray(header.size)
    frame[0:4] = raw
    frame[at : at + len(info)] = info
    frame[at + _LAME_OFFSET : at + _LAME_OFFSET + 9] = b"LAME3.100"
    frame[at + _GAPS_OFFSET : at + _GAPS_OFFSET + 3] = (delay << 12 | padding).to_bytes(3, "big")
    return bytes(frame)


def _first_frame(view: bytes | mmap.mmap) -> tuple[int, Header] | None:
    position = skip_id3(view)
    limit = min(len(view), position + 65536)  # some writers leave zeros or a stray byte behind the tag
    while position < limit:
        header = parse_header(view[position : position + 4])
        if header is not None:
            following = parse_header(view[position + header.size : position + header.size + 4])
            if following is not None and following.agrees(header):
                return position, header
        if view[position] not in (0, 0xFF):
            return None
        position += 1
    return None


def _read_info(frame: bytes, header: Header) -> Gaps | None:
    at = 4 + header.side_bytes
    if frame[at : at + 4] not in (b"Info", b"Xing"):
        return None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    frames = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & 1 else None
    lame = at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    gaps = frame[lame + 21 : lame + 24]
    if not frame[lame : lame + 4].strip(b"\0") or len(gaps) < 3:  # noqa: PLR2004 - two numbers of 12 bits
        return Gaps(frames, None, None)
    packed = int.from_bytes(gaps, "big")
    return Gaps(frames, packed >> 12, packed & 0xFFF)
