"""`python -m service`."""

from unikat_service.server import serve
from unikat_service.settings import run_with_settings

if __name__ == "__main__":
    run_with_settings(serve)
