"""The flat dialect of the operators' smoke tests and of imports; understood only where a setting allows it (W4)."""

from collections.abc import Mapping
from typing import Any, Final

from services.callback.domain.addresses import as_url
from services.callback.domain.news import (
    PROVIDER_ERROR,
    STAGES,
    News,
    Stage,
    Take,
    UnknownDialectError,
    as_seconds,
    as_text,
)

DIALECT: Final = "simple"


def speaks(body: Mapping[str, Any]) -> bool:
    return "stage" in body


def parse(body: Mapping[str, Any]) -> News:
    """Understand `{stage, streamUrl, downloadUrl, duration, error}` or raise `UnknownDialectError`."""
    stage = STAGES.get(body["stage"]) if isinstance(body["stage"], str) else None
    if stage is Stage.TEXT:
        return News(DIALECT, Stage.TEXT)
    if stage is Stage.FIRST:
        return News(DIALECT, Stage.FIRST, preview_url=_needed(body, "streamUrl"))
    if stage is Stage.COMPLETE:
        take = Take(_needed(body, "downloadUrl"), as_seconds(body.get("duration")))
        return News(DIALECT, Stage.COMPLETE, takes=(take,))
    if stage is Stage.ERROR:
        message = as_text(body.get("error"))
        return News(DIALECT, Stage.ERROR, error_code=PROVIDER_ERROR, error_message=message)
    raise UnknownDialectError("expected stage first, complete or error")


def _needed(body: Mapping[str, Any], key: str) -> str:
    url = as_url(body.get(key))
    if url is None:
        raise UnknownDialectError(f"expected {key} to be an http(s) address")
    return url
