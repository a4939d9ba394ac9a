"""Latents as data: mixes of points, moved along directions, mutated, and walked between (docs/sampling.md)."""
