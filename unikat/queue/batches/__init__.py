"""Batches in Redis: `store` creates, reads and ends them, `progress` is what workers tell of their shards."""
