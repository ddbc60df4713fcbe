"""Owns the one change of user: PostgreSQL refuses root, so root starts it as a system user."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from stack.embedded.errors import EmbeddedError

SYSTEM_USER = "parcours"


def postgres_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL must run as; `None` when the caller is no root and runs it as itself."""
    if os.geteuid() != 0:
        return None
    return _existing() or _created()


def _existing() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None


def _created() -> pwd.struct_passwd:
    program = shutil.which("useradd")
    if program is None:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root, and there is no useradd here to make the system user {SYSTEM_USER!r}: "
            "make that user, or start as a plain user"
        )
    print(f"PostgreSQL refuses root: making the system user {SYSTEM_USER!r} for it", file=sys.stderr)
    made = subprocess.run(
        [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    # Two stacks may make it at the same moment; the loser's error does not matter if the user is there.
    if user := _existing():
        return user
    raise EmbeddedError(f"useradd could not make the system user {SYSTEM_USER!r}: {made.stderr.strip()}")


def reaches(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether `user` can enter the folder or run the program: asked of the kernel, as that user."""
    asked = subprocess.run(
        ["test", "-x", str(path)], user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/", check=False
    )
    return asked.returncode == 0


def give(path: Path, user: pwd.struct_passwd) -> None:
    """Make `path` and all below it the property of `user`."""
    os.chown(path, user.pw_uid, user.pw_gid)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, user.pw_uid, user.pw_gid, follow_symlinks=False)
