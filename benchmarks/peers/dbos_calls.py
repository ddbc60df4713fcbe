"""Calls as DBOS workflows in a queue with a limiter: `python -m benchmarks.peers.dbos_calls work|FILE`.

FILE is a JSON list of `[label, priority]` in the order in which they are to be queued; 1 is the most urgent.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import httpx
from dbos import DBOS, DBOSConfig, SetEnqueueOptions

from benchmarks.peers.provider_call import HEADERS, PATH, body, note

QUEUE = "calls"
CALLS = 20
LOOKS = 200  # in a window; the default, a look each second, would only cost it time
client = httpx.Client(base_url=os.environ["BENCH_PROVIDER"], headers=HEADERS, timeout=30, trust_env=False)


@DBOS.workflow()
def call(label: str) -> None:
    send(label)


@DBOS.step()
def send(label: str) -> None:
    note(label)
    client.post(PATH, json=body(label))


def main() -> None:
    working = sys.argv[1] == "work"
    config: DBOSConfig = {
        "name": "calls",
        "system_database_url": os.environ["BENCH_DATABASE"],
        "application_version": "1",
        "executor_id": str(os.getpid()),
        "log_level": "WARNING",
    }
    DBOS(config=config)
    if not working:
        DBOS.listen_queues([])
    DBOS.launch()
    window = float(os.environ["BENCH_WINDOW"])
    DBOS.register_queue(QUEUE, limiter={"limit": CALLS, "period": window}, polling_interval_sec=window / LOOKS)
    if working:
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_args: ended.set())
        print("ready", flush=True)
        ended.wait()
        os._exit(0)
    for label, priority in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        with SetEnqueueOptions(priority=priority or None):
            DBOS.enqueue_workflow(QUEUE, call, label)
    print("ready", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
