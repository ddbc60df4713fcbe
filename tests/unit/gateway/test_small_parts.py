"""Owns the claims about the gateway's small decisions: addresses, cursors, the rollout, earlier keys, sessions."""

import uuid
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Problem
from services.gateway.domain import cursors
from services.gateway.domain.addresses import client_address, networks
from services.gateway.domain.cursors import Place
from services.gateway.domain.earlier import modern_body
from services.gateway.domain.rollout import Rollout
from services.gateway.routes.sessions import user_of


@pytest.mark.parametrize(
    ("socket", "header", "trusted", "address"),
    [
        ("203.0.113.9", None, [], "203.0.113.9"),
        ("203.0.113.9", "1.1.1.1", [], "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1", ["10.0.0.0/8"], "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.7", ["10.0.0.0/8"], "1.1.1.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", ["10.0.0.0/8"], "10.0.0.2"),
        ("10.0.0.1", None, ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1:4711", ["10.0.0.0/8"], "10.0.0.1"),
        ("::ffff:10.0.0.1", "1.1.1.1", ["10.0.0.0/8"], "1.1.1.1"),
        ("2001:db8::5", None, [], "2001:db8::/64"),
        ("::1", "[2001:db8:0:1::9]", ["::1"], "2001:db8:0:1::/64"),
        ("::1", None, [], "::/64"),
        (None, "1.1.1.1", ["0.0.0.0/0"], "unknown"),
        ("/run/gateway.sock", None, [], "unknown"),
    ],
)
def test_the_callers_address(socket: str | None, header: str | None, trusted: list[str], address: str) -> None:
    assert client_address(socket, header, networks(trusted)) == address


def test_trusted_proxies_that_are_no_addresses_are_refused_at_start() -> None:
    with pytest.raises(ValueError, match="TRUSTED_PROXIES"):
        networks(["load-balancer"])


@given(st.uuids(), st.datetimes(timezones=st.just(UTC)))
def test_a_cursor_comes_back_as_its_place(run: uuid.UUID, at: datetime) -> None:
    assert cursors.decode(cursors.encode(Place(at, run))) == Place(at, run)


@given(st.text(max_size=60))
def test_any_other_cursor_is_a_400(text: str) -> None:
    with pytest.raises(Problem) as refused:
        cursors.decode(text)
    assert refused.value.status == 400


def test_a_share_of_users_is_inside_and_stays_inside_when_it_grows() -> None:
    users = [uuid.UUID(int=number) for number in range(20_000)]
    five = {user for user in users if Rollout(5, "s").includes(user)}
    quarter = {user for user in users if Rollout(25, "s").includes(user)}
    assert five < quarter
    assert abs(len(five) / len(users) - 0.05) < 0.01
    assert abs(len(quarter) / len(users) - 0.25) < 0.015
    assert all(Rollout(100, "s").includes(user) for user in users)
    assert not any(Rollout().includes(user) for user in users)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"00-x"', b'{"presetKey":null}', b"\xff", b'{"presetKey":"00-"}'])
def test_a_body_without_an_earlier_key_passes_untouched(body: bytes) -> None:
    assert modern_body(body) == body


def test_an_earlier_key_loses_its_number_once() -> None:
    body = orjson.dumps({"presetKey": "07-peur-anticipatoire", "emotionState": "fear-0.8"})
    assert orjson.loads(modern_body(body)) == {"presetKey": "peur-anticipatoire", "emotionState": "fear-0.8"}


def test_a_browsers_user_is_always_the_same_and_tells_nothing_of_the_browser() -> None:
    browser = uuid.uuid4()
    first = user_of(browser, "secret-one,secret-two")
    assert first == user_of(browser, "secret-one")
    assert first != browser
    assert first != user_of(browser, "secret-two")
    assert first != user_of(first, "secret-one")
    assert first.version == 4


def test_a_place_without_a_time_zone_is_refused() -> None:
    text = cursors.encode(Place(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(0), uuid.UUID(int=1)))
    assert cursors.decode(text)
    naive = Place(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), uuid.UUID(int=1))
    with pytest.raises(Problem):
        cursors.decode(cursors.encode(naive))
