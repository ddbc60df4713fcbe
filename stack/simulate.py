"""`parcours simulate`: runs a provider's stand-in on this machine."""

import asyncio
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.audio_file import prepare_audio
from stack.embedded.places import work_folder
from stack.simulate_signed import fal, replicate

if TYPE_CHECKING:  # every verb imports this module, and a web server is half of what starting one costs
    from stack.simulators.suno import Settings

app = typer.Typer(help="Providers' stand-ins on this machine.", no_args_is_help=True)
app.command()(fal)
app.command()(replicate)


class Callbacks(StrEnum):
    """Whether the stand-in calls back."""

    ALL = "all"
    NONE = "none"


class WindowKind(StrEnum):
    """What "20 requests per 10 s" means."""

    SLIDING = "sliding"
    FIXED = "fixed"
    BUCKET = "bucket"


class Dialect(StrEnum):
    """Whose routes and codes."""

    SUNOAPI = "sunoapi"
    KIE = "kie"


class ResultJson(StrEnum):
    """How kie's `resultJson` is read."""

    DATA = "data"
    URLS = "urls"


@app.command()
def suno(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 9999,
    speed: Annotated[float, typer.Option(min=0.1, help="How many times faster than the real one.")] = 1.0,
    window: Annotated[WindowKind, typer.Option(help="20 in any 10 s, in each 10 s, or a bucket.")] = WindowKind.SLIDING,
    reply_delay: Annotated[str, typer.Option(help="Seconds a submission's reply takes, A-B or 0.")] = "0.1-0.8",
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    callbacks: Annotated[Callbacks, typer.Option(help="Call back at each stage, or never.")] = Callbacks.ALL,
    stages: Annotated[str, typer.Option(help="Seconds to text, first and complete.")] = "12,35,150",
    jitter: Annotated[float, typer.Option(min=0, max=0.9, help="Each stage time is multiplied by 1 ± this.")] = 0.0,
    retries: Annotated[
        str, typer.Option(help="Pauses before a callback is repeated; the dialect's own if empty.")
    ] = "",
    credits_: Annotated[float, typer.Option("--credits", min=0, help="Balance of each account.")] = 100_000,
    key: Annotated[list[str] | None, typer.Option(help="A known key, repeatable; any key if none is given.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(min=1, help="More unfinished tasks are refused.")] = None,
    record_info_counts: Annotated[bool, typer.Option(help="A poll takes a place in the window.")] = False,  # noqa: FBT002
    prompt_alone: Annotated[bool, typer.Option(help="V6 takes a prompt alone.")] = False,  # noqa: FBT002
    audio: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The MP3 files are cut from.")] = None,
    faults: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Faults, read when changed.")] = None,
    ledger: Annotated[Path | None, typer.Option(dir_okay=False, help="Every happening as a JSON line.")] = None,
    dialect: Annotated[Dialect, typer.Option(help="Whose routes and codes.")] = Dialect.SUNOAPI,
    hmac_key: Annotated[str | None, typer.Option(help="kie: sign callbacks.")] = None,
    result_json: Annotated[ResultJson, typer.Option(help="kie: which of two readings.")] = ResultJson.DATA,
    refuse_bots: Annotated[bool, typer.Option(help="kie: 403 for a User-Agent of a program.")] = False,  # noqa: FBT002
) -> None:
    """Stand in for the Suno reseller; its page at / shows quota, tasks and switches for faults.

    SUNO_BASE_URL=http://127.0.0.1:9999 SUNO_API_KEY=any PROVIDER_FILE_PRIVATE_ORIGINS=http://127.0.0.1:9999
    let `parcours up` use it; with --speed 20 give it TIME_SCALE=0.05. stack/simulators/README.md tells every
    fault, the ledger and the control API (/_sim/ledger, /_sim/faults, /_sim/reset).
    """
    import uvloop  # noqa: PLC0415 - see above

    from stack.simulators.suno.settings import STAGES, Settings  # noqa: PLC0415

    delay = _numbers(reply_delay, "-", "--reply-delay")
    times = _numbers(stages, ",", "--stages")
    if len(delay) not in (1, 2) or delay[0] > delay[-1]:
        raise typer.BadParameter("expected A-B or one number", param_hint="--reply-delay")
    if len(times) != len(STAGES) or list(times) != sorted(times):
        raise typer.BadParameter("expected three rising numbers", param_hint="--stages")
    settings = Settings(
        dialect=dialect.value,
        speed=speed,
        window=window.value,
        reply_delay=(delay[0], delay[-1]),
        seed=seed,
        callbacks=callbacks.value,
        stages=(times[0], times[1], times[2]),
        jitter=jitter,
        retries=_numbers(retries, ",", "--retries") if retries else None,
        credits=int(credits_) if credits_.is_integer() else credits_,
        keys=tuple(key or ()),
        max_in_flight=max_in_flight,
        record_info_counts=record_info_counts,
        prompt_alone=prompt_alone,
        audio=audio,
        faults=faults,
        ledger=ledger,
        hmac_key=hmac_key,
        result_json=result_json.value,
        refuse_bots=refuse_bots,
        origin=f"http://127.0.0.1:{port}",
    )
    uvloop.run(serve_suno(port, settings))


async def serve_suno(port: int, settings: "Settings") -> None:
    """Serve until a signal comes; prints one line `ready URL` when it answers."""
    import uvicorn  # noqa: PLC0415

    from stack.simulators.suno.app import make_app, make_server  # noqa: PLC0415
    from stack.simulators.suno.faults import FaultError  # noqa: PLC0415

    if settings.audio is None:
        audio = work_folder() / "audio" / "chord.mp3"
        await prepare_audio(audio)
        settings = replace(settings, audio=audio)
    try:
        server = make_server(make_app(settings), port, uvicorn.Server)
    except FaultError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from error
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        typer.echo(f"ready {settings.origin}")
    await serving


def _numbers(text: str, between: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(between))
    except ValueError as error:
        raise typer.BadParameter(f"expected numbers with {between} between them", param_hint=option) from error
