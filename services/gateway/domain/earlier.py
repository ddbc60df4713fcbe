"""Owns what the earlier clients say differently: preset keys with a numeric prefix (architecture.md §8)."""

import re

import orjson

_PREFIXED = re.compile(r"[0-9]{1,3}-(?=[a-z])")


def modern_body(body: bytes) -> bytes:
    """Return the body with `00-universel-reset` read as `universel-reset`; anything else passes as it is.

    What is no JSON object passes too: the service behind refuses it with its own words.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(document, dict):
        return body
    key = document.get("presetKey")
    if not isinstance(key, str) or not _PREFIXED.match(key):
        return body
    return orjson.dumps(document | {"presetKey": _PREFIXED.sub("", key, count=1)})
