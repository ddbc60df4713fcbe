"""Owns the claims about docker-compose.yml, since no engine runs here; each rule is seen to fail on purpose."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit import compose_rules as rules

OVERRIDES = sorted((rules.ROOT / "deploy/docker").glob("*.compose.yml"))
_REMOVE = object()

# rule, path in the file, what stands there instead
MUTATIONS: list[tuple[rules.Rule, str, object]] = [
    (rules.every_service_is_there_under_its_own_name, "services.composer", _REMOVE),
    (rules.every_service_is_there_under_its_own_name, "services.signer.command", ["services.gateway"]),
    (rules.what_runs_long_is_bounded_and_watched, "services.kafka.healthcheck", _REMOVE),
    (rules.what_runs_long_is_bounded_and_watched, "services.runner.healthcheck.start_interval", _REMOVE),
    (rules.what_runs_long_is_bounded_and_watched, "services.create.stop_grace_period", "10s"),
    (rules.what_runs_long_is_bounded_and_watched, "services.postgres.restart", "no"),
    (rules.every_container_is_confined, "services.archiver.mem_limit", _REMOVE),
    (rules.every_container_is_confined, "services.gateway.read_only", False),
    (rules.every_container_is_confined, "services.migrate.tmpfs", _REMOVE),
    (rules.every_container_is_confined, "services.postgres.cap_drop", _REMOVE),
    (rules.every_container_is_confined, "services.postgres.cap_add", ["CHOWN"]),
    (rules.every_container_is_confined, "services.callback.security_opt", []),
    (rules.every_container_is_confined, "services.callback.privileged", True),
    (rules.every_container_is_confined, "services.bucket.logging.options", {}),
    (rules.one_shots_end_and_are_awaited, "services.migrate.restart", "unless-stopped"),
    (rules.one_shots_end_and_are_awaited, "services.create.depends_on.migrate.condition", "service_started"),
    (rules.one_shots_end_and_are_awaited, "services.runner.depends_on.kafka.condition", "service_started"),
    (rules.one_shots_end_and_are_awaited, "services.runner.depends_on.kafka.restart", _REMOVE),
    (rules.a_service_waits_for_what_it_uses, "services.archiver.depends_on.object-store", _REMOVE),
    (rules.a_service_waits_for_what_it_uses, "services.signer.depends_on.migrate", _REMOVE),
    (rules.images_are_named_by_tag_and_digest, "services.postgres.image", "postgres:18.6-trixie"),
    (rules.images_are_named_by_tag_and_digest, "services.kafka.image", "apache/kafka:latest@sha256:" + 64 * "0"),
    (rules.images_are_named_by_tag_and_digest, "services.object-store.image", "minio/minio:1@sha256:" + 64 * "0"),
    (rules.images_are_named_by_tag_and_digest, "services.signer.image", "somebody/else:1"),
    (
        rules.every_name_is_a_setting_of_the_service_that_gets_it,
        "services.callback.environment.KAFKA_BOOTSTRAP",
        "kafka:9092",
    ),
    (rules.every_name_is_a_setting_of_the_service_that_gets_it, "services.gateway.environment.CORS_ORIGIN", ""),
    (
        rules.every_variable_asked_of_the_person_is_documented,
        "services.gateway.environment.CORS_ORIGINS",
        "${ORIGINS:-}",
    ),
    (rules.secrets_are_required, "services.signer.environment.MEDIA_SIGNING_KEYS", "${MEDIA_SIGNING_KEYS:-k1:00}"),
    (
        rules.what_a_person_may_change_reaches_all_who_read_it,
        "services.generator.environment.COMPOSER_API_KEY",
        _REMOVE,
    ),
    (rules.what_a_person_may_change_reaches_all_who_read_it, "services.create.environment.RUNS_PER_DAY_MAX", _REMOVE),
    (rules.provider_keys_go_to_one_service_each, "services.callback.environment.SUNO_API_KEY", "${SUNO_API_KEY:-}"),
    (rules.only_the_gateway_listens_and_only_on_this_host, "services.gateway.ports", ["8080:8000"]),
    (rules.only_the_gateway_listens_and_only_on_this_host, "services.postgres.ports", ["127.0.0.1:5432:5432"]),
    (rules.only_the_gateway_listens_and_only_on_this_host, "services.callback.network_mode", "host"),
    (rules.only_three_services_reach_out, "services.callback.networks", ["inside", "outside"]),
    (rules.only_three_services_reach_out, "services.archiver.networks", ["inside"]),
    (rules.only_three_services_reach_out, "networks.inside", None),
    (rules.only_three_services_reach_out, "networks.edge", {}),
    (rules.data_lie_in_named_volumes, "services.postgres.volumes", ["postgres:/var/lib/postgresql/data"]),
    (rules.data_lie_in_named_volumes, "services.kafka.volumes", ["./kafka:/var/lib/kafka/data"]),
]


def _mutated(path: str, value: object) -> rules.Compose:
    compose = rules.load()
    *parents, last = path.split(".")
    place = compose
    for parent in parents:
        place = place[parent]
    if value is _REMOVE:
        del place[last]
    else:
        place[last] = value
    return compose


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: str(rule.__name__))
def test_the_compose_file_keeps_the_rule(rule: rules.Rule) -> None:
    assert rule(rules.load()) == []


@pytest.mark.parametrize(("rule", "path", "value"), MUTATIONS, ids=lambda each: each if isinstance(each, str) else "")
def test_a_rule_broken_on_purpose_is_seen(rule: rules.Rule, path: str, value: object) -> None:
    assert rule(_mutated(path, value)) != []


def test_every_rule_was_seen_to_fail() -> None:
    assert {rule for rule, _, _ in MUTATIONS} == set(rules.RULES)


@pytest.mark.parametrize("service", sorted(rules.written()))
def test_a_service_takes_what_compose_gives_it(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name.upper() for name in rules.settings_of(service)}
    for name in known:
        monkeypatch.delenv(name, raising=False)
    for name, value in rules.given_to(service).items():
        monkeypatch.setenv(name, value)
    settings = importlib.import_module(f"services.{service}.settings").Settings()
    assert importlib.import_module(f"services.{service}.app").make_app(settings).title == service
    assert "127.0.0.1" not in "".join(str(getattr(settings, name.lower())) for name in known - {"PUBLIC_URL"})


def _checked(*files: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", [rules.COMPOSE, *OVERRIDES], ids=lambda file: str(file.name))
def test_the_file_fulfils_the_compose_specification(file: Path) -> None:
    checked = _checked(file)
    assert checked.returncode == 0, checked.stdout


def test_the_specification_refuses_a_misspelt_condition(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(
        rules.COMPOSE.read_text(encoding="utf-8").replace("service_healthy", "service_healty"), encoding="utf-8"
    )
    assert _checked(wrong).returncode != 0


def _linted(file: Path) -> int:
    program = Path(sys.executable).with_name("yamllint")
    command = [str(program), "--strict", "--config-file", str(rules.ROOT / ".yamllint.yaml"), str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("file", [rules.COMPOSE, *OVERRIDES], ids=lambda file: str(file.name))
def test_the_file_is_plain_yaml(file: Path) -> None:
    assert _linted(file) == 0


def test_the_yaml_lint_refuses_a_key_that_stands_twice(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(rules.COMPOSE.read_text(encoding="utf-8") + "\nname: again\n", encoding="utf-8")
    assert _linted(wrong) != 0


@pytest.mark.parametrize("file", OVERRIDES, ids=lambda file: str(file.name))
def test_an_override_names_services_of_the_platform_and_opens_no_way_for_callback(file: Path) -> None:
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    assert set(services) <= rules.SERVICES
    assert "networks" not in services.get("callback", {})


def test_the_keys_of_a_project_may_be_fetched_by_exactly_the_services_that_verify_users() -> None:
    override = yaml.safe_load((rules.ROOT / "deploy/docker/jwks.compose.yml").read_text(encoding="utf-8"))["services"]
    verifying = {service for service in rules.written() if "supabase_url" in rules.settings_of(service)}
    assert verifying <= set(override)
    assert all(service["environment"].keys() == {"SUPABASE_URL"} for service in override.values())
