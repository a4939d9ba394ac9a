"""Claimed works: an append-only transparency log, certificates, and the service Provenance."""
