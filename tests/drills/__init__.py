"""Drills: faults injected into real processes over real sockets, with work in flight.

Each shows a promise of docs/guarantees.md. `make test` runs them for seconds (but the rolling upgrade), `make drills`
(`pytest --long`) for minutes.
"""
