"""`parcours simulate fal` and `replicate`: stand-ins whose webhooks are signed."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from stack.audio_file import prepare_audio
from stack.embedded.places import work_folder

Port = Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")]
Speed = Annotated[float, typer.Option(min=0.1, help="How many times faster than the real one.")]
Done = Annotated[float, typer.Option(min=0.1, help="Seconds from acceptance until it is done.")]
Audio = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The MP3 that files are cut from.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", dir_okay=False, help="Every happening as a JSON line.")]


def fal(
    port: Port = 9997, speed: Speed = 1.0, done: Done = 40.0, audio: Audio = None, ledger: LedgerFile = None
) -> None:
    """Stand in for fal's queue, with keys of its own at /.well-known/jwks.json.

    PROVIDERS=fal,composer FAL_KEY=any:any FAL_BASE_URL=http://127.0.0.1:9997
    FAL_JWKS_URL=http://127.0.0.1:9997/.well-known/jwks.json PROVIDER_FILE_PRIVATE_ORIGINS=http://127.0.0.1:9997
    """
    asyncio.run(_serve("fal", port, speed, done, audio, ledger))


def replicate(
    port: Port = 9996, speed: Speed = 1.0, done: Done = 40.0, audio: Audio = None, ledger: LedgerFile = None
) -> None:
    """Stand in for Replicate; /_sim/ledger and /_sim/faults as at the others.

    PROVIDERS=replicate,composer REPLICATE_API_TOKEN=any REPLICATE_BASE_URL=http://127.0.0.1:9996/v1
    PROVIDER_FILE_PRIVATE_ORIGINS=http://127.0.0.1:9996
    """
    asyncio.run(_serve("replicate", port, speed, done, audio, ledger))


async def _serve(
    name: Literal["fal", "replicate"], port: int, speed: float, done: float, audio: Path | None, ledger: Path | None
) -> None:
    """Serve until a signal comes; prints one line `ready URL` when it answers."""
    # Every verb of the command imports this module; a web server is half of what starting one costs.
    import uvicorn  # noqa: PLC0415

    from stack.simulators.fal import make_fal  # noqa: PLC0415
    from stack.simulators.jobs.settings import Settings  # noqa: PLC0415
    from stack.simulators.replicate import make_replicate  # noqa: PLC0415
    from stack.simulators.suno.app import make_server  # noqa: PLC0415

    origin, path = f"http://127.0.0.1:{port}", audio or work_folder() / "audio" / "chord.mp3"
    await prepare_audio(path)
    settings = Settings(
        speed=speed, origin=origin, done_after=done, started_after=min(2.0, done / 2), audio=path, ledger=ledger
    )
    app = make_fal(settings)[1] if name == "fal" else make_replicate(settings)[1]
    server = make_server(app, port, uvicorn.Server)
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        typer.echo(f"ready {origin}")
    await serving
