"""What earlier versions wrote, with their names of settings and tensors, goes on being read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from tests.training.making import TINY, operation, tiny, write_dataset
from tests.training.test_cli import TINY_FLAGS, refusal, run
from tests.training.test_resume import assert_same_state
from unikat.bundle import CARD, read_bundle
from unikat_training.card import config_of, training
from unikat_training.changes import Change, load_changes
from unikat_training.checkpoint import PROGRESS, TENSORS, checkpoints
from unikat_training.cli import app
from unikat_training.config import CONFIG, Config, load_config
from unikat_training.errors import TrainingError
from unikat_training.evaluation.subject import Subject
from unikat_training.export import export
from unikat_training.loop import train
from unikat_training.renamed import current_settings, current_tensor

# Those that were released with the earlier names.
BUNDLES = [Path(__file__).parents[2] / "models" / path for path in ("emoji/1", "emoji/2", "fashion-mnist/1")]
EARLIER = {
    "discriminator": "critic",
    "discriminator_width": "critic_width",
    "discriminator_max_width": "critic_max_width",
    "wrong_label_weight": "mismatch",
    "wrong_label_one_attribute": "mismatch_one",
    "grouped_split": "twins_together",
}
# One of each kind, as checkpoints of earlier versions have them.
EARLIER_TENSORS = {
    "projected": {
        "heads.heads.3.trunk.0.bias",
        "heads.heads.3.judge.parametrizations.weight.original",
        "auxiliary.decide.weight",
        "adam.heads.0.exp_avg_sq",
        "adam.auxiliary.0.step",
    },
    "r3gan": {"heads.judge.weight", "heads.from_rgb.bias", "adam.heads.0.exp_avg_sq"},
    "dcgan": {"heads.body.0.weight", "adam.heads.0.exp_avg_sq"},
    "plain-gan": {"heads.judge.bias", "adam.heads.0.exp_avg_sq"},
}


def earlier_tensor(name: str) -> str:
    name = re.sub(r"^(adam\.)?discriminator\.", r"\1heads.", name)
    name = re.sub(r"^(heads\..*?)to_logits\.", r"\1judge.", name)
    return name.replace("auxiliary.to_logits.", "auxiliary.decide.")


def with_earlier_names(folder: Path) -> set[str]:
    """Rewrites a run's settings and last checkpoint as an earlier version wrote them; returns its tensors' names."""
    document = json.loads((folder / CONFIG).read_text())
    document["config"] = {EARLIER.get(name, name): value for name, value in document["config"].items()}
    for change in document.get("changes", []):
        change["settings"] = {EARLIER.get(name, name): values for name, values in change["settings"].items()}
    (folder / CONFIG).write_text(json.dumps(document))
    latest = checkpoints(folder)[-1]
    progress = json.loads((latest / PROGRESS).read_text())
    (latest / PROGRESS).write_text(json.dumps({**progress, "format": 1}))
    tensors = {earlier_tensor(name): tensor for name, tensor in load_file(latest / TENSORS).items()}
    save_file(tensors, latest / TENSORS)
    return set(tensors)


@pytest.mark.parametrize("preset", list(EARLIER_TENSORS))
def test_a_run_of_an_earlier_version_goes_on_to_the_same_weights(preset: str, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    config = tiny(preset)
    train(dataset, tmp_path / "whole", config, operation(16))
    train(dataset, tmp_path / "earlier", config, operation(8))
    names = with_earlier_names(tmp_path / "earlier")
    assert names >= EARLIER_TENSORS[preset]
    assert not {name for name in names if "discriminator" in name or "to_logits" in name}
    begun, _ = load_config(tmp_path / "earlier")
    assert begun == config
    train(dataset, tmp_path / "earlier", begun, operation(16))
    assert_same_state(tmp_path / "whole", tmp_path / "earlier")


def test_a_run_of_an_earlier_version_is_exported_and_its_card_has_todays_names(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "run", TINY, operation(8))
    changed = Config(**{**vars(TINY), "wrong_label_weight": 1.0})
    train(dataset, tmp_path / "run", changed, operation(12, change=True))
    with_earlier_names(tmp_path / "run")
    assert load_changes(tmp_path / "run") == [Change(8, {"wrong_label_weight": (0.5, 1.0)})]
    bundle = export(tmp_path / "run", tmp_path / "models" / "shapes" / "1")
    card = (bundle.path / CARD).read_text()
    assert "At 8 images settings were changed: wrong_label_weight from 0.5 to 1.0." in card
    assert '"discriminator": "projected"' in card
    assert config_of(bundle.model) == changed


def test_flags_of_earlier_versions_are_understood_and_not_shown(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    earlier = ["--critic=r3gan", "--critic-width=4", "--critic-max-width=8", "--mismatch=0.3", "--mismatch-one=0.7"]
    command: list[str | Path] = ["train", dataset.path, "--run", tmp_path / "run", *TINY_FLAGS, *earlier]
    for images in (4, 8):  # the same command goes on with the run
        result = run(*command, "--no-twins-together", f"--images={images}")
        assert result.exit_code == 0, result.output
    config, _ = load_config(tmp_path / "run")
    assert (config.discriminator, config.discriminator_width, config.discriminator_max_width) == ("r3gan", 4, 8)
    assert (config.wrong_label_weight, config.wrong_label_one_attribute, config.grouped_split) == (0.3, 0.7, False)
    recorded = json.loads((tmp_path / "run" / CONFIG).read_text())["config"]
    assert not set(recorded) & set(EARLIER.values())
    told = refusal(*command, "--wrong-label-weight=0.3")
    assert "mismatch: is the earlier name of wrong_label_weight; give only wrong_label_weight" in told
    shown = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output  # not cut to 80 columns
    assert "--wrong-label-weight" in shown
    assert not [flag for flag in ("--mismatch", "--critic", "--twins") if flag in shown]


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}@{path.name}")
def test_a_released_bundle_is_shown_with_todays_names(path: Path) -> None:
    bundle = read_bundle(path)
    bundle.verify()
    recorded = json.loads(bundle.model.training.config)
    assert set(recorded) & set(EARLIER.values()), "it was released before"
    config = config_of(bundle.model)
    assert config.discriminator == "projected"
    assert config.wrong_label_weight == recorded["mismatch"]
    assert config.wrong_label_one_attribute == recorded.get("mismatch_one", 0.0)
    settings = Subject.load(path).config  # as evaluation reads a reference
    assert not set(settings) & set(EARLIER.values())
    assert settings["wrong_label_weight"] == recorded["mismatch"]
    told = training(bundle.model)
    assert f"to be told from those with their own, with weight {recorded['mismatch']:g}" in told
    if (path.parent.name, path.name) == ("emoji", "2"):
        assert "wrong_label_weight from 0.5 to 1.0, wrong_label_one_attribute from 0.0 to 0.7" in told


def test_only_whole_names_are_translated() -> None:
    for name in ("generator.start.weight", "average.mapping.embed.weight", "adam.generator.0.step", "rng"):
        assert current_tensor(name) == name
    assert current_tensor("adam.heads.12.exp_avg_sq") == "adam.discriminator.12.exp_avg_sq"
    assert current_settings({"mismatch": 0.5, "width": 4}) == {"wrong_label_weight": 0.5, "width": 4}
    with pytest.raises(TrainingError, match="critic: is the earlier name of discriminator"):
        current_settings({"critic": "r3gan", "discriminator": "r3gan"})
