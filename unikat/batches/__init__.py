"""Batches: what service, worker and client share about them.

`spec` says what a batch draws, `destination` where it may go, `record` how far it is; `store` is all of it in Redis and
RQ, for service and worker only: a plain client needs neither.
"""
