"""Owns asking a running process what its processor time goes to: py-spy looks at its stack some hundred times a second.

It needs the right to look into another process: root, or `kernel.yama.ptrace_scope` at 0.
"""

import asyncio
import shutil
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LOOKS_A_SECOND: Final = 400
OTHER: Final = "anything else"


async def profiled(pid: int, seconds: float, groups: Mapping[str, str], folder: Path) -> dict[str, float] | str:
    """The share of each group in the processor time of `seconds`, or why there is none.

    A look counts for the group of its innermost frame that has one. `groups`: part of a frame's file name → group.
    """
    found = shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    if found is None:
        return "py-spy is not installed (make setup-bench)"
    stacks = folder / f"stacks-{pid}"
    command = [found, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds)))]
    command += ["--rate", str(LOOKS_A_SECOND), "--format", "raw", "--output", str(stacks)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode != 0:
        return f"py-spy: {(said.decode(errors='replace').strip() or 'failed').splitlines()[-1]}"
    return shares(stacks.read_text(), groups)


def shares(stacks: str, groups: Mapping[str, str]) -> dict[str, float]:
    """Shares by group, the largest first; a line of `stacks` is `frame;frame;… count`, the innermost frame last."""
    counted: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = reversed(stack.split(";"))
        group = next((name for frame in frames for part, name in groups.items() if part in frame), OTHER)
        counted[group] += int(count)
    total = max(1, counted.total())
    return {name: count / total for name, count in counted.most_common()}
