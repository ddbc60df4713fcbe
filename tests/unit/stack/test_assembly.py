"""What `parcours up` would start: counts, ports, environments; nothing is started here."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from stack.assembly import SERVICES, Wanted, assemble
from stack.cli import parse_workers
from stack.embedded.ports import free_port
from stack.errors import StackError
from stack.folder import DataFolder
from stack.up import _address

PERSONAL = ("CALLBACK_BASE", "CORS_ORIGINS", "SUPABASE_JWT_SECRET", "PROVIDER_FILE_PRIVATE_ORIGINS", "S3_ACCESS_KEY")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFolder]:
    for name in PERSONAL:
        monkeypatch.delenv(name, raising=False)
    one = DataFolder(tmp_path / "data")
    with one.locked():
        yield one


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        ("generator=2", {"generator": 2}),
        (" generator = 2 , runner=3,", {"generator": 2, "runner": 3}),
    ],
)
def test_workers_are_read(text: str, counts: dict[str, int]) -> None:
    assert parse_workers(text) == counts


@pytest.mark.parametrize("text", ["generator", "generator=", "generator=two", "generator=1=2", "runner=1,runner=2"])
def test_workers_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=text):
        parse_workers(text)


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        ({"conductor": 1}, r"no service: conductor; there are .*generator"),
        ({"generator": 0}, "from 1 on"),
        ({"generator": 99_999}, "more than 100 processes"),
        ({"composer": 2}, "composer .* one process"),
    ],
)
def test_workers_that_cannot_be_are_refused(folder: DataFolder, workers: dict[str, int], text: str) -> None:
    with pytest.raises(StackError, match=text):
        assemble(Wanted(folder, free_port(), workers))


def test_each_worker_is_a_process_with_a_name_and_a_port_of_its_own(folder: DataFolder) -> None:
    assembly = assemble(Wanted(folder, free_port(), {"generator": 2}))
    names = [service.name for service in assembly.services]
    assert sorted(names) == sorted([*(f"{service}-1" for service in SERVICES), "generator-2"])
    assert len({service.port for service in assembly.services}) == len(names)


def test_ports_stay_the_same_at_the_next_start(folder: DataFolder) -> None:
    wanted = Wanted(folder, free_port())
    first, second = assemble(wanted), assemble(wanted)
    assert first.bootstrap == second.bootstrap
    assert first.dsn == second.dsn
    assert [service.port for service in first.services] == [service.port for service in second.services]


def test_a_kept_port_that_somebody_took_is_replaced(folder: DataFolder) -> None:
    wanted = Wanted(folder, free_port())
    before = assemble(wanted).bootstrap
    with socket.create_server(("127.0.0.1", int(before.rpartition(":")[2]))):
        assert assemble(wanted).bootstrap != before


def test_a_taken_port_is_refused_with_what_to_type(folder: DataFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} is taken .* --port"):
            assemble(Wanted(folder, port))


def test_given_servers_take_the_place_of_our_own(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ACCESS_KEY", "access")
    monkeypatch.setenv("S3_SECRET_KEY", "secret")
    dsn = "postgresql://somebody:word@192.0.2.1:5432/theirs"
    assembly = assemble(Wanted(folder, free_port(), {}, dsn, "192.0.2.2:9092", "http://192.0.2.3:9000"))
    assert (assembly.postgres, assembly.kafka) == (None, None)
    (environment,) = {tuple(sorted(service.environment.items())) for service in assembly.services}
    expected = {"DATABASE_URL": dsn, "KAFKA_BOOTSTRAP": "192.0.2.2:9092", "OBJECT_STORE": "s3"}
    assert expected.items() <= dict(environment).items()
    assert dict(environment)["S3_ENDPOINT"] == "http://192.0.2.3:9000"


def test_a_given_s3_without_its_keys_is_refused(folder: DataFolder) -> None:
    with pytest.raises(StackError, match="S3_ACCESS_KEY and S3_SECRET_KEY"):
        assemble(Wanted(folder, free_port(), s3="http://192.0.2.3:9000"))


def test_the_persons_own_environment_wins_over_our_defaults(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBACK_BASE", "https://example.org/callback")
    monkeypatch.setenv("PROVIDER_FILE_PRIVATE_ORIGINS", "http://127.0.0.1:9999")
    environment = assemble(Wanted(folder, free_port())).services[0].environment
    assert environment["CALLBACK_BASE"] == "https://example.org/callback"
    origins = environment["PROVIDER_FILE_PRIVATE_ORIGINS"].split(",")
    assert origins == ["http://127.0.0.1:9999", environment["COMPOSER_URL"]]


def test_the_callbacks_default_is_the_stacks_own(folder: DataFolder) -> None:
    wanted = Wanted(folder, free_port())
    environment = assemble(wanted).services[0].environment
    assert environment["CALLBACK_BASE"] == f"http://127.0.0.1:{wanted.port}/callback"
    assert environment["CALLBACK_SIMPLE_DIALECT"] == "1"


def test_no_secret_is_shown_by_a_service_process(folder: DataFolder) -> None:
    assembly = assemble(Wanted(folder, free_port()))
    shown = repr(assembly.services)
    assert not [name for name, value in folder.secrets().items() if value in shown]


def test_an_address_for_people_holds_no_password() -> None:
    assert _address("postgresql://postgres:word@127.0.0.1:5432/parcours") == "postgresql://127.0.0.1:5432/parcours"
