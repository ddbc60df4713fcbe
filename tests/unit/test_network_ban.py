"""Owns the claim that a unit test cannot reach another machine, whatever library it uses."""

import asyncio
import socket

import pytest

ELSEWHERE = "192.0.2.1"  # an address of documentation (RFC 5737): belongs to nobody


def test_a_unit_test_cannot_connect_to_another_machine() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match=r"may not reach 192\.0\.2\.1"):
        client.connect((ELSEWHERE, 80))


def test_a_unit_test_cannot_send_datagrams_to_another_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, pytest.raises(RuntimeError, match="may not reach"):
        client.sendto(b"x", (ELSEWHERE, 53))


def test_a_unit_test_cannot_look_up_a_name() -> None:
    with pytest.raises(RuntimeError, match=r"may not look up 'example\.org'"):
        socket.getaddrinfo("example.org", 443)


async def test_a_unit_test_cannot_connect_through_asyncio() -> None:
    with pytest.raises(RuntimeError, match="may not"):
        await asyncio.open_connection(ELSEWHERE, 80)


async def test_a_unit_test_may_talk_to_its_own_machine() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
        writer.close()
        await writer.wait_closed()
