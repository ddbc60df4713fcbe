"""F1 on the wire: one resolution, the pinned address, no redirects, bounds on size, and what may pass."""

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from services.archiver.clients import files
from services.archiver.clients.files import MAX_BYTES, Files
from services.archiver.domain.addresses import AllowList
from services.archiver.domain.failures import Code, GiveUp, MayPass

ALLOWED = AllowList.of(("cdn1.suno.ai",), ())
URL = "https://cdn1.suno.ai/a.mp3"


async def one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


class Web:
    """Answers every request with one response, remembers requests and resolutions."""

    def __init__(self, answer: Callable[[], httpx.Response], *addresses: str) -> None:
        self.requests: list[httpx.Request] = []
        self.resolved = 0
        self._addresses = list(addresses) or ["93.184.216.34"]
        self._answer = answer

    def files(self) -> Files:
        return Files(ALLOWED, resolve=self._resolve, transport=httpx.MockTransport(self._handle))

    async def _resolve(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("cdn1.suno.ai", 443)
        self.resolved += 1
        return [self._addresses[min(self.resolved, len(self._addresses)) - 1]]

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer()


async def test_the_checked_address_is_connected_to_under_the_name(tmp_path: Path) -> None:
    web = Web(lambda: httpx.Response(200, content=one(b"music")))
    fetched = await web.files().fetch(URL, tmp_path / "a")
    (request,) = web.requests
    assert request.url.host == "93.184.216.34"
    assert request.headers["host"] == "cdn1.suno.ai"
    assert request.extensions["sni_hostname"] == "cdn1.suno.ai"
    assert (fetched.size, fetched.sha256) == (5, sha256(b"music").digest())
    assert "cookie" not in request.headers


async def test_a_name_that_is_rebound_between_check_and_connection_gains_nothing(tmp_path: Path) -> None:
    web = Web(lambda: httpx.Response(200, content=one(b"music")), "93.184.216.34", "127.0.0.1")
    await web.files().fetch(URL, tmp_path / "a")
    assert (web.resolved, web.requests[0].url.host) == (1, "93.184.216.34")


async def test_a_name_that_resolves_to_a_private_address_is_not_called(tmp_path: Path) -> None:
    web = Web(lambda: httpx.Response(200, content=b"secret"), "169.254.169.254")
    with pytest.raises(GiveUp, match="url_refused"):
        await web.files().fetch(URL, tmp_path / "a")
    assert web.requests == []


async def test_nothing_of_the_environment_is_used() -> None:
    async with Web(lambda: httpx.Response(200)).files()._client() as client:
        assert not client.trust_env  # no proxies, no .netrc
        assert not client.follow_redirects


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), Code.URL_REFUSED),
        (httpx.Response(307, headers={"location": URL}), Code.URL_REFUSED),
        (httpx.Response(404), Code.FILE_GONE),
        (httpx.Response(410), Code.FILE_GONE),
        (httpx.Response(403), Code.FILE_GONE),
        (httpx.Response(206, content=b"x"), Code.NOT_AUDIO),
        (httpx.Response(200, headers={"content-encoding": "br"}, content=None), Code.NOT_AUDIO),
        (httpx.Response(200, headers={"content-length": str(60 << 20)}), Code.TOO_LARGE),
    ],
)
async def test_what_will_not_pass_is_named(tmp_path: Path, response: httpx.Response, code: Code) -> None:
    with pytest.raises(GiveUp) as given_up:
        await Web(lambda: response).files().fetch(URL, tmp_path / "a")
    assert given_up.value.code is code


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(tmp_path: Path, status: int) -> None:
    with pytest.raises(MayPass):
        await Web(lambda: httpx.Response(status)).files().fetch(URL, tmp_path / "a")


async def test_a_connection_that_breaks_may_pass(tmp_path: Path) -> None:
    def broken() -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed connection")

    with pytest.raises(MayPass):
        await Web(broken).files().fetch(URL, tmp_path / "a")


async def test_a_file_that_does_not_end_is_cut_within_64_kib_of_the_bound(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    with pytest.raises(GiveUp) as given_up:
        await Web(lambda: httpx.Response(200, content=endless())).files().fetch(URL, tmp_path / "a")
    assert given_up.value.code is Code.TOO_LARGE
    assert MAX_BYTES - 65536 <= (tmp_path / "a").stat().st_size <= MAX_BYTES


async def trickle() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.01)


async def test_a_file_that_only_trickles_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SLOW_AFTER_SECONDS", 0.05)
    with pytest.raises(MayPass, match="too slow"):
        await Web(lambda: httpx.Response(200, content=trickle())).files().fetch(URL, tmp_path / "a")


async def test_a_file_that_takes_longer_than_it_may_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_SECONDS", 0.1)
    with pytest.raises(MayPass, match="TimeoutError"):
        await Web(lambda: httpx.Response(200, content=trickle())).files().fetch(URL, tmp_path / "a")
