"""The main job, as a stranger starts it: `parcours demo --once` makes a whole journey with the composer."""

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack.audio_file import seconds_and_loudness_of, seconds_of
from stack.embedded.ports import free_port
from stack.folder import DataFolder
from tests.stacks import FIRST_SOUND_SECONDS, PARCOURS

pytestmark = pytest.mark.renders

PLANNED_SECONDS = 1200  # panique-anxiete: 20 minutes
PLANNED_FILES = (135, 125, 235, 245, 245, 240)  # fear-0.8, SUDS 8: each segment and its 5 s tail, the last without


@dataclass(frozen=True)
class Demo:
    """What one `parcours demo --once` did."""

    status: int
    said: str
    seconds: float
    files: list[Path]
    folder: DataFolder


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="parcours-demo-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        folder = DataFolder(Path(name) / "data")
        command = [str(PARCOURS), "demo", "--once", "--port", str(free_port()), "--data", str(folder.path)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        files = sorted(folder.path.glob("journeys/*/[0-9].mp3"))
        yield Demo(done.returncode, done.stdout + done.stderr, time.monotonic() - began, files, folder)
        folder.end_leftovers()


@pytest.mark.timeout(900)
def test_the_run_becomes_ready_and_the_first_sound_comes_in_time(demo: Demo) -> None:
    assert demo.status == 0, demo.said + "".join(p.read_text()[-2000:] for p in demo.folder.logs.glob("*.log"))
    found = re.search(r"first sound ([\d.]+) s   complete (\d+) s", demo.said)
    assert found is not None, demo.said
    assert float(found[1]) < FIRST_SOUND_SECONDS
    assert demo.seconds < 360, demo.said


async def test_each_file_is_within_100_ms_of_its_plan(demo: Demo) -> None:
    assert len(demo.files) == len(PLANNED_FILES)
    for path, planned in zip(demo.files, PLANNED_FILES, strict=True):
        assert abs(await seconds_of(path) - planned) < 0.1, path


async def test_the_joined_journey_is_as_long_and_as_loud_as_planned(demo: Demo) -> None:
    journey = demo.files[0].with_name("journey.mp3")
    seconds, measured = await seconds_and_loudness_of(journey)
    assert abs(seconds - PLANNED_SECONDS) < 0.05
    assert abs(measured.integrated + 16.0) < 1.0
    assert measured.true_peak <= -1.0


def test_it_names_every_file_that_it_made(demo: Demo) -> None:
    for path in (*demo.files, demo.files[0].with_name("journey.mp3")):
        assert str(path) in demo.said


def test_nothing_of_the_stack_is_left_running(demo: Demo) -> None:
    assert not demo.folder.is_locked()
    assert [process.name() for process in demo.folder._marked()] == []
