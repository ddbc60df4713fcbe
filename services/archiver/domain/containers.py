"""Owns what a file is by its first bytes, whatever its name or type says (F2)."""

from enum import StrEnum, unique
from typing import Final

from libs.common import mp3

HEAD_BYTES: Final = 65536 + 4096


@unique
class Container(StrEnum):
    """What may be decoded; the value is the demuxer ffmpeg is held to, so that a playlist is never followed."""

    MP3 = "mp3"
    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    M4A = "mov"


def sniff(head: bytes) -> Container | None:
    """Name the container of a file that begins with `head`; `None` for everything else, HTML included."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"fLaC":
        return Container.FLAC
    if head[:4] == b"OggS":
        return Container.OGG
    if head[4:8] == b"ftyp":
        return Container.M4A
    behind = mp3.skip_id3(head)
    if behind >= len(head) > 0 or head[behind : behind + 4] == b"fLaC":
        return Container.MP3 if behind >= len(head) else Container.FLAC  # a tag longer than the head: the scan decides
    return Container.MP3 if mp3.begins_with_frames(head) else None


def declared_bytes(head: bytes) -> int | None:
    """How long a WAV file says it is, in bytes; `None` where a stream's writer could not know."""
    size = int.from_bytes(head[4:8], "little")
    return None if head[:4] != b"RIFF" or size in (0, 0xFFFFFFFF) else size + 8
