"""`parcours demo`: starts a stack, asks for one journey as a listener would, shows it grow, joins it to one file."""

import asyncio
import time
import webbrowser
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table

from libs.common.identity import issue
from services.create.domain.emotion import parse
from services.create.domain.errors import RefusedInputError
from services.create.domain.presets import preset
from stack.assembly import Wanted
from stack.errors import StackError
from stack.journey import Journey, join
from stack.operator_commands import jwt_secret
from stack.refusals import told
from stack.up import RunningStack, running

LOOK_SECONDS = 0.2
GIVE_UP_SECONDS = 1800.0  # longer than any deadline of a run
TOKEN_SECONDS = 3600
RECONNECT_SECONDS = 1.0
STATUS_AFTER = {
    "segment.started": "generating",
    "segment.first": "first",
    "segment.complete": "complete",
    "segment.failed": "failed",
}
MARKS = {"queued": "waiting", "generating": "composing", "first": "playable", "complete": "stored", "failed": "failed"}


@dataclass(frozen=True)
class Wish:
    """What the person would choose on the page."""

    preset: str
    emotion: str
    suds: int


@dataclass
class Progress:
    """What the display shows."""

    began: float
    run: dict[str, Any]
    first_sound: float | None = None
    finished: float | None = None

    @property
    def seconds(self) -> float:
        return (self.finished or time.monotonic()) - self.began

    def see(self, kind: str, content: dict[str, Any]) -> None:
        """Take in one event of the run's stream, and note when its first sound and its end were heard of."""
        if kind == "snapshot":
            self.run = content
        segment = next((each for each in self.run["segments"] if each["id"] == content.get("segmentId")), None)
        if segment is not None:
            segment |= {name: content[name] for name in ("previewUrl", "finalUrl") if name in content}
            if kind in STATUS_AFTER and not (kind == "segment.failed" and content["retryable"]):
                segment["status"] = STATUS_AFTER[kind]
        if kind in ("run.ready", "run.failed"):
            self.run["status"] = kind.removeprefix("run.")
        if self.first_sound is None and any(_is_playable(each) for each in self.run["segments"]):
            self.first_sound = time.monotonic() - self.began
        if self.finished is None and self.run["status"] != "creating":
            self.finished = time.monotonic()

    def eta(self) -> float | None:
        """Seconds until the run is ready, by the pace so far; None while nothing is stored."""
        stored = sum(segment["seconds"] for segment in self.run["segments"] if segment["status"] == "complete")
        total = sum(segment["seconds"] for segment in self.run["segments"])
        return self.seconds * (total - stored) / stored if stored else None


async def demonstrate(wanted: Wanted, wish: Wish, *, once: bool, open_page: bool) -> int:
    """Run the demonstration; 0 when the run became ready, else 1. Without `once` the stack stays up until Ctrl-C."""
    check(wish)
    console = Console()
    starting = console.status("starting PostgreSQL, Kafka and the services …")
    starting.start()
    try:
        async with running(wanted) as stack:
            starting.stop()
            console.print(f"ready {stack.url}", highlight=False)
            if open_page:
                webbrowser.open(stack.url)
            ready = await _one_journey(stack, wish, console)
            if not once:
                console.print(f"\nThe page: {stack.url}   (Ctrl-C stops everything)", highlight=False)
                await asyncio.Event().wait()
            return 0 if ready else 1
    finally:
        starting.stop()


def check(wish: Wish) -> None:
    """Refuse before anything is started what `POST /v1/runs` would refuse after it; raises StackError."""
    try:
        preset(wish.preset)
        parse(wish.emotion)
    except RefusedInputError as error:
        raise told(error) from None


async def _one_journey(stack: RunningStack, wish: Wish, console: Console) -> bool:
    token = issue(jwt_secret(stack.wanted.folder), uuid4(), [], TOKEN_SECONDS)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=15.0, trust_env=False) as client:
        body = {"presetKey": wish.preset, "emotionState": wish.emotion, "sudsStart": wish.suds}
        began = time.monotonic()
        answer = await client.post("/v1/runs", json=body)
        if answer.status_code != httpx.codes.CREATED:
            raise StackError(f"the run was refused: {answer.status_code} {answer.text[:500]}")
        created = answer.json()
        console.print(f"\n{created['brief']}\n", highlight=False)
        progress = await _follow(client, created["runId"], began, console)
        if progress.run["status"] != "ready":
            console.print(f"the run is {progress.run['status']}; its log: {stack.url}/v1/runs/{created['runId']}/log")
            return False
        folder = stack.wanted.folder.journeys / created["runId"]
        files = await _download(client, progress.run["segments"], folder)
        with console.status("joining the whole journey …"):
            journey = await join(files, folder / "journey.mp3")
    _report(console, progress, files, journey)
    return True


async def _follow(client: httpx.AsyncClient, run_id: str, began: float, console: Console) -> Progress:
    progress = Progress(began, (await client.get(f"/v1/runs/{run_id}")).json())
    with Live(_table(progress), console=console, refresh_per_second=4, transient=not console.is_terminal) as live:
        following = asyncio.create_task(_hear(client, run_id, progress))
        try:
            while progress.finished is None and progress.seconds < GIVE_UP_SECONDS and not following.done():
                await asyncio.sleep(LOOK_SECONDS)
                live.update(_table(progress))
        finally:
            following.cancel()
        live.update(_table(progress))
    if following.done() and not following.cancelled():
        following.result()
    return progress


async def _hear(client: httpx.AsyncClient, run_id: str, progress: Progress) -> None:
    """Follow the run's stream of events until it ends, over restarts of the gateway."""
    last_id = ""
    path = f"/v1/runs/{run_id}/events"
    while progress.finished is None:
        try:
            async with client.stream("GET", path, headers=_from(last_id), timeout=60.0) as answer:
                if answer.status_code == httpx.codes.OK:
                    async for event in events(answer.aiter_lines()):
                        last_id = event[0]
                        progress.see(*event[1:])
        except httpx.TransportError:
            pass  # the gateway is being restarted: what was missed comes with the last id
        await asyncio.sleep(RECONNECT_SECONDS)


def _from(last_id: str) -> dict[str, str]:
    return {"Last-Event-ID": last_id} if last_id else {}


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """Server-sent events as (id, kind, content)."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.strip()
        elif not line:
            if "data" in fields:
                yield fields.get("id", ""), fields.get("event", ""), orjson.loads(fields["data"])
            fields = {}


def _table(progress: Progress) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for segment in progress.run["segments"]:
        mark = MARKS.get(segment["status"], segment["status"])
        if segment["status"] == "generating" and _is_playable(segment):
            mark = MARKS["first"]
        table.add_row(
            f"{segment['index'] + 1}",
            segment["title"],
            f"{segment['seconds'] // 60}:{segment['seconds'] % 60:02}",
            mark,
        )
    first = "…" if progress.first_sound is None else f"{progress.first_sound:.1f} s"
    eta = progress.eta()
    left = "…" if eta is None else f"{eta:.0f} s"
    table.add_row("", f"elapsed {progress.seconds:.0f} s   first sound {first}   left about {left}")
    return table


async def _download(client: httpx.AsyncClient, segments: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Fetch every finished file as a listener would: sign, then get."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for segment in segments:
        signed = await client.post(f"/v1/segments/{segment['id']}/sign")
        signed.raise_for_status()
        audio = await client.get(signed.json()["url"])
        audio.raise_for_status()
        path = folder / f"{segment['index'] + 1}.mp3"
        path.write_bytes(audio.content)
        files.append(path)
    return files


def _report(console: Console, progress: Progress, files: list[Path], journey: Journey) -> None:
    minutes, seconds = divmod(round(journey.seconds), 60)
    console.print(f"first sound {progress.first_sound or 0:.1f} s   complete {progress.seconds:.0f} s", highlight=False)
    for path in files:
        console.print(str(path), highlight=False, soft_wrap=True)
    measured = f"{journey.loudness.integrated:.1f} LUFS, true peak {journey.loudness.true_peak:.1f} dBTP"
    console.print(f"{journey.path}   {minutes}:{seconds:02}, {measured}", highlight=False, soft_wrap=True)


def _is_playable(segment: dict[str, Any]) -> bool:
    return bool(segment.get("previewUrl") or segment.get("finalUrl") or segment["status"] == "complete")
