"""Times that the scripts write are Redis' own, as RQ writes them."""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import random
from datetime import UTC, datetime
from importlib.resources import files

from redis import Redis

from tests.queue.driver import draw_job, enqueue, publish_all, take_jobs
from unikat.queue.draws import Publication
from unikat.queue.keys import leases_key

LAST = 253_402_300_799  # the end of the year 9999


def test_the_scripts_write_a_moment_as_rq_does(redis: Redis) -> None:
    dice = random.Random(7)
    days = [datetime(year, 2, 28, 23, 59, 59, tzinfo=UTC) for year in (1972, 2000, 2023, 2024, 2100)]
    seconds = [int(day.timestamp()) + more for day in days for more in (0, 1, 86_400, 2 * 86_400)]
    seconds += [0, LAST, *(dice.randrange(LAST) for _ in range(2000))]
    common = (files("unikat.queue") / "lua" / "common.lua").read_text()
    text = f"{common}\nlocal out = {{}}\nfor _, each in ipairs(ARGV) do clock, clock_of_rq = each, nil; "
    told = redis.eval(text + "out[#out + 1] = rq_time() end\nreturn out", 0, *(f"{each}.000042" for each in seconds))
    moments = [datetime.fromtimestamp(each, UTC).replace(microsecond=42) for each in seconds]
    assert [each.decode() for each in told] == [moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in moments]


def test_a_lease_of_a_call_that_gets_images_all_the_time_is_kept(redis: Redis) -> None:
    enqueue(redis, [("picture-1", draw_job(count=3))])
    (job,) = take_jobs(redis, "w1")
    redis.expire(leases_key("picture-1"), 2)
    publish_all(redis, "w1", [Publication(job, 1, [b"image"])])
    assert redis.ttl(leases_key("picture-1")) > 2
