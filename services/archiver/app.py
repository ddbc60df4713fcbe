"""Owns the archiver's composition: opens what it needs, starts lanes and sweep, hears the news."""

import fcntl
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import imageio_ffmpeg
from fastapi import FastAPI

from libs.common.consumers import Consumers
from libs.common.database import Channel, Database, open_database
from libs.common.health import Check
from libs.common.http import create_app
from libs.common.loops import Loops, open_loops
from libs.common.messaging import open_messaging
from libs.common.objects import open_objects
from libs.common.schema_gate import await_schema
from libs.common.trust import authorities
from libs.common.wakeups import Wakeups, open_wakeups
from services.archiver.clients.composer import Composer
from services.archiver.clients.files import Files
from services.archiver.clients.freesound import Freesound
from services.archiver.clients.generator import Generator
from services.archiver.clients.voices.dialects import ElevenLabs, Google, OpenAI
from services.archiver.clients.voices.espeak import Espeak
from services.archiver.clients.voices.hosted import Dialect, HostedVoice
from services.archiver.consumers import subscribe
from services.archiver.domain.addresses import AllowList
from services.archiver.handlers.finals import archive_final
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.previews import copy_preview
from services.archiver.handlers.serving import Previews
from services.archiver.handlers.tools import Speaker, Tools
from services.archiver.routes import internal_routes
from services.archiver.settings import Settings
from services.archiver.sweeps import Lane, sweep_missing

SERVICE: Final = "archiver"
LOOK_SECONDS: Final = 1.0  # notifications are lost with a connection
SWEEP_SECONDS: Final = 5.0  # performance-and-reliability.md §4.3
CONNECTIONS: Final = 6  # besides two a final at work: one holds its segment's lock, one commits
DRAIN_SHARE: Final = 0.5  # of DRAIN_SECONDS for files in hand; the rest is for closing
_ROOM: Final = "parcours-archiver-"


def make_app(settings: Settings) -> FastAPI:
    """Build the application; the lifespan opens everything else."""
    checks: dict[str, Check] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            dsn = settings.database_url.get_secret_value()
            most = CONNECTIONS + 2 * settings.archiver_workers
            database = await enter(open_database(dsn, SERVICE, max_size=most, session_locks=True))
            wakeups = await enter(open_wakeups(dsn, SERVICE))
            tools = await _open_tools(settings, database, stack)
            copies = GrowingCopies()
            previews = Previews(tools, copies)
            stack.push_async_callback(previews.close)
            app.include_router(internal_routes(previews, settings.internal_secret))
            lanes = _lanes(settings, tools, copies)
            for lane in lanes.values():
                stack.push_async_callback(lane.close, settings.drain_seconds * DRAIN_SHARE)
            loops = await enter(open_loops(settings.drain_seconds * DRAIN_SHARE, app.state.pulse))
            _start(loops, wakeups, lanes, settings, database)
            await_schema(loops, database, app.state.readiness)
            checks.update(database=database.check, objects=tools.objects.check)
            await enter(open_messaging(_consumers(settings, database), database=database, wakeups=wakeups, loops=loops))
            yield

    return create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks=checks)


async def _open_tools(settings: Settings, database: Database, stack: AsyncExitStack) -> Tools:
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, verify=authorities()))
    generator = Generator(client, settings.generator_url, settings.internal_secret.get_secret_value())
    from_composer = Files(AllowList.of((), (settings.composer_url,)))
    composer = Composer(client, from_composer, settings.composer_url, settings.composer_api_key.get_secret_value())
    return Tools(
        database=database,
        objects=await stack.enter_async_context(open_objects(settings)),
        files=Files(settings.allowed()),
        confirm=generator.confirm,
        play_on=composer.play_on,
        ffmpeg=settings.ffmpeg or Path(imageio_ffmpeg.get_ffmpeg_exe()),
        spool=stack.enter_context(_spool()),
        time_scale=settings.time_scale,
        gate=settings.policy(),
        speaker=_speaker(settings, client),
        recordings=_freesound(settings, client),
    )


def _speaker(settings: Settings, client: httpx.AsyncClient) -> Speaker:
    """The voice that was chosen; without its key every line is missing, and says so."""
    match settings.narration_tts:
        case "elevenlabs":
            key = settings.elevenlabs_api_key.get_secret_value()
            dialect: Dialect = ElevenLabs(key, settings.elevenlabs_model, settings.elevenlabs_voice)
            return HostedVoice(client, settings.elevenlabs_base_url, dialect)
        case "openai":
            key = settings.openai_tts_api_key.get_secret_value()
            dialect = OpenAI(key, settings.openai_tts_model, settings.openai_tts_voice)
            return HostedVoice(client, settings.openai_tts_base_url, dialect)
        case "google":
            return HostedVoice(
                client, settings.google_tts_base_url, Google(settings.google_tts_api_key.get_secret_value())
            )
    return Espeak(settings.espeak)


def _freesound(settings: Settings, client: httpx.AsyncClient) -> Freesound | None:
    key = settings.freesound_api_key.get_secret_value()
    if not key:
        return None
    files = Files(settings.freesound_allowed())
    return Freesound(client, files, settings.freesound_base_url, key, time_scale=settings.time_scale)


def _lanes(settings: Settings, tools: Tools, copies: GrowingCopies) -> dict[str, Lane]:
    """Previews have hands of their own: they are what a listener waits for."""
    lane = partial(Lane, database=tools.database, time_scale=tools.time_scale)
    return {
        "previews": lane("preview", settings.archiver_previews, partial(copy_preview, tools=tools, copies=copies)),
        "finals": lane("final", settings.archiver_workers, partial(archive_final, tools=tools, copies=copies)),
    }


def _start(loops: Loops, wakeups: Wakeups, lanes: dict[str, Lane], settings: Settings, database: Database) -> None:
    for name, lane in lanes.items():
        lane.wake = wakeups.event(Channel.ARCHIVE)
        loops.add(name, lane.turn, every=LOOK_SECONDS, wake=lane.wake)
    sweep = partial(sweep_missing, database, settings.time_scale)
    loops.add("missing", sweep, every=SWEEP_SECONDS * settings.time_scale)


def _consumers(settings: Settings, database: Database) -> Consumers:
    consumers = Consumers(
        database,
        settings.kafka_bootstrap,
        SERVICE,
        settings.kafka_prefix,
        wakes=(Channel.OUTBOX, Channel.ARCHIVE),
        time_scale=settings.time_scale,
    )
    subscribe(consumers)
    return consumers


@contextmanager
def _spool() -> Iterator[Path]:
    """Room on the disk for this process, locked while it lives; what killed processes left is removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_ROOM}*"):
        _remove_abandoned(left)
    folder = Path(tempfile.mkdtemp(prefix=_ROOM))
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    with suppress(OSError), (folder / "lock").open("rb") as lock:  # another user's, or being removed
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
