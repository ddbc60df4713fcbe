"""Owns the clean-up after a process that was killed: its folder of files, which nobody else would ever remove."""

import os
import re
import shutil
import tempfile
from pathlib import Path

FOLDER_PREFIX = f"parcours-composer-{os.getpid()}-"
_FOLDER = re.compile(r"parcours-composer-(\d+)-\w+")


def remove_leftovers() -> None:
    """Remove folders of composers that no longer run."""
    for folder in Path(tempfile.gettempdir()).glob("parcours-composer-*"):
        named = _FOLDER.fullmatch(folder.name)
        if named and not _runs(int(named.group(1))):
            shutil.rmtree(folder, ignore_errors=True)  # another user's folder stays: it is theirs to remove


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
