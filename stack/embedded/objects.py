"""Owns the embedded S3 server: versitygw, one binary over plain files."""

import os
import signal
from pathlib import Path

import httpx

from libs.common.trust import authorities
from stack.embedded.errors import EmbeddedError
from stack.embedded.places import work_folder
from stack.embedded.processes import Spawn

VERSITYGW = "v1.7.0"
REGION = "us-east-1"
HEALTH_SECONDS = 2.0


def versitygw() -> Path:
    """Where `make setup-test` puts the binary; keyed by its version."""
    return work_folder() / "bin" / f"versitygw-{VERSITYGW}"


class EmbeddedObjects:
    """One S3 server; everything it owns is below `folder`. Path-style addresses, region us-east-1."""

    name = "objects"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, port: int, access_key: str, secret_key: str) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.access_key = access_key
        self.secret_key = secret_key

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        for name in ("data", "versions", "sidecar"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def argv(self) -> list[str]:
        program = versitygw()
        if not program.exists():
            raise EmbeddedError(f"the S3 server {program.name} is not built here: type `make setup-test`")
        command = [str(program), "--port", f"127.0.0.1:{self.port}", "--quiet", "--health", "/health", "posix"]
        command += ["--versioning-dir", str(self.folder / "versions")]
        if not _keeps_attributes(self.folder):
            command += ["--sidecar", str(self.folder / "sidecar")]
        return [*command, str(self.folder / "data")]

    def spawn(self) -> Spawn:
        # By environment, so that no list of processes shows the keys.
        keys = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        return Spawn({**keys, "VGW_REGION": REGION}, cwd=self.folder)

    async def ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=HEALTH_SECONDS, trust_env=False, verify=authorities()) as client:
                return (await client.get(f"{self.endpoint}/health")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


def _keeps_attributes(folder: Path) -> bool:
    """Whether files below `folder` can carry the extended attributes in which versitygw keeps an object's metadata."""
    probe = folder / "sidecar"
    try:
        os.setxattr(probe, "user.parcours", b"1")
        os.removexattr(probe, "user.parcours")
    except OSError:
        return False
    return True
