"""`python -m service`."""

from service.server import serve
from service.settings import run_with_settings

if __name__ == "__main__":
    run_with_settings(serve)
