"""Fixtures that every folder of tests can use."""

pytest_plugins = ["tests.support.valkey"]
