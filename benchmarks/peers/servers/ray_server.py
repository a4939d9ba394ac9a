"""Ray Serve: its HTTP proxy in front, a replica a lane; raw bytes in, PNG out."""

from __future__ import annotations

import signal

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.work import Job, answer


class Draw:
    """One lane."""

    def __init__(self) -> None:
        self.drawers = Job.from_environment().drawers()

    async def __call__(self, request: Request) -> Response:
        """One request to one PNG."""
        return Response(answer(self.drawers, await request.body()), media_type="image/png")


if __name__ == "__main__":
    job = Job.from_environment()
    ray.init(
        include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20,
    )  # fmt: skip
    serve.start(http_options={"host": "127.0.0.1", "port": job.port, "access_log": False})
    deployment = serve.deployment(
        num_replicas=job.setup.lanes, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.1},
        logging_config={"enable_access_log": False, "log_level": "ERROR"},
    )(Draw)  # fmt: skip
    serve.run(deployment.bind(), route_prefix="/")
    signal.pause()
