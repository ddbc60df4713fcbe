"""Owns Kafka's jars: which ones, their hashes, how they are fetched, and that no other jar ever starts."""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from stack.embedded.errors import EmbeddedError
from stack.embedded.places import work_folder

KAFKA = "4.3.1"
# slf4j-api comes as 1.7.36 with Kafka; a simple logger of another version is not found by it.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.slf4j:slf4j-simple:1.7.36"
LOCK = Path(__file__).parents[1] / "kafka-jars.lock"
LINE = re.compile(r"^(?P<sha256>[0-9a-f]{64})  (?P<name>[\w.-]+\.jar)$")
FETCH_TRIES = 3  # the resolver gives up at the first broken connection; some 150 files come one by one


def jars_folder() -> Path:
    """Where `make setup` puts the jars; keyed by the lock, so that another lock is another folder."""
    return work_folder() / f"kafka-{KAFKA}-{_sha256(LOCK)[:12]}"


def locked() -> dict[str, str]:
    """Each jar's name with its sha256, as committed (the format of `sha256sum`)."""
    found = [LINE.match(line) for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    if not found or None in found:
        raise EmbeddedError(f"{LOCK.name} holds a line that is not `<sha256>  <name>.jar`")
    return {match["name"]: match["sha256"] for match in found if match}


def checked_class_path(folder: Path | None = None) -> str:
    """The class path of exactly the locked jars, each compared with its hash now; raises before any Java starts."""
    folder = folder or jars_folder()
    for name, sha256 in locked().items():
        jar = folder / name
        if not jar.exists():
            raise EmbeddedError(f"Kafka's {name} is missing in {folder}: type `make setup`")
        if (found := _sha256(jar)) != sha256:
            raise EmbeddedError(
                f"Kafka's {name} has sha256 {found}, {LOCK.name} says {sha256}: it is not the jar we chose and will "
                f"not be run. Delete {folder} and type `make setup`"
            )
    return ":".join(str(folder / name) for name in locked())


def fetch(folder: Path | None = None) -> Path:
    """Bring the jars from the Maven repository unless they are there; what differs from the lock is refused."""
    folder = folder or jars_folder()
    if folder.exists():
        checked_class_path(folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kafka-", dir=folder.parent) as begun:
        jars = Path(begun) / "jars"
        jars.mkdir()
        for jar in resolve(Path(begun)):
            shutil.copyfile(jar, jars / jar.name)
        checked_class_path(jars)
        jars.rename(folder)
    return folder


def resolve(cache: Path) -> list[Path]:
    """Every jar that Kafka needs, as the Maven repository names them today."""
    import jgo  # noqa: PLC0415 - needed at set-up alone, and slow to import

    for tries_left in reversed(range(FETCH_TRIES)):
        try:
            environment = jgo.build(ENDPOINT, cache_dir=cache)
        except Exception as error:
            if tries_left == 0:
                raise EmbeddedError(f"Kafka's jars cannot be fetched: {error!r}") from error
        else:
            return [Path(jar) for jar in (*environment.class_path_jars, *environment.module_path_jars)]
    raise AssertionError("the last try returns or raises")


def lock_text(jars: list[Path]) -> str:
    """The lock for these jars; written by `make locks`."""
    lines = [f"{_sha256(jar)}  {jar.name}" for jar in sorted(jars, key=lambda jar: jar.name)]
    return "\n".join([f"# sha256 of each jar of {ENDPOINT}; written by `make locks`", *lines, ""])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
