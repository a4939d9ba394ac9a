"""What is exported: a bundle that verifies, whose graph draws what torch draws, whatever the batch."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import json_format
from PIL import Image

import unikat_training
from tests.support.voters import People
from tests.training.making import write_dataset
from unikat.bundle import CARD, MAX_MANIFEST, Bundle, condition_size, read_bundle
from unikat.json_text import lines_of_json
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat_gallery.votes.report import report_of
from unikat_training.errors import TrainingError
from unikat_training.export import Release, combinations, export
from unikat_training.session import open_graph, run_graph
from unikat_training.votes import read_judgement


@pytest.fixture(scope="module")
def bundle(conditional_run: Path) -> Bundle:
    return export(conditional_run, conditional_run.parent / "models" / "shapes" / "3")


@pytest.fixture(scope="module")
def plain(plain_run: Path) -> Bundle:
    people = People(np.array([-0.6, -0.1, 0.2, 0.5]), np.array([-1.0, -0.8, -0.5, -0.2]), name="plain-shapes")
    votes = plain_run.parent / "report.json"
    votes.write_text(json.dumps(report_of(people.votes(1))))
    release = Release(truncation=0.75, licence="CC0-1.0", votes=votes)
    return export(plain_run, plain_run.parent / "models" / "plain-shapes" / "1", release=release)


def inputs(bundle: Bundle) -> dict[str, int]:
    graph = onnx.load(bundle.graph).graph
    return {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in graph.input}


def test_the_bundle_verifies_and_says_what_can_be_asked(bundle: Bundle) -> None:
    read = read_bundle(bundle.path)
    read.verify()
    model = read.model
    assert (model.name, model.version, model.width, model.height, model.latent_size) == ("shapes", 3, 16, 16, 8)
    assert [(a.name, [c.name for c in a.categories]) for a in model.attributes] == [
        ("shape", ["disc", "square"]),
        ("colour", ["red", "green", "blue"]),
    ]
    # four of the sixty pictures are held out
    assert sum(c.count for c in model.combinations) == sum(c.count for c in model.attributes[0].categories) == 56
    assert (model.training.images, model.training.images_seen) == (56, 40)
    assert model.sources[0].licence == "CC0-1.0"


def test_the_publisher_decides_on_truncation_and_licence(bundle: Bundle, plain: Bundle) -> None:
    assert (bundle.model.default_truncation, bundle.model.licence) == (1.0, "unspecified")
    assert (plain.model.default_truncation, plain.model.licence) == (0.75, "CC0-1.0")
    card = (plain.path / CARD).read_text()
    assert "truncation 0.75" in card
    assert "| licence of the weights | CC0-1.0 |" in card
    with pytest.raises(TrainingError, match="--truncation: must be 0 to 2"):
        Release(truncation=2.5)


def test_the_graph_says_nothing_of_the_machine_that_exported_it(bundle: Bundle) -> None:
    assert bytes(Path(unikat_training.__file__).parent) not in bundle.graph.read_bytes()


def test_the_graph_is_one_file_with_the_agreed_inputs_and_output(bundle: Bundle) -> None:
    assert inputs(bundle) == {"latent": 8, "condition": condition_size(bundle.model), "truncation": 1}
    (output,) = onnx.load(bundle.graph).graph.output
    assert output.name == "image"
    assert output.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim][1:] == [16, 16, 3]
    assert sorted(path.name for path in bundle.path.iterdir()) == [
        "MODEL_CARD.md",
        "directions.json",
        "directions.png",
        "generator.onnx",
        "interpolation.png",
        "mixing.png",
        "model.json",
        "samples.png",
        "training.safetensors",
    ]


def test_there_is_no_random_number_in_the_graph(bundle: Bundle) -> None:
    operators = {node.op_type for node in onnx.load(bundle.graph).graph.node}
    assert not {name for name in operators if "Random" in name or name in ("Bernoulli", "Multinomial", "Dropout")}


def test_torch_and_the_graph_agree_and_batches_are_exact(bundle: Bundle, plain: Bundle) -> None:
    for each in (bundle, plain):
        figures = {metric.name: metric.value for metric in each.model.metrics}
        assert figures["parity_max_grey_levels"] <= 1
        assert figures["batch_exact"] == figures["thread_exact"] == 1


def test_a_plain_model_has_no_condition_input(plain: Bundle) -> None:
    plain.verify()
    assert inputs(plain) == {"latent": 8, "truncation": 1}
    assert not plain.model.attributes
    assert not plain.model.combinations
    assert "unconditional" in (plain.path / "MODEL_CARD.md").read_text()


def test_truncation_zero_draws_the_centre_of_the_condition(bundle: Bundle) -> None:
    session = open_graph(bundle.graph)
    latent = latents(3, range(6), 8)
    condition = np.array([[1, 0, 0, 1, 0]] * 6, dtype=np.float32)
    centre = run_graph(session, latent, condition, truncation=0.0)
    assert (centre == centre[0]).all()
    full = run_graph(session, latent, condition, truncation=1.0)
    assert len({image.tobytes() for image in full}) == 6


def test_a_blend_lies_between_what_it_blends(bundle: Bundle) -> None:
    session = open_graph(bundle.graph)
    latent = latents(3, range(1), 8)
    weights = [[1, 0, 1, 0, 0], [0.5, 0.5, 1, 0, 0], [0, 1, 1, 0, 0]]
    one, blend, other = (
        run_graph(session, latent, np.array([row], dtype=np.float32), 1.0).astype(int) for row in weights
    )
    apart = np.abs(one - other).sum()
    assert apart > 0
    assert 0 < np.abs(one - blend).sum() < apart
    assert 0 < np.abs(other - blend).sum() < apart


def test_samples_and_card_tell_what_was_measured(bundle: Bundle) -> None:
    sheet = Image.open(io.BytesIO((bundle.path / "samples.png").read_bytes()))
    assert min(sheet.size) > 300
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert card.startswith("# shapes, version 3\n")
    for words in (
        "Drawn by the tests",
        "CC0-1.0",
        "40 images shown",
        "CPU, 1 core",
        "parity_max_grey_levels",
        "blue (",
    ):
        assert words in card
    assert "fewer than 20 pictures" in card
    for file in ("directions.png", "interpolation.png", "mixing.png"):
        assert f"({file})" in card
        assert file in {each.path for each in bundle.model.files}  # and so verified with the others


def test_combinations_of_many_attributes_fit_a_manifest_and_keep_their_shares(tmp_path: Path) -> None:
    """As of CelebA, where nearly every picture has a combination of its own."""
    dataset = write_dataset(tmp_path / "shapes")
    labels = np.repeat(np.random.default_rng(2).random((5000, 40)) < np.linspace(0.1, 0.9, 40), 2, axis=0)
    labels[1::2, 0] ^= True  # pictures in turn
    many = replace(dataset, labels=labels.astype(np.int64), attributes=dataset.attributes[:1] * 40)
    kept = combinations(many)
    assert 2**17 < sum(len(each.categories) for each in kept) <= 2**18
    shares = np.average([list(each.categories) for each in kept], axis=0, weights=[each.count for each in kept])
    assert shares == pytest.approx(labels.mean(axis=0), abs=0.03)
    assert len(lines_of_json(json_format.MessageToDict(Model(combinations=kept)))) < MAX_MANIFEST / 4
    _, counts = np.unique(dataset.labels, axis=0, return_counts=True)
    assert [each.count for each in combinations(dataset)] == counts.tolist()


def test_the_card_tells_what_people_said_of_earlier_versions(plain: Bundle) -> None:
    report = json.loads((plain.path.parents[2] / "report.json").read_text())
    section = (plain.path / CARD).read_text().split("## People's judgement")[1].split("\n## ")[0]
    assert "1,200 answers of 10 people" in section
    best = report["like"]["groups"][0]["entries"][0]
    low, high = best["preferred_interval"]
    assert f"| {best['entry']} | {best['preferred']:.0%} ({low:.0%} to {high:.0%}) | {best['votes']} |" in section
    assert section.count("plain-shapes@2, truncation 1 |") == 2


def test_a_report_on_other_models_and_what_is_none_are_refused(plain: Bundle, tmp_path: Path) -> None:
    report = plain.path.parents[2] / "report.json"
    with pytest.raises(TrainingError, match=r"--votes: .* says nothing of emoji"):
        read_judgement(report, "emoji")
    for text in ("{}", "[", '{"format": 2}', '{"format": 1, "like": 3}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(TrainingError, match=r"--votes: .*other\.json is no report of `unikat votes report`"):
            read_judgement(tmp_path / "other.json", "emoji")


def test_a_data_set_that_moved_is_found_where_one_says(conditional_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(conditional_run, tmp_path / "run"))
    moved = Path(shutil.copytree(conditional_run.parent / "shapes", tmp_path / "moved"))
    config = run / "config.json"
    config.write_text(config.read_text().replace(str(conditional_run.parent / "shapes"), "/nowhere"))
    assert export(run, tmp_path / "models" / "shapes" / "1", moved).model.training.images == 56


def test_another_data_set_is_refused(conditional_run: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "fewer", count=59)
    with pytest.raises(TrainingError, match="--dataset"):
        export(conditional_run, tmp_path / "models" / "shapes" / "1", other.path)


def test_a_version_is_never_overwritten(bundle: Bundle, conditional_run: Path) -> None:
    with pytest.raises(TrainingError, match="immutable"):
        export(conditional_run, bundle.path)


def test_a_name_that_no_model_may_have_is_refused(conditional_run: Path, tmp_path: Path) -> None:
    for name in ("Bad Name", "shapes.v2"):  # said before the graph is checked for a minute
        with pytest.raises(TrainingError, match="a name"):
            export(conditional_run, tmp_path / name / "1")
    with pytest.raises(TrainingError, match="models/emoji/1"):
        export(conditional_run, tmp_path / "models" / "shapes")
    assert not (tmp_path / "Bad Name" / "1").exists()
