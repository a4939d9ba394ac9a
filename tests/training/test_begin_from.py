"""Runs that begin from a bundle or a run: recorded, resumed exactly, frozen for a while, exported with credits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner, Result

from tests.training.making import TINY, operation, write_dataset
from tests.training.test_fit import folders_of_pictures
from tests.training.test_parallel import PRESETS, finished, run_training
from tests.training.test_resume import assert_same_state, last_state, wait_for_checkpoint
from unikat.bundle import CARD, TRAINING, Bundle, BundleError, digest_of, read_bundle
from unikat_training.checkpoint import checkpoints
from unikat_training.cli import app
from unikat_training.config import CONFIG, Config
from unikat_training.data.dataset import Dataset, Source
from unikat_training.errors import TrainingError
from unikat_training.export import Release, export
from unikat_training.loop import begin, train
from unikat_training.metrics import read_metrics
from unikat_training.networks.build import build_generator
from unikat_training.state import under
from unikat_training.warm_start.origin import Origin, all_sources, joint_licence
from unikat_training.warm_start.parent import Parent, find_parent
from unikat_training.warm_start.settings import finetune_config
from unikat_training.warm_start.weights_file import unpacked


@pytest.fixture(scope="module")
def bundle(conditional_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("parents") / "models" / "shapes" / "1"
    return export(conditional_run, out, release=Release(licence="CC-BY-4.0"))


@pytest.fixture(scope="module")
def parent(bundle: Bundle) -> Parent:
    return find_parent(str(bundle.path), Path("nowhere"))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "pictures", count=30)


def config_of(parent: Parent, **given: float) -> Config:
    return finetune_config(parent, 16, {"batch": 4, **given})


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def copied(bundle: Bundle, tmp_path: Path) -> Path:
    shutil.copytree(bundle.path.parents[1], tmp_path / "models")
    return tmp_path / "models" / "shapes" / "1"


def test_what_training_needs_is_listed_and_not_needed_to_draw(bundle: Bundle, tmp_path: Path) -> None:
    path = copied(bundle, tmp_path)
    listed = {file.path: file for file in bundle.model.files}
    assert listed[TRAINING].digest == digest_of(path / TRAINING)
    (path / TRAINING).unlink()
    read_bundle(path).verify()
    with pytest.raises(BundleError, match=r"training\.safetensors: is optional and not here; get it from where"):
        find_parent(str(path), Path("nowhere"))


def test_weights_are_stored_by_half_and_draw_the_same(bundle: Bundle, conditional_run: Path) -> None:
    stored, full = unpacked(bundle.path / TRAINING), last_state(conditional_run)
    assert stored.keys() == {name for name in full if name.startswith(("average.", "discriminator.", "auxiliary."))}
    assert (bundle.path / TRAINING).stat().st_size < 0.6 * sum(full[name].nbytes for name in stored)
    images = []
    for tensors in (stored, full):
        generator = build_generator(TINY, 16, 5).eval()
        generator.load_state_dict(under("average.", tensors))
        with torch.no_grad():
            images.append(generator(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)), torch.eye(8, 5)))
    assert (images[0] - images[1]).abs().max() < 1 / 255  # of a range of 2: half a grey level


def test_a_bundle_without_or_with_changed_weights_is_refused(
    bundle: Bundle, conditional_run: Path, tmp_path: Path
) -> None:
    without = export(conditional_run, tmp_path / "others" / "shapes" / "1", release=Release(training_weights=False))
    assert not (without.path / TRAINING).exists()
    with pytest.raises(BundleError, match=r"shapes/1: has no training\.safetensors, so nothing can be trained from it"):
        find_parent("shapes", tmp_path / "others")
    path = copied(bundle, tmp_path)
    content = (path / TRAINING).read_bytes()
    (path / TRAINING).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"training\.safetensors: digest is sha256:.* but model\.json says sha256:"):
        find_parent(str(path), tmp_path)


def test_a_parent_is_found_by_name_version_and_folder(bundle: Bundle, conditional_run: Path) -> None:
    models = bundle.path.parents[1]
    for reference in ("shapes", "shapes@1", str(bundle.path)):
        found = find_parent(reference, models)
        assert (found.origin.name, found.origin.digest) == ("shapes@1", bundle.model.digest)
    assert find_parent(str(conditional_run), models).origin.name == "run at 40 images"
    with pytest.raises(TrainingError, match=r"--from: shapes@2 is no folder .* no model below .*\(there: shapes@1\)"):
        find_parent("shapes@2", models)


def test_a_run_records_what_it_began_from_and_resumes_exactly(dataset: Dataset, parent: Parent, tmp_path: Path) -> None:
    config = config_of(parent, freeze_images=8, auxiliary_to=8)
    train(dataset, tmp_path / "whole", config, operation(24), parent)
    recorded = json.loads((tmp_path / "whole" / CONFIG).read_text())["from"]
    assert (recorded["name"], recorded["digest"]) == ("shapes@1", parent.origin.digest)
    train(dataset, tmp_path / "parts", config, operation(4), parent)
    for images in (12, 24):
        train(dataset, tmp_path / "parts", config, operation(images))
    assert_same_state(tmp_path / "whole", tmp_path / "parts")
    begin(tmp_path / "stopped", config, dataset.split(config.shares).trained, False, parent)  # and then was killed
    train(dataset, tmp_path / "stopped", config, operation(24))
    assert_same_state(tmp_path / "whole", tmp_path / "stopped")
    train(dataset, tmp_path / "nothing", config, operation(24))
    one, other = last_state(tmp_path / "whole"), last_state(tmp_path / "nothing")
    assert not torch.equal(one["average.start.weight"], other["average.start.weight"])


def test_a_killed_run_goes_on_from_its_checkpoint(dataset: Dataset, bundle: Bundle, tmp_path: Path) -> None:
    arguments = ["train", str(dataset.path), "--run", str(tmp_path / "killed"), "--from", "shapes@1", "--batch=4"]
    arguments += ["--models", str(bundle.path.parents[1]), "--threads=1", "--images=10000000"]
    arguments += ["--checkpoint-seconds=1", "--sheet-images=100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unikat_training", *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_for_checkpoint(tmp_path / "killed", process)
    finally:
        process.kill()
        process.communicate()
    reached = int(checkpoints(tmp_path / "killed")[-1].name) * 4
    parent = find_parent("shapes", bundle.path.parents[1])
    config = config_of(parent)
    train(dataset, tmp_path / "killed", config, operation(reached + 12))
    train(dataset, tmp_path / "whole", config, operation(reached + 12), parent)
    assert_same_state(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize("optimised", ["float32", "bfloat16"])
def test_early_layers_keep_their_weights_until_they_are_let_go(
    dataset: Dataset, parent: Parent, tmp_path: Path, optimised: str
) -> None:
    states: list[dict[str, Tensor]] = []
    for images in (4, 8, 12):
        config = config_of(parent, freeze_images=8)
        train(dataset, tmp_path / "run", config, operation(images, bf16=optimised == "bfloat16"), parent)
        states.append({**last_state(tmp_path / "run")})
    begun = under("average.", dict(parent.tensors))
    early = ("mapping.hidden", "mapping.out", "start.", "start_conv.")
    statistics = ("running_mean", "running_var", "num_batches_tracked")

    def moved(state: dict[str, Tensor]) -> set[str]:
        return {
            name
            for name, value in under("generator.", state).items()
            if not name.endswith(statistics) and not torch.equal(value, begun[name])
        }

    for state in states[:2]:
        assert not any(name.startswith(early) for name in moved(state))
        assert {"mapping.embed.weight", "ups.1.conv.weight", "to_rgb.weight"} <= moved(state)
    assert {"mapping.hidden.weight", "start.weight", "start_conv.conv.weight"} <= moved(states[2])


def test_two_processes_begin_and_freeze_as_one_does(dataset: Dataset, tmp_path: Path) -> None:
    begun = replace(PRESETS["projected"], ada_target=0.0)  # without batch norm, which sees a process's share only
    train(dataset, tmp_path / "parent", begun, operation(16))
    parent = find_parent(str(tmp_path / "parent"), tmp_path)
    config = finetune_config(parent, 16, {"batch": 8, "freeze_images": 16, "learning_rate": 1e-5})
    train(dataset, tmp_path / "alone", config, operation(32, log_images=8), parent)
    begin(tmp_path / "together", config, dataset.split(config.shares).trained, False, parent)
    arguments = ["train", str(dataset.path), "--run", str(tmp_path / "together"), "--log-images=8", "--threads=1"]
    finished(run_training([*arguments, "--no-progress", "--images=32"], processes=2))
    one, two = (read_metrics(tmp_path / run) for run in ("alone", "together"))
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2, 3, 4]
    for figure in ("discriminator", "generator", "real", "fake"):
        assert [row[figure] for row in one] == pytest.approx([row[figure] for row in two], rel=2e-3, abs=2e-4), figure


def test_settings_are_the_parents_but_for_what_the_preset_and_flags_say(parent: Parent) -> None:
    config = finetune_config(parent, 16, {"learning_rate": 0.001, "images": 3})
    assert (config.preset, config.ada_target, config.learning_rate) == ("finetune", 0.6, 0.001)
    assert (config.width, config.latent, config.loss, config.wide_mixing) == (4, 8, "hinge", True)
    other = replace(parent, config=replace(parent.config, balance_over="colour", unseen=0.1, decay_to=9, gamma=3.0))
    config = finetune_config(other, 16, {})
    assert (config.balance_over, config.unseen, config.decay_to, config.gamma) == ("", 0.0, 0, 3.0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"width": 5}, "width: must be 4, which shapes@1 was trained with, not 5: leave it out"),
        ({"seed": 1}, "seed: must be 0, which shapes@1 was trained with, not 1"),
        ({"generator": "r3gan"}, "generator: must be fastgan"),
        ({"feature_size": 64}, "feature_size: must be 32"),
    ],
)
def test_settings_of_other_networks_are_refused(parent: Parent, given: dict[str, object], told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        finetune_config(parent, 16, given)
    finetune_config(parent, 16, {name: getattr(parent.config, name) for name in given})  # what it says is no other


def test_what_cannot_be_is_refused_by_the_command(
    dataset: Dataset, bundle: Bundle, conditional_run: Path, tmp_path: Path
) -> None:
    common = ["train", dataset.path, "--models", bundle.path.parents[1], "--threads=1", "--no-progress", "--images=4"]
    for more, told in (
        (["--from", "shapes", "--width=5"], "width: must be 4"),
        (["--preset=finetune"], "preset: finetune says what to do differently from a parent; name one with --from"),
        (["--from", tmp_path / "nowhere"], "is no folder of a bundle or a run"),
    ):
        result = command(*common, "--run", tmp_path / "refused", *more)
        assert result.exit_code == 2
        assert told in " ".join(result.output.split())
        assert not (tmp_path / "refused" / CONFIG).exists()
    result = command(*common, "--run", tmp_path / "run", "--from", "shapes", "--batch=4")
    assert result.exit_code == 0, result.output
    again = command(*common, "--run", tmp_path / "run", "--from", conditional_run)
    assert again.exit_code == 2
    assert "was begun from shapes@1 (sha256:" in " ".join(again.output.split())
    assert command(*common, "--run", tmp_path / "run", "--from", "shapes").exit_code == 0
    assert command(*common, "--run", tmp_path / "run").exit_code == 0


def test_one_command_from_a_few_pictures_and_a_model(bundle: Bundle, tmp_path: Path) -> None:
    pictures, out = folders_of_pictures(tmp_path / "pictures"), tmp_path / "models" / "animals" / "1"
    flags = ["--threads=1", "--no-progress", "--no-evaluate", "--images=64", "--licence=CC0-1.0"]
    fit = ["fit", pictures, "--out", out, "--run", tmp_path / "run", "--from", "shapes@1"]
    result = command(*fit, "--models", bundle.path.parents[1], *flags)
    assert result.exit_code == 0, result.output
    made = read_bundle(out)
    assert (made.model.width, made.model.licence) == (16, "CC0-1.0 AND CC-BY-4.0")
    assert [category.name for category in made.model.attributes[0].categories] == ["cats", "dogs", "newts"]
    assert [source.origin for source in made.model.sources][-1] == "none, by way of shapes@1"
    assert json.loads(made.model.training.config)["from"] == {
        "name": "shapes@1",
        "digest": bundle.model.digest,
        "licence": "CC-BY-4.0",
    }
    card = (out / CARD).read_text()
    assert f"Training began from shapes@1 (`{bundle.model.digest}`), whose weights have the licence CC-BY-4.0." in card
    assert "Drawn by the tests" in card
    assert "- CC-BY-4.0 (the weights) asks to name the creators" in card
    assert "- CC0-1.0 (the weights, " in card
    assert "early layers kept their weights for the first" in card
    assert str(tmp_path) not in (out / "model.json").read_text()
    grandchild = find_parent("animals", tmp_path / "models")  # and on from there
    assert grandchild.origin.sources[-1].origin == "none, by way of shapes@1"
    assert grandchild.config == finetune_config(find_parent(str(bundle.path), out), 16, {})


def test_a_source_of_both_is_named_once() -> None:
    own, other = Source("shapes", "here", "CC0-1.0", "Ada"), Source("animals", "there", "CC-BY-4.0", "Bo")
    origin = Origin("shapes@1", "sha256:0", "models/shapes/1", sources=(own, other))
    assert all_sources((own,), origin) == (own, replace(other, origin="there, by way of shapes@1"))
    assert all_sources((own,), None) == (own,)


def test_licences_of_both_hold() -> None:
    def begun(licence: str) -> Origin:
        return Origin("a@1", "sha256:0", "models/a/1", licence)

    assert joint_licence("MIT", None) == "MIT"
    assert joint_licence("MIT", begun("")) == "MIT"
    assert joint_licence("MIT", begun("MIT")) == "MIT"
    assert joint_licence("MIT", begun("CC-BY-4.0 AND MIT")) == "MIT AND CC-BY-4.0"
    assert joint_licence("MIT", begun("CC0-1.0 OR MIT")) == "MIT AND (CC0-1.0 OR MIT)"
