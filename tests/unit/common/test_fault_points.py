"""Claims about the places at which a test may end a process: registered, armed by a file, once, and free when off."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from libs.common import fault_points
from libs.common.fault_points import EXIT_STATUS, POINTS, arm

ROOT = Path(__file__).parents[3]
REACHED = re.compile(r'\breach\("([a-z_]+)"')


def reach_in_a_process(folder: Path | None, call: str) -> int:
    program = f"from libs.common.fault_points import reach\nreach({call})"
    environment = {"PATH": os.environ["PATH"]} | ({} if folder is None else {"FAULT_POINTS_FOLDER": str(folder)})
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False).returncode


def test_every_registered_point_stands_in_the_code_and_no_other_does() -> None:
    files = [file for top in ("libs", "services") for file in (ROOT / top).rglob("*.py")]
    reached = {point for file in files for point in REACHED.findall(file.read_text(encoding="utf-8"))}
    assert reached == set(POINTS)


def test_an_armed_point_kills_once_and_is_disarmed_by_it(tmp_path: Path) -> None:
    file = arm(tmp_path, "before_put")
    assert reach_in_a_process(tmp_path, '"after_put"') == 0
    assert reach_in_a_process(tmp_path, '"before_put"') == EXIT_STATUS
    assert not file.exists()
    assert reach_in_a_process(tmp_path, '"before_put"') == 0


def test_a_point_armed_for_one_service_kills_no_other(tmp_path: Path) -> None:
    arm(tmp_path, "inbox_committed", at="archiver")
    assert reach_in_a_process(tmp_path, '"inbox_committed", "runner"') == 0
    assert reach_in_a_process(tmp_path, '"inbox_committed", "archiver"') == EXIT_STATUS


def test_an_unknown_point_cannot_be_armed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whenever is no fault point"):
        arm(tmp_path, "whenever")


def test_without_the_folder_a_point_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arm(tmp_path, "stamped")
    fault_points.reach("stamped")
