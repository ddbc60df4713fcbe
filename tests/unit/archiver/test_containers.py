"""F2: a file is what its bytes are."""

import pytest

from libs.common import mp3
from services.archiver.domain.containers import Container, declared_bytes, sniff

_FRAME = mp3.info_frame(mp3.Header.constant(192), frames=1, audio_bytes=0, samples=0)
_ID3 = b"ID3\x04\0\0\0\0\0\x08" + bytes(8)


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (_FRAME * 2, Container.MP3),
        (_ID3 + _FRAME * 2, Container.MP3),
        (b"RIFF\x24\0\0\0WAVEfmt ", Container.WAV),
        (b"fLaC\0\0\0\x22", Container.FLAC),
        (_ID3 + b"fLaC\0\0\0\x22", Container.FLAC),
        (b"OggS\0\x02", Container.OGG),
        (b"\0\0\0\x20ftypM4A ", Container.M4A),
        (b"<!doctype html><html><body>not found</body></html>", None),
        (b"\xff\xfb\xb0\x44 one sync word is chance" + bytes(1000), None),
        (b"#EXTM3U\nhttp://169.254.169.254/", None),
        (b"ffconcat version 1.0\nfile /etc/passwd", None),
        (b"RIFF\x24\0\0\0AVI LIST", None),
        (b"MZ\x90\0", None),
        (bytes(4096), None),
        (b"", None),
    ],
)
def test_the_container_is_known_by_content(head: bytes, container: Container | None) -> None:
    assert sniff(head) is container


def test_a_wav_says_how_long_it_is_unless_it_was_streamed() -> None:
    assert declared_bytes(b"RIFF\x24\x10\0\0WAVE") == 0x1024 + 8
    assert declared_bytes(b"RIFF\xff\xff\xff\xffWAVE") is None
