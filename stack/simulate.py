"""`parcours simulate`: runs a provider's stand-in on this machine."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from stack.audio_file import prepare_audio, seconds_of
from stack.embedded.places import work_folder
from stack.simulators.suno import Simulator, make_app

app = typer.Typer(help="Providers' stand-ins on this machine.", no_args_is_help=True)


class Callbacks(StrEnum):
    """Whether the stand-in calls back."""

    ALL = "all"
    NONE = "none"


@app.command()
def suno(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 9999,
    callbacks: Annotated[Callbacks, typer.Option(help="Call back at each stage, or never.")] = Callbacks.ALL,
    speed: Annotated[float, typer.Option(min=0.1, help="How many times faster than the real one.")] = 1.0,
    audio: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The file it serves.")] = None,
) -> None:
    """Stand in for the Suno reseller: `SUNO_BASE_URL=http://127.0.0.1:9999 SUNO_API_KEY=any parcours up`."""
    asyncio.run(serve_suno(port, callbacks, speed, audio))


async def serve_suno(port: int, callbacks: Callbacks, speed: float, audio: Path | None) -> None:
    """Serve until a signal comes; prints one line `ready URL` when it answers."""
    path = audio or work_folder() / "audio" / "stand-in.mp3"
    if audio is None:
        await prepare_audio(path)
    origin = f"http://127.0.0.1:{port}"
    simulator = Simulator(path, await seconds_of(path), callbacks.value, speed, origin)
    server = uvicorn.Server(uvicorn.Config(make_app(simulator), port=port, log_level="warning", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        typer.echo(f"ready {origin}")
    await serving
