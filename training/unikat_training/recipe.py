"""How a model was trained, in words: a model card's paragraph, from the settings of the run."""

from unikat.v1.model_pb2 import Model
from unikat_training.config import Config
from unikat_training.data.split import LEAST_VALIDATION, names_in
from unikat_training.schedules import gamma_rule

DISCRIMINATORS = {
    "projected": "looks at EfficientNet-Lite0 features (ImageNet weights, Apache-2.0, frozen; not part of the model)",
    "r3gan": "is made of residual blocks and looks at pixels",
    "dcgan": "is made of convolutions and looks at pixels",
    "plain": "is made of fully connected layers and looks at pixels",
}
LOSSES = {
    "hinge": "hinge loss",
    "rpgan": "relativistic pairing loss",
    "bce": "binary cross-entropy",
}


def recipe(config: Config, model: Model) -> str:
    """Sentences; only what the run did, and of an unconditional model nothing about conditions."""
    told = [
        f"The discriminator {DISCRIMINATORS[config.discriminator]}; the loss is {LOSSES[config.loss]}.",
        *(["It saw drawn pictures clamped to what a pixel can hold."] if config.clamp else []),
        penalties(config, model),
        augmentation(config),
        sampling(config) if model.attributes else "Pictures were shown equally often.",
        *(conditioning(config, len(model.attributes)) if model.attributes else ()),
        *frozen(config),
        held_out(config, model),
    ]
    return "\n".join(told)


def penalties(config: Config, model: Model) -> str:
    if not config.gamma:
        return "There is no gradient penalty (neither R1 nor R2)."
    gamma = config.gamma * gamma_rule(model.width, model.training.images)
    when = "every step" if config.lazy == 1 else f"every {config.lazy} steps, with {config.lazy} times that weight"
    falling = ""
    if config.decay_to and config.gamma_to != 1:
        falling = f", going to {gamma * config.gamma_to:.3g} by {config.decay_to:,} images"
    return f"Gradient penalties R1 and R2 with γ = {gamma:.3g}{falling}; {when}."


def augmentation(config: Config) -> str:
    mirrored = " Half of the pictures were shown mirrored." if config.mirror else ""
    if not config.augment or (config.augment_ramp and not config.decay_to):  # a ramp without an end stays at 0
        return f"No augmentation.{mirrored}"
    probability = f"probability {config.augment:g}"
    if config.augment_ramp:
        probability = f"a probability that grows from 0 to {config.augment:g} by {config.decay_to:,} images"
    if config.ada_target:
        limit = "" if config.augment == 1 else f" of at most {config.augment:g}"
        probability = f"a probability{limit} that follows overfitting (ADA, target r_t = {config.ada_target:g})"
    what = "DiffAugment (colour, translation, cutout) of real and drawn images alike, each with"
    return f"Augmentation: {what} {probability}.{mirrored}"


def sampling(config: Config) -> str:
    if not config.balance:
        return "Pictures were shown as often as they occur."
    names = " and ".join(names_in(config.balance_over))
    over = f"their combination of {names}" if names else "their combination of categories"
    return f"Pictures were shown with weight n^-{config.balance:g}, where n is the number of pictures of {over}."


def conditioning(config: Config, attributes: int) -> list[str]:
    told = []
    if config.wrong_label_weight:
        share = f"{100 * config.wrong_label_one_attribute:.3g}%"
        one = (
            f"; {share} of these were wrong in one attribute only"
            if config.wrong_label_one_attribute and attributes > 1
            else ""
        )
        told.append(
            "Real pictures were also shown with a wrong condition, to be told from those with their own, "
            f"with weight {config.wrong_label_weight:g}{one}."
        )
    if config.auxiliary and config.discriminator == "projected":
        told.append(
            "A classifier on the discriminator's features, trained on real pictures alone, told the generator how far "
            f"its pictures show their condition, with weight {config.auxiliary:g} from {config.auxiliary_to:,} images "
            f"on, rising since {config.auxiliary_from:,}."
        )
    if config.variety:
        told.append(
            "Of two drawings of one condition the generator was told, with weight "
            f"{config.variety:g}, how far they differed less than two of its pictures do."
        )
    if config.condition_dropout:
        told.append(f"Each attribute was left out of a condition with probability {config.condition_dropout:g}.")
    else:
        told.append("No attribute was ever left out of a condition.")
    if config.condition_to:
        told.append(f"Conditions took effect between {config.condition_from:,} and {config.condition_to:,} images.")
    return told


def frozen(config: Config) -> list[str]:
    if not config.freeze_images:
        return []
    return [f"The generator's early layers kept their weights for the first {config.freeze_images:,} images."]


def held_out(config: Config, model: Model) -> str:
    if not config.held_out:
        told = "No picture was held out to measure the model on."
    else:
        told = f"About {100 * config.held_out:.3g}% of the data set's pictures were held out, to measure the model on."
    if model.training.images * config.validation >= LEAST_VALIDATION:  # of fewer there is no such part
        told += f" Another {100 * config.validation:.3g}% were kept to decide with during training."
    if config.unseen:
        names = names_in(config.unseen_over)
        over = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names) or "all attributes"
        told += f" {100 * config.unseen:.3g}% of the combinations of {over} were not trained on."
    return told
