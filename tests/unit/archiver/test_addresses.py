"""F1: the hostile set of addresses; nothing outside the list is ever fetched."""

import pytest

from services.archiver.domain.addresses import AllowList, choose_address, is_public
from services.archiver.domain.failures import Code, GiveUp

ALLOWED = AllowList.of(
    ("cdn1.suno.ai", "*.fal.media", "replicate.delivery", "127.0.0.1", "10.0.0.1", "xn--bcher-kva.example"),
    ("http://127.0.0.1:9999", "https://files.internal"),
)


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn1.suno.ai/a.mp3",  # not https
        "ftp://cdn1.suno.ai/a.mp3",
        "file:///etc/passwd",
        "https://cdn1.suno.ai:8443/a.mp3",
        "https://cdn1.suno.ai:/a.mp3",
        "https://cdn1.suno.ai:443x/a.mp3",
        "https://user@cdn1.suno.ai/a.mp3",
        "https://user:word@cdn1.suno.ai/a.mp3",
        "https://cdn1.suno.ai@evil.example/a.mp3",
        "https://evil.example#@cdn1.suno.ai/a.mp3",
        "https://evil.example\\@cdn1.suno.ai/a.mp3",
        "https://cdn1.suno.ai./a.mp3",  # trailing dot
        "https://cdn1.suno.ai.evil.example/a.mp3",
        "https://evilcdn1.suno.ai/a.mp3",
        "https://suno.ai/a.mp3",
        "https://fal.media/a.mp3",  # the pattern needs a name in front
        "https://.fal.media/a.mp3",
        "https://a..fal.media/a.mp3",
        "https://-a.fal.media/a.mp3",
        "https://a%2efal.media/a.mp3",
        "https://127.0.0.1/a.mp3",  # numbers are refused even when a list names them
        "https://10.0.0.1/a.mp3",
        "https://127.1/a.mp3",
        "https://2130706433/a.mp3",
        "https://0x7f000001/a.mp3",
        "https://0177.0.0.1/a.mp3",
        "https://[::1]/a.mp3",
        "https://[::ffff:127.0.0.1]/a.mp3",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/a.mp3",
        "https://ＣＤＮ1.suno.ai/a.mp3",  # full-width letters
        "https://cdn1。suno.ai/a.mp3",  # an ideographic full stop
        "https://bücher.example/a.mp3",
        "https://cdn1.suno.ai/a b.mp3",
        "https://cdn1.suno.ai/a\r\nHost: evil.example",
        "https://cdn1.suno.ai/\0",
        "https:///a.mp3",
        "https://",
        "//cdn1.suno.ai/a.mp3",
        "",
        "https://[::1/a.mp3",
        "https://cdn1.suno.ai/" + "a" * 3000,
        "http://127.0.0.1:9998/a.mp3",  # a private origin is its whole self
        "http://127.0.0.1/a.mp3",
        "https://127.0.0.1:9999/a.mp3",
        "http://127.0.0.1:9999@evil.example/a.mp3",
        "http://user@127.0.0.1:9999/a.mp3",
        "http://0177.0.0.1:9999/a.mp3",
        "http://127.1:9999/a.mp3",
        "http://files.internal/a.mp3",
    ],
)
def test_an_address_outside_the_list_is_refused(url: str) -> None:
    with pytest.raises(GiveUp) as refused:
        ALLOWED.admit(url)
    assert refused.value.code is Code.URL_REFUSED
    assert url == "" or url not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "private"),
    [
        ("https://cdn1.suno.ai/a.mp3", "cdn1.suno.ai", 443, "/a.mp3", False),
        ("https://CDN1.Suno.AI:443/a.mp3?x=1#y", "cdn1.suno.ai", 443, "/a.mp3?x=1", False),
        ("https://v3.fal.media/files/a", "v3.fal.media", 443, "/files/a", False),
        ("https://a.b.fal.media", "a.b.fal.media", 443, "/", False),
        ("https://replicate.delivery/x", "replicate.delivery", 443, "/x", False),
        ("https://xn--bcher-kva.example/x", "xn--bcher-kva.example", 443, "/x", False),
        ("http://127.0.0.1:9999/a.mp3", "127.0.0.1", 9999, "/a.mp3", True),
        ("https://files.internal/a.mp3", "files.internal", 443, "/a.mp3", True),
    ],
)
def test_a_listed_address_is_admitted(url: str, host: str, port: int, path: str, *, private: bool) -> None:
    target = ALLOWED.admit(url)
    assert (target.host, target.port, target.path, target.private) == (host, port, path, private)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378::1", "::127.0.0.1", "nonsense"),
    ],
)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(GiveUp):
        choose_address(ALLOWED.admit("https://cdn1.suno.ai/a"), ["93.184.216.34", address])


def test_every_address_of_a_name_must_be_public_and_the_first_is_taken() -> None:
    target = ALLOWED.admit("https://cdn1.suno.ai/a?b")
    assert choose_address(target, ["2606:4700::1", "93.184.216.34"]) == "2606:4700::1"
    assert target.pinned("2606:4700::1") == "https://[2606:4700::1]:443/a?b"
    assert target.pinned("93.184.216.34") == "https://93.184.216.34:443/a?b"
    with pytest.raises(GiveUp):
        choose_address(target, [])


def test_only_an_origin_named_in_full_may_be_private() -> None:
    assert choose_address(ALLOWED.admit("http://127.0.0.1:9999/a"), ["127.0.0.1"]) == "127.0.0.1"
    with pytest.raises(ValueError, match="PROVIDER_FILE_PRIVATE_ORIGINS"):
        AllowList.of((), ("127.0.0.1:9999",))
