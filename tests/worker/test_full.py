"""A Redis whose memory is full: it refuses some entries and takes others."""

from __future__ import annotations

from functools import partial

from tests.support.processes import Program, eventually
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import Bundle


def refused_more_than(worker: Program, times: int) -> bool:
    return worker.output.count("maxmemory") > times


def test_a_redis_that_is_full_in_the_middle_leaves_no_gap(bench: Bench, bundle: Bundle) -> None:
    with bench.worker(inference_threads=2, max_batch=8) as worker:
        for seed in range(4):
            refusals = worker.output.count("maxmemory")
            # Room for the job and a part of its images.
            bench.redis.config_set("maxmemory", bench.redis.info("memory")["used_memory"] + 2**19)
            job = bench.enqueue(bundle.model.digest, count=4000, seed=seed)
            eventually(partial(refused_more_than, worker, refusals))
            bench.redis.config_set("maxmemory", 0)
            assert_complete(bench.outcome(job), 4000)
