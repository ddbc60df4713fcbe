"""An address that would fail later is refused at the door, in every dialect."""

from typing import Any

import orjson
import pytest

from services.callback.domain.addresses import as_url
from services.callback.domain.dialects import understand
from services.callback.domain.news import UnknownDialectError

GOOD = (
    "https://musicfile.api.box/6b1d.mp3",
    "http://127.0.0.1:8007/files/a.mp3",
    "https://v3.fal.media/files/a/b_output.mp3?x=1&y=%20#z",
    "https://cdn1.suno.ai",
    "https://cdn1.suno.ai.:443/a",
    "http://[::1]:9/a",
    "https://[2001:db8::7]/a",
    "https://files.example/chanson-été.mp3",
)
MALFORMED: tuple[object, ...] = (
    "http://[::1",
    "http://::1/a",
    "http://[zz]/a",
    "http://[1:2:3:4:5:6:7:8:9]/a",
    "https://a:99999999/b",
    "https://a:65536/b",
    "https://a:0/b",
    "https://a:/b",
    "https://a:x/b",
    "https://user@a/b",
    "https://user:password@a/b",
    "https://a\\@b/c",
    "https://",
    "https:///b",
    "https://?x",
    "https://-a/b",
    "https://a..b/c",
    "https://" + "a" * 64 + "/b",
    "https://" + "a." * 127 + "bc/d",
    "https://exämple/a",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "data:audio/mpeg;base64,AAAA",
    "ftp://a/b",
    "//a/b",
    "a",
    "https://a b/c",
    "https://a/b c",
    "https://a/b\x00",
    "https://a/b\n",
    "https://a/b\x85",
    "https://a/\u2028",
    "https://a/<b>",
    "https://a/" + "b" * 2048,
    7,
    True,
    [],
    ["https://a/b"],
    {},
)


def bodies(url: object) -> dict[str, dict[str, Any]]:
    """One body a dialect and place in it; each is understood when the address is a good one."""
    said = {"code": 200, "msg": ""}
    song = {"audio_url": "https://a/b"}
    suno = {
        f"suno {stage} {key} {number}": {"callbackType": stage, "data": [song | {key: url}, song][:: 1 - 2 * number]}
        for stage in ("text", "first", "complete", "error")
        for key in ("audio_url", "stream_audio_url")
        for number in (0, 1)
    }
    results = {"data": [{"audio_url": url}]}, {"resultUrls": [url]}
    kie = {
        f"kie {number}": {"state": "success", "resultJson": orjson.dumps(each).decode()}
        for number, each in enumerate(results)
    }
    payloads = [{"audio": {"url": url}}, {"audio_file": {"url": url}}, {"audios": [{"url": url}]}, {"audio": url}]
    return {
        **{name: said | {"data": data} for name, data in (suno | kie).items()},
        **{f"fal {n}": {"request_id": "r", "status": "OK", "payload": each} for n, each in enumerate(payloads)},
        "replicate": {"id": "p", "status": "succeeded", "output": url},
        "replicate list": {"id": "p", "status": "succeeded", "output": ["https://a/b", url]},
        "simple first": {"stage": "first", "streamUrl": url},
        "simple complete": {"stage": "complete", "downloadUrl": url},
    }


@pytest.mark.parametrize("url", GOOD)
def test_a_good_address_is_taken_as_it_is(url: str) -> None:
    assert as_url(url) == url


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_the_empty_text_name_nothing(nothing: object) -> None:
    assert as_url(nothing) is None


@pytest.mark.parametrize("url", MALFORMED, ids=lambda url: repr(url)[:40])
def test_what_is_there_and_is_no_address_is_refused(url: object) -> None:
    with pytest.raises(UnknownDialectError) as refused:
        as_url(url)
    assert "password" not in str(refused.value)


@pytest.mark.parametrize("place", bodies(""))
def test_every_dialect_refuses_a_malformed_address_at_every_place(place: str) -> None:
    understand(orjson.dumps(bodies(GOOD[0])[place]), simple_allowed=True)
    for url in ("http://[::1", "https://a:99999999/b", "https://user@a/b", "https://a/\x00", 7):
        with pytest.raises(UnknownDialectError):
            understand(orjson.dumps(bodies(url)[place]), simple_allowed=True)
