"""From the conditions of a parent to those of a new data set, whose attributes may be other ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unikat_training.data.dataset import Attribute


@dataclass(frozen=True)
class ConditionMap:
    """How new categories are made of old ones, each by a column (C_old,) of weights.

    A condition's embedding is the sum of one column an attribute, so `old embeddings @ embedding` are the new ones: a
    category that the parent has, by its and its attribute's name, keeps its own; a new one of an attribute that the
    parent has gets the mean of that attribute's. What attributes that are gone added to every condition, their mean, is
    shared out among the new data set's attributes, so that embeddings stay about as large as they were. How they varied
    is `spread`, for the latent to take over: a conditional generator draws nearly the same picture of every latent when
    the condition says all that matters. Means and spread are those of the parent's pictures.
    """

    own: Tensor  # (C_old, C_new): from the categories of the same attribute alone; 0 for an attribute that is new
    embedding: Tensor  # (C_old, C_new): with what is shared out
    mean: Tensor  # (C_old,): the mean condition of the parent's pictures
    spread: Tensor  # (C_old, C_old), S: S Sᵀ is the covariance of conditions, as far as their attributes are gone

    @property
    def same(self) -> bool:
        """Whether the conditions are what they were."""
        return len(self.mean) == self.own.shape[1] and torch.equal(self.embedding, torch.eye(len(self.mean)))

    @classmethod
    def between(cls, old: Sequence[Attribute], new: Sequence[Attribute]) -> "ConditionMap":
        blocks, size = {}, sum(len(each.categories) for each in old)
        mean, own, offset = torch.zeros(size), torch.zeros(size, sum(len(each.categories) for each in new)), 0
        for attribute in old:
            end = offset + len(attribute.categories)
            blocks[attribute.name] = (slice(offset, end), attribute)
            mean[offset:end] = shares(attribute)
            offset = end
        gone, spread, column = mean.clone(), (torch.eye(size) - same_attribute(old) * mean[:, None]) * mean.sqrt(), 0
        for attribute in new:
            block, known = blocks.get(attribute.name, (slice(0, 0), attribute))
            gone[block] = spread[block] = 0
            for category in attribute.categories:
                own[block, column] = start_of(category, known, mean[block])
                column += 1
        return cls(own, own + gone[:, None] / max(len(new), 1), mean, spread)


def same_attribute(attributes: Sequence[Attribute]) -> Tensor:
    """1 where two categories are of one attribute, (C, C)."""
    sizes = torch.tensor([len(each.categories) for each in attributes], dtype=torch.int64)
    owner = torch.arange(len(sizes)).repeat_interleave(sizes)  # (C,)
    return (owner[:, None] == owner).float()


def start_of(category: str, known: Attribute, mean: Tensor) -> Tensor:
    """A category in terms of those of the parent's attribute, whose mean is (K,); nothing of an attribute it lacks."""
    if not len(mean) or category not in known.categories:
        return mean
    return torch.eye(len(mean))[known.categories.index(category)]


def shares(attribute: Attribute) -> Tensor:
    """How often each category occurs, (K,); alike where it is not known."""
    counts = torch.tensor(attribute.counts, dtype=torch.float32)
    return counts / counts.sum() if counts.sum() else torch.full_like(counts, 1 / len(counts))
