"""LitServe: FastAPI in front, a process a lane behind a queue; JSON in, PNG out."""

from __future__ import annotations

import litserve
from fastapi import Response

from benchmarks.work import REQUEST, Job, answer


class Draw(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where types are checked
    """One lane."""

    def setup(self, device: str) -> None:
        """Load the sessions."""
        self.drawers = Job.from_environment().drawers()

    def decode_request(self, request: dict[str, int]) -> bytes:
        """JSON to the request's bytes."""
        return REQUEST.pack(request["model"], request["seed"])

    def predict(self, body: bytes) -> bytes:
        """One request to one PNG."""
        return answer(self.drawers, body)

    def encode_response(self, image: bytes) -> Response:
        """The PNG as an HTTP response."""
        return Response(image, media_type="image/png")


if __name__ == "__main__":
    job = Job.from_environment()
    server = litserve.LitServer(
        Draw(), accelerator="cpu", workers_per_device=job.setup.lanes, timeout=False, fast_queue=True
    )
    server.run(host="127.0.0.1", port=job.port, log_level="error", generate_client_file=False)
