"""One training run: networks, optimisers, their state, and a step."""

import copy
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unikat_training import ema
from unikat_training.augment import Adaptive, Augmentation, augment
from unikat_training.batches import Batches, MicroBatch
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.errors import TrainingError
from unikat_training.layers import clamp, over
from unikat_training.losses import LOSSES, balanced, balanced_of, gradient_penalty, overfitting
from unikat_training.networks.base import Generator
from unikat_training.networks.build import build_auxiliary, build_discriminator, build_generator
from unikat_training.parallel import SINGLE_PROCESS, ProcessGroup, SharedRandom
from unikat_training.schedules import Rates, gamma_rule, rates_at
from unikat_training.state import moments, named, scaler_state, set_moments, set_scaler, under

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Losses:
    """A step's figures. The logits are means: far apart, the discriminator tells them apart; equal, it guesses."""

    discriminator: float
    generator: float
    real: float
    fake: float
    overfitting: float  # r_t: 0 none, 1 complete
    penalty: float  # R1 + R2, times gamma / 2; 0 in steps without
    labels_real: float  # cross-entropy of the auxiliary classifier, of real and of drawn images; 0 without it
    labels_drawn: float
    discriminator_norm: float  # of the gradient
    generator_norm: float
    augment: float  # probability of each augmentation
    learning_rate: float
    gamma: float


@dataclass(frozen=True)
class Computing:
    """With what a step is computed; may differ in each session."""

    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False
    processes: ProcessGroup = SINGLE_PROCESS


PLAIN = Computing()


@dataclass
class DiscriminatorInputs:
    """What the discriminator is shown of a micro-batch: images (B, 3, H, H), and its features of them, augmented."""

    real: Tensor
    drawn: Tensor
    augmentations: tuple[Augmentation | None, Augmentation | None]  # of real and of drawn images
    real_maps: list[Tensor]
    drawn_maps: list[Tensor]  # with a graph back to the generator, if it was asked for


class Trainer:
    """Holds everything that changes while training. `state` and `restore` are its whole memory.

    Real and drawn images of a step have the same conditions. Nothing here reads a global random number generator:
    data come from (seed, step), everything else from `self.rng`.
    """

    def __init__(self, config: Config, dataset: Dataset, device: torch.device, computing: Computing = PLAIN) -> None:
        self.config, self.dataset, self.device, self.computing = config, dataset, device, computing
        self.rng = torch.Generator(device).manual_seed(config.seed)
        self.batches = Batches(config, dataset, self.rng, computing.processes)
        self.random = SharedRandom(self.rng, computing.processes)
        self.loss = LOSSES[config.loss]
        self.rule = gamma_rule(dataset.resolution, len(dataset))
        self.adaptive = Adaptive(config.ada_target, config.ada_images) if config.ada_target else None
        conditions = self.batches.conditions.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = build_generator(config, dataset.resolution, conditions, dataset.channels)
            self.discriminator = build_discriminator(config, dataset.resolution, conditions)
            self.auxiliary = build_auxiliary(config, self.discriminator, self.batches.widths.tolist())
            self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        for network in (*self.networks().values(), self.discriminator.features):
            network.to(device)
            if computing.channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
        self.optimisers = {name: adam(each, config) for name, each in self.networks().items() if name != "average"}
        self.scaler = torch.amp.GradScaler(device.type, enabled=computing.precision == "float16")
        self.synthesis = torch.compile(self.generator.synthesis) if computing.compile else self.generator.synthesis
        if computing.compile and not config.gamma:  # what is compiled has no second derivative
            self.discriminator.trained.compile()

    def step(self, step: int) -> Losses:
        """Train on the batch of `step`. Raises TrainingError when the losses are no longer numbers."""
        rates = rates_at(self.config, step * self.config.batch, self.rule)
        self.set_rates(rates)
        probability = rates.augment if self.adaptive is None else min(self.adaptive.probability, rates.augment)
        gamma = 0.0 if step % self.config.lazy else rates.gamma * self.config.lazy
        batches = self.batches.micro_batches(step, rates.condition)
        single = len(batches) == 1
        of_discriminator, of_generator = [], []
        for batch in batches:
            inputs = self.discriminator_inputs(batch, probability, graph=single)
            of_discriminator.append(
                torch.cat([self.backward_discriminator(batch, inputs, gamma), self.backward_auxiliary(batch, inputs)])
            )
        norms = [self.optimise("discriminator", self.discriminator.trained)]
        if self.auxiliary is not None:
            self.optimise("auxiliary", self.auxiliary)
        for batch in batches:
            if not single:  # drawn again: holding all graphs would take the memory that micro-batches save
                inputs = self.discriminator_inputs(batch, probability, graph=True)
            of_generator.append(self.backward_generator(batch, inputs, rates.auxiliary))
        if step * self.config.batch < self.config.freeze_images:
            keep_frozen(self.generator)
        norms.append(self.optimise("generator", self.generator))
        self.scaler.update()
        kept = ema.decay((step + 1) * self.config.batch, self.config.batch, rates.ema_images)
        ema.update(self.average, self.generator, kept)
        figures = self.figures(torch.stack(of_discriminator).mean(0), torch.stack(of_generator).mean(0), norms)
        losses = Losses(*[*figures, probability, rates.learning_rate, rates.gamma])
        if not all(np.isfinite([losses.discriminator, losses.generator])):
            raise TrainingError(f"step {step}: the losses are no longer numbers; continue with a lower learning_rate")
        if self.adaptive is not None:
            self.adaptive.observe(losses.overfitting, self.config.batch, rates.augment)
        return losses

    def set_rates(self, rates: Rates) -> None:
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"], group["betas"] = rates.learning_rate, (self.config.beta1, rates.beta2)

    def discriminator_inputs(self, batch: MicroBatch, probability: float, graph: bool) -> DiscriminatorInputs:
        """Draws images and shows them and the real ones to the discriminator's features, all augmented."""
        with torch.set_grad_enabled(graph):
            drawn = self.draw(batch)
        count, size = len(batch.real), batch.real.shape[-1]
        for_real, for_drawn = (Augmentation.draw(count, size, probability, self.random) for _ in range(2))
        with self.autocast():
            with torch.no_grad():
                real_maps = self.discriminator.features(augment(batch.real, for_real))
            with torch.set_grad_enabled(graph):
                drawn_maps = self.discriminator.features(augment(drawn, for_drawn))
        return DiscriminatorInputs(batch.real, drawn, (for_real, for_drawn), real_maps, drawn_maps)

    def draw(self, batch: MicroBatch) -> Tensor:
        """Images (B, 3, H, H) in float32: the last layer too, or they would come in steps of a grey level."""
        with self.autocast():
            maps = self.synthesis(batch.latent, self.generator.mapping(batch.latent, batch.condition))
        images: Tensor = self.generator.to_rgb(maps.float())
        return over(clamp(images) if self.config.clamp else images, batch.background)

    def autocast(self, wanted: bool = True) -> AbstractContextManager[object]:
        precision = self.computing.precision
        enabled = wanted and precision != "float32"
        return torch.autocast(self.device.type, PRECISIONS[precision] if enabled else torch.bfloat16, enabled=enabled)

    def backward_discriminator(self, batch: MicroBatch, inputs: DiscriminatorInputs, gamma: float) -> Tensor:
        """Adds to the discriminator's gradients. Returns loss, mean logits of real and drawn images, r_t, penalty."""
        self.discriminator.trained.requires_grad_(True)
        real_maps, drawn_maps = inputs.real_maps, [x.detach() for x in inputs.drawn_maps]
        leaves = [x.detach().requires_grad_() for x in (inputs.real, inputs.drawn)] if gamma else []
        if leaves:
            pairs = zip(leaves, inputs.augmentations, strict=True)
            real_maps, drawn_maps = (self.discriminator.features(augment(leaf, each)) for leaf, each in pairs)
        wrong = batch.wrong if self.config.wrong_label_weight else None
        with self.autocast(not gamma):  # second derivatives want float32
            real, drawn, wrong_label = self.discriminator.pair_logits(real_maps, drawn_maps, batch.condition, wrong)
            loss = balanced_of(self.loss.discriminator, real, drawn)
            if wrong_label is not None:
                loss = loss + self.config.wrong_label_weight * self.wrong_label_loss(batch, real, wrong_label)
        penalty = torch.zeros((), device=self.device)
        for leaf, logits in zip(leaves, (real, drawn), strict=False):  # R1 on real, R2 on drawn (R3GAN, eq. 4)
            penalty = penalty + gamma / 2 * gradient_penalty(leaf, logits)
        self.backward(loss + penalty)
        figures = (loss, balanced(real), balanced(drawn), overfitting(self.loss, real, drawn), penalty)
        return torch.stack([figure.detach().float() for figure in figures])

    def wrong_label_loss(self, batch: MicroBatch, right: list[Tensor], wrong: list[Tensor]) -> Tensor:
        """The loss of real images with the condition of another one (Reed et al. 2016).

        Without it the discriminator first learns what is real, and only much later what belongs to which condition.
        """
        if batch.differs is None:
            raise TypeError("a batch with conditions has wrong ones too")
        losses = [self.loss.wrong_label(r.float(), w.float()) for r, w in zip(right, wrong, strict=True)]
        return balanced([values * batch.differs for values in losses])

    def backward_auxiliary(self, batch: MicroBatch, inputs: DiscriminatorInputs) -> Tensor:
        """Adds to the classifier's gradients, of real images alone; returns its loss, (1,)."""
        if self.auxiliary is None or batch.labels is None:
            return torch.zeros(1, device=self.device)
        self.auxiliary.requires_grad_(True)
        with self.autocast():
            loss = self.auxiliary.loss(inputs.real_maps, batch.labels)
        self.backward(loss)
        return loss.detach().reshape(1)

    def backward_generator(self, batch: MicroBatch, inputs: DiscriminatorInputs, weight: float) -> Tensor:
        """Adds to the generator's gradients; returns its loss and the classifier's of what was drawn, (2,).

        `weight` is the classifier's.
        """
        self.discriminator.trained.requires_grad_(False)
        with self.autocast():
            drawn = real = self.discriminator.logits(inputs.drawn_maps, batch.condition)
            if self.loss.relative:
                with torch.no_grad():
                    real = self.discriminator.logits(inputs.real_maps, batch.condition)
            loss = balanced_of(self.loss.generator, real, drawn)
            labels = torch.zeros((), device=self.device)
            if self.auxiliary is not None and batch.condition is not None:
                self.auxiliary.requires_grad_(False)
                labels = self.auxiliary.loss(inputs.drawn_maps, batch.condition)
                loss = loss + weight * labels
        self.backward(loss)
        return torch.stack([loss.detach(), labels.detach()])

    def backward(self, loss: Tensor) -> None:
        whole: Tensor = self.scaler.scale(loss / self.config.accumulate)
        whole.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it

    def optimise(self, name: str, network: nn.Module) -> Tensor:
        """A step with the gradients of all micro-batches and processes; returns their norm."""
        optimiser = self.optimisers[name]
        self.computing.processes.mean_gradients(network)
        self.scaler.unscale_(optimiser)
        norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)
        return norm.detach()

    def figures(self, of_discriminator: Tensor, of_generator: Tensor, norms: list[Tensor]) -> list[float]:
        """The first ten of `Losses`, over all processes; on a GPU one wait for all of them."""
        discriminator, rest = of_discriminator[:1], of_discriminator[1:]
        figures = torch.cat([discriminator, of_generator[:1], rest, of_generator[1:], torch.stack(norms)])
        values: list[float] = self.computing.processes.mean(figures).tolist()
        return values

    def networks(self) -> dict[str, nn.Module]:
        """What is saved: not the frozen features and mixing, which follow from a package and the seed."""
        found = {"generator": self.generator, "average": self.average, "discriminator": self.discriminator.trained}
        return found if self.auxiliary is None else {**found, "auxiliary": self.auxiliary}

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a continued run needs, by name."""
        tensors = {"rng": self.rng.get_state()}
        for name, network in self.networks().items():
            tensors.update(named(name, network))
        for name, optimiser in self.optimisers.items():
            tensors.update({f"adam.{name}.{key}": value for key, value in moments(optimiser)})
        if self.scaler.is_enabled():
            tensors["scaler"] = scaler_state(self.scaler)
        if self.adaptive is not None:
            tensors["adaptive"] = self.adaptive.state()
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from `state`. Raises TrainingError when it is of other networks."""
        try:
            for name, network in self.networks().items():
                network.load_state_dict(under(f"{name}.", tensors))
        except RuntimeError as error:
            raise TrainingError(f"the checkpoint is of other networks: {error}") from error
        for name, optimiser in self.optimisers.items():
            set_moments(optimiser, under(f"adam.{name}.", tensors))
        self.rng.set_state(tensors["rng"].cpu())
        if "scaler" in tensors:
            set_scaler(self.scaler, tensors["scaler"])
        if self.adaptive is not None:
            self.adaptive.restore(tensors["adaptive"])


def keep_frozen(generator: Generator) -> None:
    """The step to come leaves the generator's early layers as they are: Adam passes over what has no gradient."""
    for layer in generator.early_layers():
        for parameter in layer.parameters():
            parameter.grad = None


def adam(network: nn.Module, config: Config) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(config.beta1, config.beta2))
