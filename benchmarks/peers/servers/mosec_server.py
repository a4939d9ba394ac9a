"""mosec: a router in Rust, a process a lane, raw bytes in and out."""

from __future__ import annotations

from mosec import Server, Worker

from benchmarks.work import Job, answer


class Draw(Worker):  # type: ignore[misc]  # mosec is not installed where types are checked
    """One lane."""

    resp_mime_type = "image/png"

    def __init__(self) -> None:
        super().__init__()
        self.drawers = Job.from_environment().drawers()

    def deserialize(self, data: bytes) -> bytes:
        """The body as it is."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """The PNG as it is."""
        return data

    def forward(self, data: bytes) -> bytes:
        """One request to one PNG."""
        return answer(self.drawers, data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Draw, num=Job.from_environment().setup.lanes)
    server.run()
