"""Fixtures that every folder of tests can use."""

import signal

# A shell starts what runs in its background with Ctrl-C ignored, and the programs that the tests interrupt inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.support.valkey"]
