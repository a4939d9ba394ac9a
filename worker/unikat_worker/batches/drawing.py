"""A model batch of a shard to encoded images: no messages, because nobody waits at the other end of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from unikat.batches.layout import DrawnImage
from unikat.conditions import Weights
from unikat.encoders import first_encoder
from unikat.identity import identity_of
from unikat.sampling import latents
from unikat_worker.batches.active import ActiveShard, ShardBatch
from unikat_worker.buckets import Feeds
from unikat_worker.encoding import encode
from unikat_worker.session import CONDITION, LATENT, TRUNCATION, Session


def draw_shard_batch(session: Session, batch: ShardBatch) -> None:
    """Draw and encode, into `batch.images`. Raises what a malformed job or the runtime raises."""
    job = batch.shard.job
    weights = _complete(session, batch.shard, batch.positions)
    indices = [job.first + position for position in batch.positions]
    feeds: Feeds = {
        LATENT: latents(job.seed, indices, session.model.latent_size),
        TRUNCATION: np.full((len(indices), 1), job.truncation, dtype=np.float32),
        **({CONDITION: session.schema.vectors(weights)} if session.schema.size else {}),
    }
    files = encode(session.draw(feeds), job.encoder or first_encoder(job.image_format))
    batch.images[:] = [
        DrawnImage(
            index=index,
            id=identity_of(job.digest, of, job.seed, index, job.truncation),
            weights=of,
            data=file,
        )
        for index, of, file in zip(indices, weights, files, strict=True)
    ]


def _complete(session: Session, shard: ActiveShard, positions: Sequence[int]) -> list[Weights]:
    """For each position, what was asked for and a category for every attribute that was left out."""
    complete: list[Weights] = []
    # Images of a cell follow one another and share the object: one draw for all of them.
    for _, run in groupby(positions, key=lambda position: id(shard.weights[position])):
        cell = list(run)
        indices = [shard.job.first + position for position in cell]
        complete += session.schema.complete(shard.weights[cell[0]], shard.job.seed, indices)
    return complete
