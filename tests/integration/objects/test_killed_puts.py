"""Owns the claim that a process killed while it puts leaves nothing visible and nothing in the way."""

import asyncio
import hashlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.objects import ObjectStore, open_objects
from libs.common.settings import ObjectSettings

ROOT = Path(__file__).parents[3]
KEY = "runs/killed/segment.mp3"
CONTENT = b"journey " * (17 * 1024 * 1024 // 8 + 1)  # large enough for several parts

# Each seam kills the process right before the call that would make the object visible, or amid its bytes.
_CHILD = """
import asyncio, hashlib, os, pathlib, sys
from libs.common.objects import open_objects
from libs.common.settings import ObjectSettings

seam, path = sys.argv[1], pathlib.Path(sys.argv[2])

def die(*_, **__):
    os.kill(os.getpid(), 9)

async def main():
    async with open_objects(ObjectSettings()) as store:
        if seam == "bytes written":
            os.fsync = die
        elif seam == "before the link":
            os.link = die
        elif seam == "a part sent":
            send, sent = store._client.upload_part, []
            async def upload_part(**asked):
                if sent:
                    die()
                sent.append(await send(**asked))
                return sent[0]
            store._client.upload_part = upload_part
        elif seam == "before complete":
            store._client.complete_multipart_upload = die
        digest = hashlib.sha256(path.read_bytes()).digest()
        await store.put(
            sys.argv[3], path, content_type="audio/mpeg", sha256=digest, metadata={"attempt-id": "1"}, if_absent=True
        )

asyncio.run(main())
"""
_SEAMS = {"folder": ["bytes written", "before the link"], "s3": ["a part sent", "before complete"]}


@pytest.fixture
async def fresh(store_settings: ObjectSettings) -> AsyncIterator[ObjectStore]:
    async with open_objects(store_settings) as opened:
        yield opened


def _environment(settings: ObjectSettings) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "OBJECT_STORE": settings.object_store,
        "OBJECT_FOLDER": str(settings.object_folder),
        "S3_ENDPOINT": settings.s3_endpoint or "",
        "S3_ACCESS_KEY": settings.s3_access_key.get_secret_value(),
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_BUCKET": settings.s3_bucket,
        "S3_REGION": settings.s3_region,
    }


@pytest.mark.parametrize("number", [0, 1])
async def test_a_put_killed_at_a_seam_leaves_nothing_visible(
    fresh: ObjectStore, store_settings: ObjectSettings, tmp_path: Path, number: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    seam = _SEAMS[store_settings.object_store][number]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, seam, str(source), KEY, env=_environment(store_settings)
    )
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL

    assert await fresh.head(KEY) is None
    digest = hashlib.sha256(CONTENT).digest()
    about = {"attempt-id": "2"}
    await fresh.put(KEY, source, content_type="audio/mpeg", sha256=digest, metadata=about, if_absent=True)
    info = await fresh.head(KEY)
    assert info is not None
    assert (info.sha256, info.metadata) == (digest, about)
