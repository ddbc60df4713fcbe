"""Owns handing files to the archiver without a platform: what comes is on the disk, what is made is looked at."""

import hashlib
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

from services.archiver.clients.files import Fetched
from services.archiver.domain.failures import MayPass
from services.archiver.domain.gate import Policy
from services.archiver.handlers.taking import Made, make_file
from services.archiver.handlers.tools import PlayOn, Tools
from services.archiver.storage import Order
from tests.unit.archiver.sounds import FFMPEG


class OnDisk:
    """Files whose address is their path."""

    async def fetch(self, url: str, into: Path) -> Fetched:
        shutil.copyfile(url, into)
        content = into.read_bytes()
        return Fetched(len(content), hashlib.sha256(content).digest())

    def stream(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError(url)


async def no_composer(exact: Mapping[str, Any], from_seconds: int, into: Path) -> Fetched:
    raise MayPass(f"nobody plays {into.name} from {from_seconds} s of {len(exact)} numbers")


async def hand_in(
    folder: Path,
    *takes: Path,
    policy: Policy | None = None,
    dialect: str = "other",
    play_on: PlayOn = no_composer,
    tries: int = 1,
    **plan: Any,
) -> Made:
    """What the archiver makes of an attempt's takes; raises `GiveUp` when it refuses them, `MayPass` to come again."""
    room = folder / uuid.uuid4().hex
    room.mkdir()
    tools = tools_in(folder, play_on, policy)
    return await make_file(order_of(takes, dialect, plan), tries=tries, folder=room, tools=tools)


def tools_in(folder: Path, play_on: PlayOn = no_composer, policy: Policy | None = None) -> Tools:
    """Tools without a platform."""
    return Tools(
        database=cast("Any", None),
        objects=cast("Any", None),
        files=OnDisk(),
        confirm=cast("Any", None),
        play_on=play_on,
        ffmpeg=FFMPEG,
        spool=folder,
        gate=policy or Policy(),
    )


def order_of(takes: Sequence[Path], dialect: str, plan: dict[str, Any]) -> Order:
    """An attempt that delivered these takes."""
    return Order(
        attempt_id=uuid.uuid4(),
        attempt_no=1,
        provider="suno",
        rank=5,
        alive=True,
        facts={"dialect": dialect, "takes": [{"url": str(take)} for take in takes]},
        segment_id=uuid.uuid4(),
        segment_status="generating",
        plan={"file_seconds": 46, "loudness_lufs": -16.0, "last": False} | plan,
        metadata={},
        run_id=uuid.uuid4(),
        track="stable",
        locale="fr",
        segment_index=0,
        segments_count=1,
        plan_hash="",
    )
