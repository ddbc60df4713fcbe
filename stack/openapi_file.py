"""Writes `contracts/openapi/gateway.json`, the edge as its clients see it: `python -m stack.openapi_file`."""

import orjson
from pydantic import SecretStr

from libs.common.contracts import FOLDER
from services.gateway.app import make_app
from services.gateway.routes.openapi import document
from services.gateway.settings import Settings

PATH = FOLDER / "openapi" / "gateway.json"
KEY = "k1:" + "00" * 32  # the document needs an application, the application needs keys; it serves nobody


def text() -> bytes:
    """The file's exact contents."""
    settings = Settings(
        internal_secret=SecretStr("none"),
        supabase_jwt_secret=SecretStr("none" * 10),
        media_signing_keys=SecretStr(KEY),
        version="0.1.0",
    )
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(document(make_app(settings)), option=options)


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(text())
