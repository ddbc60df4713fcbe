"""One worker of an endless backlog behind a limiter of a library: `python -m benchmarks.peers.limiters NAME …`.

Calls are sent in tasks of their own as soon as the limiter lets them, so that slow replies never hold the next call.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx

from benchmarks.peers.provider_call import HEADERS, PATH, body

CALLS, WINDOW_SECONDS = 20, 10
LOOK_SECONDS = 0.02  # where a library tells no time to wait

Acquire = Callable[[], Awaitable[None]]


def limits_moving(redis: str) -> Acquire:
    from limits.aio.strategies import MovingWindowRateLimiter

    return _limits(redis, MovingWindowRateLimiter)


def limits_fixed(redis: str) -> Acquire:
    from limits.aio.strategies import FixedWindowRateLimiter

    return _limits(redis, FixedWindowRateLimiter)


def _limits(redis: str, strategy: type) -> Acquire:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import RedisStorage

    limiter = strategy(RedisStorage(f"async+{redis}", implementation="redispy"))
    item = RateLimitItemPerSecond(CALLS, WINDOW_SECONDS)

    async def acquire() -> None:
        while not await limiter.hit(item, "provider"):
            await asyncio.sleep(LOOK_SECONDS)

    return acquire


def pyrate_limiter(redis: str) -> Acquire:
    from pyrate_limiter import Duration, Limiter, Rate, RedisBucket
    from redis.asyncio import Redis

    made: list[Limiter] = []

    async def acquire() -> None:
        if not made:
            rate = Rate(CALLS, Duration.SECOND * WINDOW_SECONDS)
            made.append(Limiter(await RedisBucket.init([rate], Redis.from_url(redis), "provider")))
        await made[0].try_acquire_async("provider")

    return acquire


def throttled_py(redis: str) -> Acquire:
    from throttled.asyncio import RateLimiterType, RedisStore, Throttled, per_duration

    limiter = Throttled(
        key="provider",
        using=RateLimiterType.GCRA.value,
        quota=per_duration(timedelta(seconds=WINDOW_SECONDS), CALLS, burst=CALLS),
        store=RedisStore(server=redis),
        timeout=60,
    )

    async def acquire() -> None:
        while (await limiter.limit()).limited:
            await asyncio.sleep(LOOK_SECONDS)

    return acquire


def aiolimiter_full(_redis: str) -> Acquire:
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(CALLS, WINDOW_SECONDS).acquire  # type: ignore[no-any-return]  # skipped imports are Any


def aiolimiter_split(_redis: str) -> Acquire:
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(CALLS / 2, WINDOW_SECONDS).acquire  # type: ignore[no-any-return]  # as above


LIMITERS: dict[str, Callable[[str], Acquire]] = {
    "limits-moving": limits_moving,
    "limits-fixed": limits_fixed,
    "pyrate-limiter": pyrate_limiter,
    "throttled-py": throttled_py,
    "aiolimiter-full": aiolimiter_full,
    "aiolimiter-split": aiolimiter_split,
}


async def work(acquire: Acquire, provider: str, seconds: float) -> None:
    """Ask as often as the limiter allows, for so many seconds after the first call."""
    calls: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(base_url=provider, headers=HEADERS, timeout=30, trust_env=False) as client:

        async def call() -> None:
            with contextlib.suppress(httpx.HTTPError):
                await client.post(PATH, json=body("-"))

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await acquire()
                    task = asyncio.create_task(call())
                    calls.add(task)
                    task.add_done_callback(calls.discard)
        await asyncio.gather(*calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=LIMITERS)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--redis", default="")
    parser.add_argument("--seconds", type=float, required=True)
    said = parser.parse_args()
    asyncio.run(work(LIMITERS[said.name](said.redis), said.provider, said.seconds))


if __name__ == "__main__":
    main()
