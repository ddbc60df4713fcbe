"""Labels in front of a file say that a machine made it, and leave its frames as they are."""

from pathlib import Path

import numpy as np

from libs.common import mp3
from services.archiver.sound.coding import cut_frames
from services.composer.engine import ENGINE_VERSION
from services.composer.engine.encode import Mp3Stream
from services.composer.engine.labels import id3_tag, labels_of
from tests.unit.composer.journeys import plan_a

SAMPLES = 60_000


def coded() -> bytes:
    stream = Mp3Stream(SAMPLES, kilobits=192, quality=7)
    quiet = np.random.default_rng(1).standard_normal((2, SAMPLES)).astype(np.float32) * np.float32(0.01)
    return stream.header() + stream.add(quiet) + stream.close()


def read_labels(tag: bytes) -> dict[str, str]:
    """As a reader of ID3v2.3 does, TXXX frames alone."""
    found, position, end = {}, 10, mp3.skip_id3(tag)
    while position < end:
        size = int.from_bytes(tag[position + 4 : position + 8], "big")
        assert tag[position : position + 4] == b"TXXX"
        name, _, value = tag[position + 11 : position + 10 + size].decode().partition("\0")
        found[name] = value
        position += 10 + size
    return found


def test_a_file_says_who_made_it_and_from_what() -> None:
    plan = plan_a(3)
    tag = id3_tag(plan)
    labels = read_labels(tag)
    assert mp3.skip_id3(tag + coded()) == len(tag)
    assert labels == labels_of(plan)
    assert labels["AI"] == "procedural"
    assert labels["ENGINE_VERSION"] == ENGINE_VERSION
    assert (labels["KEY"], labels["MODE"], labels["SEED"]) == ("D", "dorian", "7")
    assert float(labels["BPM_START"]) > float(labels["BPM_END"])


def test_the_info_frame_stays_first_and_the_frames_can_be_kept(tmp_path: Path) -> None:
    plain, labelled, kept = (tmp_path / name for name in ("plain.mp3", "labelled.mp3", "kept.mp3"))
    plain.write_bytes(coded())
    labelled.write_bytes(id3_tag(plan_a(3)) + coded())
    layout = mp3.scan(labelled)
    assert layout.gaps is not None
    assert layout.samples == mp3.scan(plain).samples == SAMPLES
    cut_frames(labelled, layout, SAMPLES, kept)
    assert kept.read_bytes()[mp3.scan(kept).audio_start :] == plain.read_bytes()[mp3.scan(plain).audio_start :]
