"""Owns the rules of docker-compose.yml: each a function that returns what is wrong with it."""

import importlib
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
ONCE = {"migrate", "topics", "bucket"}
SERVERS = {"postgres", "kafka", "object-store"}
SERVICES = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}
REACH_OUT = {"archiver", "create", "generator"}
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "PARCOURS_PORT", "PARCOURS_IMAGE"}
SECRETS = {
    "POSTGRES_PASSWORD",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
    "INTERNAL_SECRET",
    "SUPABASE_JWT_SECRET",
    "MEDIA_SIGNING_KEYS",
}
DEPENDENCIES = {"database_url": "postgres", "kafka_bootstrap": "kafka", "s3_endpoint": "object-store"}
GENERATORS_OWN = ("SUNO_", "CALLBACK_BASE")  # others have the group for its names only; PROVIDERS tells them enough
# Only MEDIA_MODE=direct would need it, and compose offers the gateway's addresses alone.
NOT_NEEDED = {("signer", "s3_endpoint")}

Compose = dict[str, Any]
Rule = Callable[[Compose], list[str]]


@cache
def _parsed() -> Compose:
    parsed: Compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return parsed


def load() -> Compose:
    """The file, to be changed at will; anchors are no longer shared."""
    loaded: Compose = json.loads(json.dumps(_parsed()))
    return loaded


def _known() -> set[str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {match[1] for line in lines if (match := re.match(r"([A-Z][A-Z0-9_]*)=", line))}


def settings_of(service: str) -> dict[str, Any]:
    fields: dict[str, Any] = importlib.import_module(f"services.{service}.settings").Settings.model_fields
    return fields


def written() -> set[str]:
    """The services that can be asked for their settings."""
    return {service for service in SERVICES if (ROOT / "services" / service / "settings.py").exists()}


def _interpolated(compose: Compose) -> set[tuple[str, str]]:
    """Variables of the person's environment, each with what stands after its name."""
    return set(re.findall(r"\$\{([A-Z0-9_]+)([^}]*)\}", yaml.safe_dump(compose, width=10_000)))


def given_to(service: str) -> dict[str, str]:
    """What compose gives a service when a person states the required values and nothing else."""
    stated = dict.fromkeys(SECRETS, 64 * "0") | {"MEDIA_SIGNING_KEYS": "k1:" + 64 * "0"}

    def fill(match: re.Match[str]) -> str:
        return stated[match[1]] if match[2].startswith(":?") else match[2].removeprefix(":-")

    environment = load()["services"][service]["environment"]
    return {name: re.sub(r"\$\{([A-Z0-9_]+)([^}]*)\}", fill, value) for name, value in environment.items()}


# --- the rules: each returns what is wrong ---


def every_service_is_there_under_its_own_name(compose: Compose) -> list[str]:
    expected = SERVICES | ONCE | SERVERS
    wrong = [f"{name} is missing or extra" for name in expected ^ set(compose["services"])]
    commands = {name: compose["services"].get(name, {}).get("command") for name in SERVICES}
    return wrong + [f"{name} runs {command}" for name, command in commands.items() if command != [f"services.{name}"]]


def what_runs_long_is_bounded_and_watched(compose: Compose) -> list[str]:
    wrong = []
    for name, service in compose["services"].items():
        if name in ONCE:
            continue
        health = service.get("healthcheck", {})
        if not {"test", "interval", "timeout", "retries", "start_period"} <= set(health):
            wrong.append(f"{name}: healthcheck")
        if health.get("start_interval") != "1s":
            wrong.append(f"{name}: start_interval")
        if service.get("stop_grace_period") != "45s":
            wrong.append(f"{name}: stop_grace_period")
        if service.get("restart") != "unless-stopped":
            wrong.append(f"{name}: restart")
    return wrong


def every_container_is_confined(compose: Compose) -> list[str]:
    wrong = []
    for name, service in compose["services"].items():
        logs = service.get("logging", {})
        confined = {
            "mem_limit": "mem_limit" in service,
            "read_only": service.get("read_only") is True,
            "tmpfs": any(entry.startswith("/tmp:size=") for entry in service.get("tmpfs", [])),
            "cap_drop": service.get("cap_drop") == ["ALL"] and "cap_add" not in service,
            "no-new-privileges": "no-new-privileges:true" in service.get("security_opt", []),
            "privileged": not service.get("privileged", False),
            "logs": logs.get("driver") == "json-file" and "max-size" in logs.get("options", {}),
        }
        wrong += [f"{name}: {rule}" for rule, kept in confined.items() if not kept]
    return wrong


def one_shots_end_and_are_awaited(compose: Compose) -> list[str]:
    wrong = [f"{name}: restart" for name in ONCE if not compose["services"][name]["restart"].startswith("on-failure:")]
    for name, service in compose["services"].items():
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONCE else "service_healthy"
            if how.get("condition") != expected:
                wrong.append(f"{name} waits for {other}: {how.get('condition')}")
            if name in SERVICES and other in SERVERS and how.get("restart") is not True:
                wrong.append(f"{name} does not restart with {other}")
    return wrong


def a_service_waits_for_what_it_uses(compose: Compose) -> list[str]:
    wrong = []
    for name in written():
        waits = compose["services"][name].get("depends_on", {})
        for field, server in DEPENDENCIES.items():
            if field in settings_of(name) and (name, field) not in NOT_NEEDED and server not in waits:
                wrong.append(f"{name} does not wait for {server}")
    prepared = {"postgres": "migrate", "kafka": "topics", "object-store": "bucket"}
    for name in SERVICES:
        waits = compose["services"][name].get("depends_on", {})
        wrong += [f"{name}: {once}" for server, once in prepared.items() if (server in waits) != (once in waits)]
    return wrong


def images_are_named_by_tag_and_digest(compose: Compose) -> list[str]:
    wrong = []
    for name, service in compose["services"].items():
        image = service["image"]
        ours = image == "${PARCOURS_IMAGE:-parcours:0.1.0}"
        if name in SERVERS and not re.fullmatch(r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image):
            wrong.append(f"{name}: {image} is not tag and digest")
        if name not in SERVERS and not ours:
            wrong.append(f"{name}: {image} is not our image")
        if ":latest" in image or re.search(r"\b(minio|bitnami)/", image):
            wrong.append(f"{name}: {image} may not be used")
    return wrong


def every_name_is_a_setting_of_the_service_that_gets_it(compose: Compose) -> list[str]:
    return [
        f"{name}: {given}"
        for name in written()
        for given in compose["services"][name]["environment"]
        if given.lower() not in settings_of(name)
    ]


def every_variable_asked_of_the_person_is_documented(compose: Compose) -> list[str]:
    return sorted({name for name, _ in _interpolated(compose)} - _known() - COMPOSE_ONLY)


def secrets_are_required(compose: Compose) -> list[str]:
    found = _interpolated(compose)
    wrong = [f"{name}{rest}" for name, rest in found if name in SECRETS and not rest.startswith(":?")]
    missing = SECRETS - {name for name, _ in found}
    return wrong + [f"{name} is not asked for" for name in missing]


def what_a_person_may_change_reaches_all_who_read_it(compose: Compose) -> list[str]:
    given = {name: compose["services"][name]["environment"] for name in written()}
    changeable = {key for values in given.values() for key, value in values.items() if value.startswith(f"${{{key}:")}
    return [
        f"{key} does not reach {name}"
        for name in given
        for key in changeable - set(given[name])
        if key.lower() in settings_of(name)
        and not key.startswith(GENERATORS_OWN)
        and (name, key[:3]) != ("signer", "S3_")
    ]


def provider_keys_go_to_one_service_each(compose: Compose) -> list[str]:
    owners = dict.fromkeys(("SUNO_API_KEY", "FAL_KEY", "REPLICATE_API_TOKEN"), "generator")
    owners["OPENAI_API_KEY"] = "create"
    voices = ("ELEVENLABS_API_KEY", "OPENAI_TTS_API_KEY", "GOOGLE_TTS_API_KEY", "FREESOUND_API_KEY")
    owners |= dict.fromkeys(voices, "archiver")
    return [
        f"{key} in {name}"
        for key, owner in owners.items()
        for name, service in compose["services"].items()
        if key in service.get("environment", {}) and name != owner
    ]


def only_the_gateway_listens_and_only_on_this_host(compose: Compose) -> list[str]:
    wrong = []
    for name, service in compose["services"].items():
        ports = service.get("ports", [])
        if ports and name != "gateway":
            wrong.append(f"{name} publishes {ports}")
        wrong += [f"{name}: {port}" for port in ports if not str(port).startswith("127.0.0.1:")]
        if service.get("network_mode"):
            wrong.append(f"{name}: network_mode")
    return wrong


def only_three_services_reach_out(compose: Compose) -> list[str]:
    networks = compose["networks"]
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    closed = {name for name, network in networks.items() if (network or {}).get("internal") is True}
    closed |= {
        name for name, network in networks.items() if (network or {}).get("driver_opts", {}).get(masquerade) == "false"
    }
    out = {name for name, service in compose["services"].items() if set(service["networks"]) - closed}
    wrong = [f"{name} reaches out, or cannot" for name in out ^ REACH_OUT]
    if compose["services"]["callback"]["networks"] != ["inside"] or not (networks["inside"] or {}).get("internal"):
        wrong.append("callback has a way out")
    return wrong


def data_lie_in_named_volumes(compose: Compose) -> list[str]:
    mounts = [(name, mount) for name, service in compose["services"].items() for mount in service.get("volumes", [])]
    wrong = [f"{name}: {mount}" for name, mount in mounts if mount.split(":")[0] not in compose["volumes"]]
    if "postgres:/var/lib/postgresql" not in compose["services"]["postgres"]["volumes"]:
        wrong.append("postgres: since 18 the volume is the parent of the data folder")
    return wrong


RULES: list[Rule] = [
    every_service_is_there_under_its_own_name,
    what_runs_long_is_bounded_and_watched,
    every_container_is_confined,
    one_shots_end_and_are_awaited,
    a_service_waits_for_what_it_uses,
    images_are_named_by_tag_and_digest,
    every_name_is_a_setting_of_the_service_that_gets_it,
    every_variable_asked_of_the_person_is_documented,
    secrets_are_required,
    what_a_person_may_change_reaches_all_who_read_it,
    provider_keys_go_to_one_service_each,
    only_the_gateway_listens_and_only_on_this_host,
    only_three_services_reach_out,
    data_lie_in_named_volumes,
]
