"""The program: `python -m unikat_service`, for process supervisors; people type `unikat serve`."""

from unikat_service.server import serve
from unikat_service.settings import program

app = program(serve)

if __name__ == "__main__":
    app(prog_name="python -m unikat_service")
