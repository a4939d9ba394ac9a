"""Clients, in a process of their own: `python -m benchmarks.load TARGET MODEL CLIENTS COUNT SECONDS`, a JSON line out.

Each client sends one call after another; its latency is from the call to the last image in hand.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from unikat import AsyncStudio


async def client(target: str, model: str, count: int, until: float, first_seed: int) -> list[tuple[float, float]]:
    """(time of the end, latency) of each call, in seconds."""
    calls = []
    async with AsyncStudio(target) as studio:
        seed = first_seed
        while time.perf_counter() < until:
            started = time.perf_counter()
            received = 0
            async for _ in studio.generate(model, count=count, seed=seed):
                received += 1
            assert received == count, f"{received} of {count} images"
            ended = time.perf_counter()
            calls.append((ended, ended - started))
            seed += 1
    return calls


async def run(target: str, model: str, clients: int, count: int, seconds: float) -> dict[str, float]:
    """Images per second and latency percentiles in milliseconds; the first second is warm-up."""
    started = time.perf_counter()
    until = started + 1.0 + seconds
    tasks = [client(target, model, count, until, 1000 * number) for number in range(clients)]
    calls = [call for of in await asyncio.gather(*tasks) for call in of]
    counted = sorted(latency for ended, latency in calls if ended >= started + 1.0)
    last = max(ended for ended, _ in calls)
    return {
        "images_per_second": len(counted) * count / (last - started - 1.0),
        "p50_ms": 1000 * counted[len(counted) // 2],
        "p99_ms": 1000 * counted[min(len(counted) - 1, round(len(counted) * 0.99))],
        "calls": len(counted),
        "images": len(calls) * count,
    }


if __name__ == "__main__":
    target, model, clients, count, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(run(target, model, int(clients), int(count), float(seconds)))))
