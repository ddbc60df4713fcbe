"""Calls as Celery tasks with `rate_limit`, which Celery keeps in each worker: worker and feeder on Redis.

`celery -A benchmarks.peers.celery_calls worker …` and `python -m benchmarks.peers.celery_calls FILE`, a JSON list of
`[label, priority]` in the order in which they are to be queued.
"""

import json
import os
import sys
from pathlib import Path

import httpx
from celery import Celery

from benchmarks.peers.provider_call import HEADERS, PATH, body, note

app = Celery("calls", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
client = httpx.Client(
    base_url=os.environ["BENCH_PROVIDER"],
    headers=HEADERS,
    timeout=30,
    trust_env=False,
    limits=httpx.Limits(max_connections=40),
)


@app.task(name="call", rate_limit=os.environ.get("BENCH_RATE"))
def call(label: str) -> None:
    note(label)
    client.post(PATH, json=body(label))


def main() -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for label, _priority in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
            call.apply_async((label,), producer=producer)


if __name__ == "__main__":
    main()
