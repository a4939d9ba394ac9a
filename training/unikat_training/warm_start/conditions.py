"""From the conditions of a parent to those of a new data set, whose attributes may be other ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unikat_training.data.dataset import Attribute

SEED = 5  # of how new categories begin apart from one another


@dataclass(frozen=True)
class ConditionMap:
    """How new categories are made of old ones, each by a column (C_old,) of weights.

    A condition's embedding is the sum of one column an attribute, so `old embeddings @ embedding` are the new ones. A
    category that the parent has, by its and its attribute's name, keeps its own. What attributes that are gone added to
    every condition, their mean, is shared out among the new data set's attributes, so that embeddings stay about as
    large as they were. A new category begins at the mean of its attribute's, and apart from it by as much as old ones
    were, at random: categories that begin alike took too long to part.

    How conditions varied with attributes that are gone is `spread`, for the latent to take over: a conditional
    generator draws nearly the same of every latent where conditions say all that matters. Means and spread are those of
    the parent's pictures.
    """

    own: Tensor  # (C_old, C_new): from the categories of the same attribute alone; 0 for an attribute that is new
    embedding: Tensor  # (C_old, C_new)
    mean: Tensor  # (C_old,): the mean condition of the parent's pictures
    spread: Tensor  # (C_old, C_old), S: S Sᵀ is the covariance of conditions, as far as their attributes are gone

    @property
    def same(self) -> bool:
        """Whether the conditions are what they were."""
        return len(self.mean) == self.own.shape[1] and torch.equal(self.embedding, torch.eye(len(self.mean)))

    @classmethod
    def between(cls, old: Sequence[Attribute], new: Sequence[Attribute]) -> "ConditionMap":
        names = [(each.name, category) for each in old for category in each.categories]
        owners = torch.tensor([[each.name == name for name, _ in names] for each in old], dtype=torch.float32)
        owners = owners.reshape(len(old), len(names))  # 1 where a category is the attribute's
        mean = torch.cat([torch.zeros(0), *(shares(each) for each in old)])
        spread = (torch.eye(len(names)) - owners.T @ owners * mean[:, None]) * mean.sqrt()
        known = {each.name: owner for each, owner in zip(old, owners, strict=True)}
        gone = torch.ones(len(names)) - sum((known[each.name] for each in new if each.name in known), mean * 0)
        unknown = sum(each.name not in known for each in new)
        own, apart = torch.zeros(2, len(names), sum(len(each.categories) for each in new))
        rng = torch.Generator().manual_seed(SEED)
        for column, (name, category) in enumerate((each.name, word) for each in new for word in each.categories):
            if (name, category) in names:
                own[names.index((name, category)), column] = 1
                continue
            own[:, column] = mean * known.get(name, mean * 0)
            varying = known.get(name, gone / max(unknown, 1) ** 0.5)
            apart[:, column] = varying * (spread @ torch.randn(len(names), generator=rng))
        shared_out = (mean * gone)[:, None] / max(len(new), 1)
        return cls(own, own + shared_out + apart, mean, gone[:, None] * spread)


def shares(attribute: Attribute) -> Tensor:
    """How often each category occurs, (K,); alike where it is not known."""
    counts = torch.tensor(attribute.counts, dtype=torch.float32)
    return counts / counts.sum() if counts.sum() else torch.full_like(counts, 1 / len(counts))
