"""From a parent's tensors to those that a new run's networks begin with.

What has the same name and shape is taken over. What depends on what a data set is like is adapted: embeddings of
conditions, layers whose inputs are wider with a condition, the last layer (colours and alpha), and the classifier's
last layer. What is left begins at random, as in any run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from unikat_training.data.dataset import Dataset
from unikat_training.warm_start.conditions import ConditionMap
from unikat_training.warm_start.parent import Parent

EMBEDDING = ("embed.weight", "embed.parametrizations.weight.original")
SINGULAR = ("embed.parametrizations.weight.0._u", "embed.parametrizations.weight.0._v")
WITH_CONDITION = ("mapping.hidden.weight", "modulate.weight", "body.0.weight")  # of the latent, and an embedding
OPAQUE = 1.0  # the alpha that a generator without alpha begins with


@dataclass
class Start:
    """What the networks of a run begin with, by a checkpoint's names, and where each comes from."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)  # as the parent had it
    adapted: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def start_from(parent: Parent, fresh: Mapping[str, Tensor], data: Dataset) -> Start:
    """`fresh` has the tensors of networks that were built for `data` and not trained: generator.…, average.… and so on.

    The generator begins as its average is.
    """
    start, adapting = Start(), Adapting(parent, data)
    for name, value in fresh.items():
        network, _, rest = name.partition(".")
        found = adapting.tensor(network, rest, value.cpu())
        old = adapting.old(network, rest)
        told = start.new if found is None else start.kept if found is old else start.adapted
        told.append(name)
        start.tensors[name] = value if found is None else found
    return start


@dataclass(frozen=True)
class Adapting:
    """A parent's tensors for networks that are built for `data`."""

    parent: Parent
    data: Dataset

    def old(self, network: str, rest: str) -> Tensor | None:
        """The parent's tensor of this name, if networks of that kind can go on with it."""
        on_pixels = self.parent.config.discriminator != "projected"
        if network == "discriminator" and on_pixels and self.parent.resolution != self.data.resolution:
            return None  # its layers are counted from the image's side on: each would come to another size
        return self.parent.tensors.get(f"{'average' if network == 'generator' else network}.{rest}")

    def tensor(self, network: str, rest: str, fresh: Tensor) -> Tensor | None:
        """What a tensor begins with; None: as it is."""
        old, conditions = self.old(network, rest), self.conditions
        if old is None:
            return None
        if rest.endswith(EMBEDDING + SINGULAR) and conditions.same:
            return old
        if rest.endswith(EMBEDDING):
            return fitting(old @ conditions.embedding, fresh)
        if rest.endswith(SINGULAR):
            return self.singular(network, rest)
        if network == "auxiliary" and rest.startswith("to_logits."):
            return fitting(conditions.own.T @ old, fresh)
        if network == "discriminator" and rest == "body.0.weight" and old.dim() == 2:  # pixels, then the condition
            pixels = 3 * self.data.resolution**2
            return fitting(torch.cat([old[:, :pixels], old[:, pixels:] @ conditions.embedding], dim=1), fresh)
        if rest == "mapping.hidden.bias" and self.parent.attributes and not self.data.attributes:
            return old + self.mean_input(network)
        if rest.startswith("to_rgb.") and self.parent.channels != self.data.channels:
            return overlapping(old, torch.full_like(fresh, OPAQUE if rest.endswith("bias") else 0))
        if rest in WITH_CONDITION and not conditions.same:
            return overlapping(self.varied(network, old), torch.zeros_like(fresh))
        return fitting(old, fresh)

    @cached_property
    def conditions(self) -> ConditionMap:
        return ConditionMap.between(self.parent.attributes, self.data.attributes)

    def singular(self, network: str, rest: str) -> Tensor | None:
        """The left or right singular vector of an embedding, by which spectral norm divides it."""
        original = self.old(network, rest.replace("0._u", "original").replace("0._v", "original"))
        if original is None:
            return None
        left, _, right = torch.linalg.svd(original @ self.conditions.embedding, full_matrices=False)
        vector: Tensor = left[:, 0] if rest.endswith("_u") else right[0]
        return vector.contiguous()

    def varied(self, network: str, old: Tensor) -> Tensor:
        """The layer that latent and embedding enter: what the embeddings of attributes that are gone did, for each
        picture something else, the latent does now. They are taken for normally distributed, as latents are."""
        embed = self.old(network, "mapping.embed.weight")  # (Z, C_old)
        if embed is None:
            return old
        inputs = 1 if old.dim() == 2 else 0  # a transposed convolution's come first
        vectors, sizes, _ = torch.linalg.svd(embed @ self.conditions.spread, full_matrices=False)
        latent, ranks = self.parent.config.latent, len(sizes)
        weight = old.movedim(inputs, 0).clone()  # (2 Z, …)
        weight[:ranks] += torch.tensordot((vectors * sizes).T, weight[latent:], dims=1)
        return weight.movedim(0, inputs)

    def mean_input(self, network: str) -> Tensor | float:
        """What the mean condition adds to the first layer of the mapping, for a model that has no conditions."""
        weight, embed = self.old(network, "mapping.hidden.weight"), self.old(network, "mapping.embed.weight")
        if weight is None or embed is None:
            return 0.0
        added: Tensor = weight[:, self.parent.config.latent :] @ (embed @ self.conditions.mean)
        return added


def fitting(old: Tensor, fresh: Tensor) -> Tensor | None:
    return old if old.shape == fresh.shape else None


def overlapping(old: Tensor, filled: Tensor) -> Tensor | None:
    """`old` in a tensor that is longer or shorter along one dimension; what comes free is as in `filled`."""
    if old.dim() != filled.dim() or sum(a != b for a, b in zip(old.shape, filled.shape, strict=True)) > 1:
        return None
    common = tuple(slice(min(a, b)) for a, b in zip(old.shape, filled.shape, strict=True))
    filled[common] = old[common]
    return filled
