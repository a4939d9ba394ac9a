"""Batches in the worker: shards are taken, drawn behind all interactive work, written by threads, and settled."""
