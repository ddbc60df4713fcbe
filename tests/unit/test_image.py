"""Owns the claims about the image: who it runs as, what it is made from, what asks after its health."""

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
HEALTH = ROOT / "deploy/docker/health.py"


def _instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction with its argument; continued lines are one."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for line in joined.splitlines() if line.strip() for name, _, rest in [line.partition(" ")]]


def wrongs(text: str) -> list[str]:
    """What is wrong with a Dockerfile, by the rules of ours."""
    found = _instructions(text)
    bases = [rest.split()[0] for name, rest in found if name == "FROM"]
    stated = [rest for name, rest in found if name == "ARG" and rest.startswith("PYTHON_IMAGE=")]
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    final = found[last + 1 :]
    users = [rest for name, rest in final if name == "USER"]
    copies = [rest for name, rest in final if name == "COPY"]
    kept = {
        "two stages from one base": bases == ["${PYTHON_IMAGE}"] * 2,
        "the base is a slim Python by tag and digest": len(stated) == 1
        and bool(re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", stated[0])),
        "the last user is 10001": users == ["10001:10001"],
        "the final stage holds /app and the offline voice": copies == ["--from=builder /app /app"]
        and [_packages(rest) for name, rest in final if name == "RUN"] == [["espeak-ng"]],
        "nothing is added from an address": not [name for name, _ in found if name == "ADD"] and "://" not in text,
        "the entry point is in exec form": [rest for name, rest in final if name == "ENTRYPOINT"]
        == ['["/app/.venv/bin/python", "-m"]'],
        "health is asked by Python": any(name == "HEALTHCHECK" and "health.py" in rest for name, rest in final)
        and "curl" not in text,
        "every installation checks hashes": all(
            "--require-hashes" in step or "--no-deps" in step
            for name, rest in found
            if name == "RUN"
            for step in rest.split("&&")
            if "pip install" in step
        ),
        "no secret is baked in": not [
            rest for name, rest in found if name in {"ARG", "ENV"} and re.search(r"SECRET|KEY|PASSWORD|TOKEN", rest)
        ],
    }
    return [rule for rule, good in kept.items() if not good]


def _packages(step: str) -> list[str]:
    """What a step installs of the system's packages, and whatever else it does but tidying up after that."""
    allowed = re.compile(r"apt-get update -qq|rm -rf /var/lib/apt/lists/\*")
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "
    parts = [part.strip() for part in step.split("&&")]
    rest = [part for part in parts if not allowed.fullmatch(part)]
    return [part.removeprefix(install).removesuffix(" >/dev/null") for part in rest]


BROKEN = {
    "the last user is 10001": ("USER 10001:10001", "USER root"),
    "two stages from one base": ("FROM ${PYTHON_IMAGE}\n", "FROM python:3.11-slim\n"),
    "the base is a slim Python by tag and digest": ("@sha256:", "@sha1:"),
    "the final stage holds /app and the offline voice": ("COPY --from=builder /app /app", "COPY . /app"),
    "nothing is added from an address": ("WORKDIR /app\nUSER", "ADD https://example.org/x /x\nUSER"),
    "the entry point is in exec form": ('ENTRYPOINT ["/app/.venv/bin/python", "-m"]', "ENTRYPOINT python -m"),
    "health is asked by Python": ('"/app/deploy/docker/health.py"', '"curl"'),
    "every installation checks hashes": ("--require-hashes ", ""),
    "no secret is baked in": ("WORKDIR /app\nUSER", "ENV INTERNAL_SECRET=x\nUSER"),
}


def test_the_dockerfile_keeps_every_rule() -> None:
    assert wrongs(DOCKERFILE.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("rule", sorted(BROKEN))
def test_a_rule_broken_on_purpose_is_seen(rule: str) -> None:
    old, new = BROKEN[rule]
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert old in text
    assert rule in wrongs(text.replace(old, new))


def _allowed() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_what_the_image_copies_is_let_through_and_the_rest_stays_out() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    plain = [rest for name, rest in _instructions(text) if name == "COPY" and not rest.startswith("--")]
    copied = {source for rest in plain for source in rest.split()[:-1]}
    wanted = copied | set(re.findall(r"source=([\w.-]+)", text))
    assert wanted == set(_allowed())
    assert all((ROOT / path).exists() for path in wanted)
    assert not any(fnmatch(secret, allowed) for secret in (".env", ".git", ".venv") for allowed in _allowed())


def test_what_compose_runs_exists() -> None:
    assert (ROOT / "libs/common/objects/bucket.py").exists()
    shown = subprocess.run(
        [Path(sys.executable).with_name("parcours"), "topics", "apply", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Create the topics" in shown.stdout


class _Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.server.server_name == "ready" and self.path == "/readyz" else 503)  # type: ignore[attr-defined]  # set by HTTPServer
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the parent's parameter
        """Say nothing."""


@contextmanager
def _serving(word: str) -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Service)
    server.server_name = word
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _health(port: int) -> int:
    command = [sys.executable, "-IS", str(HEALTH)]
    return subprocess.run(command, env={**os.environ, "PORT": str(port)}, check=False).returncode


def test_health_follows_readyz() -> None:
    with _serving("ready") as port:
        assert _health(port) == 0
    with _serving("starting") as port:
        assert _health(port) == 1


def test_health_is_bad_when_nobody_listens() -> None:
    with _serving("ready") as port:
        pass
    assert _health(port) == 1
