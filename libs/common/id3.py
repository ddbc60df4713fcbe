"""Owns ID3v2.3: the tag that stands in front of a file's first frame and moves no sound."""

from collections.abc import Mapping
from typing import Final

_LATIN1: Final = 0
_UTF16: Final = 1
_HEADER: Final = b"ID3\x03\x00\x00"
_LARGEST: Final = 1 << 28  # four bytes of seven bits


def tag(
    texts: Mapping[str, str],
    *,
    named: Mapping[str, str] | None = None,
    comment: str = "",
    language: str = "und",
) -> bytes:
    """A whole tag; frames without a value are left out.

    Args:
        texts: values by frame, as `TIT2`.
        named: values of `TXXX` frames by their description.
        comment: the `COMM` frame's value.
        language: of the comment, ISO 639-2.
    """
    frames = [_frame(name, *_encoded(value)) for name, value in texts.items() if value]
    frames += [_frame("TXXX", *_encoded(name, value)) for name, value in (named or {}).items() if value]
    if comment:
        encoding, value = _encoded("", comment)
        frames.append(_frame("COMM", encoding, language.encode("ascii")[:3].ljust(3) + value))
    body = b"".join(frames)
    if len(body) >= _LARGEST:
        raise ValueError(f"expected a tag of less than {_LARGEST} bytes, found {len(body)}")
    return _HEADER + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body if body else b""


def _frame(name: str, encoding: int, value: bytes) -> bytes:
    content = bytes((encoding,)) + value
    return name.encode("ascii") + len(content).to_bytes(4, "big") + b"\0\0" + content


def _encoded(*parts: str) -> tuple[int, bytes]:
    """Latin-1 where it can say it, which every reader knows; all parts of a frame are written alike."""
    try:
        return _LATIN1, b"\0".join(part.encode("latin-1") for part in parts)
    except UnicodeEncodeError:
        return _UTF16, b"\0\0".join(b"\xff\xfe" + part.encode("utf-16-le") for part in parts)
