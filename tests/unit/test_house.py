"""Owns the lints of our own: what makes one file, one name and one layout hold everywhere."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.assembly import SERVICES as STACK_SERVICES

ROOT = Path(__file__).resolve().parents[2]
CODE = ("libs", "services", "stack", "deploy")
CODE_LINES = 300
TEST_LINES = 400  # a test file is a list of claims, read one at a time
README_LINES = 15
# path: reason. A line whose file is gone or mended fails, so that the list only shrinks.
TOO_LONG: dict[str, str] = {}
NAMED_LIKE_STDLIB: dict[str, str] = {
    "libs/common/http.py": "imported by every service as libs.common.http; no folder of ours is on sys.path itself",
    "services/generator/storage/queue.py": "holds generation_queue, and is imported as a member of its package only",
}
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|npmjs\.org|proxy\.golang\.org|maven\.org|maven\.apache\.org"
    r"|docker\.io|ghcr\.io|gcr\.io|quay\.io|deb\.debian\.org"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$)}])/(?:work|root|home|Users)/")
SKIPS = {"skip", "skipif", "xfail", "importorskip"}


def _tracked() -> list[Path]:
    """Every file of the repository that is or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for line in listed.splitlines() if (path := ROOT / line).is_file()]


def _python(*folders: str) -> Iterator[tuple[str, str]]:
    """Name and text of each Python file below the folders."""
    for path in _tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and name.split("/")[0] in folders:
            yield name, path.read_text(encoding="utf-8")


def _services() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "services").glob("*/__init__.py"))


# --- a file says what it owns, and stays small ---


def opens_with_a_sentence(text: str) -> bool:
    """Whether the first line of the module's docstring begins with a capital and ends a sentence."""
    documented = ast.get_docstring(ast.parse(text)) or ""
    first = documented.partition("\n")[0]
    return bool(re.fullmatch(r"[A-Z`].*[^.]\.", first))


def test_every_file_opens_with_the_sentence_of_what_it_owns() -> None:
    assert [name for name, text in _python(*CODE) if not opens_with_a_sentence(text)] == []


@pytest.mark.parametrize("text", ["", "import os\n", '"""no capital."""', '"""No end"""'])
def test_the_lint_sees_a_file_that_does_not_say_what_it_owns(text: str) -> None:
    assert not opens_with_a_sentence(text)


def test_no_file_is_too_long() -> None:
    long = {name for name, text in _python(*CODE) if text.count("\n") > CODE_LINES}
    long |= {name for name, text in _python("tests", "benchmarks") if text.count("\n") > TEST_LINES}
    assert long == set(TOO_LONG)


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    named = {
        name
        for name, _ in _python(*CODE, "tests", "benchmarks")
        for part in Path(name).with_suffix("").parts[1:]
        if part in sys.stdlib_module_names
    }
    assert named == set(NAMED_LIKE_STDLIB)


# --- nothing of one machine or one registry is committed ---


def _naming(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures, sounds
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    return found


def test_no_file_names_the_host_of_a_registry() -> None:
    assert _naming(REGISTRIES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _naming(MACHINE_PATHS) == []


def test_the_lints_see_a_registry_and_a_path_of_a_machine() -> None:
    assert REGISTRIES.search("index-url = https://" + "pypi" + ".org/simple")
    assert MACHINE_PATHS.search("see /" + "home/somebody/notes")
    assert not MACHINE_PATHS.search("$(WORK)/kafka .work/bin")


# --- a test that does not run says why ---


def silent_skips(text: str) -> list[int]:
    """Lines where a test is skipped or expected to fail without a reason."""
    tree = ast.parse(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    called = [node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr in SKIPS]
    heads = {id(node.func) for node in called}
    bare = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in SKIPS
        and id(node) not in heads
        and ast.unparse(node.value).endswith("mark")
    ]
    return bare + [node.lineno for node in called if not _says_why(node)]


def _says_why(call: ast.Call) -> bool:
    if any(keyword.arg == "reason" for keyword in call.keywords):
        return True
    imperative = ast.unparse(call.func) in {"pytest.skip", "pytest.xfail"}  # their first argument is the reason
    return imperative and bool(call.args)


def test_no_test_is_skipped_or_expected_to_fail_without_a_reason() -> None:
    assert [f"{name}:{line}" for name, text in _python("tests") for line in silent_skips(text)] == []


@pytest.mark.parametrize(
    "text",
    ["@pytest.mark.skip\ndef test(): ...", "pytest.skip()", "@pytest.mark.xfail(strict=True)\ndef test(): ..."],
)
def test_the_lint_sees_a_silent_skip(text: str) -> None:
    assert silent_skips(text)


def test_a_skip_with_a_reason_passes() -> None:
    assert silent_skips("pytest.skip('no engine')\n@pytest.mark.skipif(True, reason='x')\ndef test(): ...") == []


# --- one name for a service, everywhere ---


def _names_itself(service: str) -> str | None:
    """The value of SERVICE in the composition root."""
    tree = ast.parse((ROOT / "services" / service / "app.py").read_text(encoding="utf-8"))
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "SERVICE":
            value = getattr(node, "value", None)
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return None


def _consumer_names(service: str) -> list[str]:
    """What each `Consumers(...)` of the service is given as its name, which is its consumer group."""
    text = (ROOT / "services" / service / "app.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    mine = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Consumers"]
    named = [[*call.args[2:3], *(word.value for word in call.keywords if word.arg == "service")] for call in mine]
    return [ast.unparse(value) for values in named for value in values]


@pytest.mark.parametrize("service", _services())
def test_folder_service_and_consumer_group_have_one_name(service: str) -> None:
    assert _names_itself(service) == service
    assert set(_consumer_names(service)) <= {"SERVICE"}
    assert (ROOT / "services" / service / "__main__.py").exists(), "python -m services.<name> starts it"


def test_the_stack_starts_exactly_the_services_there_are() -> None:
    assert sorted(STACK_SERVICES) == _services()


def test_the_import_contracts_name_every_service() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    listed = [entry.get("modules") or entry.get("containers") for entry in settings["contracts"]]
    expected = sorted(f"services.{service}" for service in _services())
    assert [sorted(modules) for modules in listed if modules] == [expected, expected]


@pytest.mark.parametrize("service", _services())
def test_a_service_says_in_a_few_lines_what_it_does(service: str) -> None:
    lines = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {service}"
    assert len(lines) <= README_LINES


# --- documents lead somewhere ---


def test_every_relative_link_of_a_document_leads_to_a_file() -> None:
    documents = [path for path in _tracked() if path.suffix == ".md"]
    links = [
        (path, target)
        for path in documents
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    broken = [f"{path.relative_to(ROOT)}: {target}" for path, target in links if not (path.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda path: str(path.stem))
def test_a_decision_states_context_decision_consequences_and_alternatives(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+", path.stem)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert text.count("\n") <= 60, "one page"


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in sorted((ROOT / "docs/adr").glob("*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
