"""Generators of others become bundles that draw what their files draw, or are refused with what to do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.training.foreign_graphs import (
    Z,
    edit,
    node,
    write_dcgan,
    write_index,
    write_linear,
    write_small,
    write_stylegan,
)
from unikat.bundle import CARD, Bundle, BundleError, read_bundle
from unikat.conditions import FieldError, check_conditions
from unikat.sampling import latents
from unikat.v1.studio_pb2 import Blend, Condition
from unikat_training.errors import TrainingError
from unikat_training.imported.bundle import Request, import_generator
from unikat_training.session import open_graph, run_graph

FLOAT, HALF, INT32 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32
Said = list[str]
Levels = npt.NDArray[np.int64]


def request(path: Path, **more: object) -> Request:
    given = {"licence": "CC0-1.0", "author": "Ada", "range": "0..1", "out": path.parent / "models" / "mine" / "1"}
    return Request(path, **(given | more))  # type: ignore[arg-type]  # fields by name


def refused(path: Path, words: str, **more: object) -> None:
    with pytest.raises((TrainingError, BundleError), match=words):
        import_generator(request(path, **more))
    assert not (path.parent / "models").exists()


def figures(bundle: Bundle) -> dict[str, float]:
    return {metric.name: metric.value for metric in bundle.model.metrics}


def drawn(
    bundle: Bundle, condition: Sequence[Sequence[float]], truncation: Sequence[float], background: object = None
) -> npt.NDArray[np.uint8]:
    """Images of seed 5 by the bundle's graph, all in one batch."""
    count = len(truncation)
    behind = None if background is None else np.array([background] * count, np.float32)
    vectors = np.array(condition, np.float32).reshape(count, -1)
    column = np.array(truncation, np.float32)[:, None]
    return run_graph(open_graph(bundle.graph), latents(5, range(count), Z), vectors, column, behind)


def original(path: Path, **inputs: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """What the file itself gives for one image, without the batch."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values: npt.NDArray[np.float32] = session.run(None, {name: np.array(v) for name, v in inputs.items()})[0][0]
    return values.astype(np.float32)


def grey_levels(values: npt.NDArray[np.float32], low: float, high: float) -> Levels:
    """An image (C, H, W) as it has to look, (H, W, C)."""
    levels: Levels = np.rint((np.clip(values, low, high) - low) / (high - low) * 255).astype(np.int64)
    return levels.transpose(1, 2, 0)


def apart(image: npt.NDArray[np.uint8], expected: Levels) -> int:
    assert image.shape == expected.shape
    return int(np.abs(image.astype(np.int64) - expected).max())


@pytest.fixture(scope="module")
def stylegan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With five classes, and a psi for each image."""
    return write_stylegan(tmp_path_factory.mktemp("stylegan") / "s.onnx")


@pytest.mark.parametrize("scalar", [False, True])
def test_a_stylegan_draws_by_its_own_psi_whatever_shares_the_batch(
    tmp_path: Path, stylegan: Path, scalar: bool
) -> None:
    path, said = tmp_path / "s.onnx", Said()
    if scalar:
        write_stylegan(path, scalar=True)
    else:
        path.write_bytes(stylegan.read_bytes())
    bundle = import_generator(request(path, range="-1..1", latent=Z, layout="nchw"), said.append)
    bundle.verify()
    assert figures(bundle)["batch_exact"] == figures(bundle)["thread_exact"] == 1
    assert figures(bundle)["parity_max_grey_levels"] <= 1
    assert [line.rpartition(": ")[2] for line in said[:3]] == ["latent", "condition", "truncation"]
    condition, psi = [[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0], [0.3, 0, 0, 0, 0.7]], [1.0, 0.0, 0.6]
    images = drawn(bundle, condition, psi)
    for index, (image, c, each) in enumerate(zip(images, condition, psi, strict=True)):
        inputs = {"z": latents(5, [index], Z), "c": np.array([c], np.float32)}
        values = original(path, **inputs, truncation_psi=np.float32(each) if scalar else np.array([[each]], np.float32))
        assert apart(image, grey_levels(values, -1, 1)) <= 1
    assert len({image.tobytes() for image in images}) == 3


def test_a_dcgan_for_batches_of_one_draws_in_batches_of_any_size(tmp_path: Path) -> None:
    path = write_dcgan(tmp_path / "d.onnx")
    bundle = import_generator(request(path, range="-1..1"))
    assert not bundle.model.attributes
    assert "Scan" not in {each.op_type for each in onnx.load(bundle.graph).graph.node}
    assert (figures(bundle)["batch_exact"], figures(bundle)["parity_max_grey_levels"]) == (1, 0)
    for index, (image, psi) in enumerate(zip(drawn(bundle, [[]] * 3, [1, 0.5, 0]), (1, 0.5, 0), strict=True)):
        latent = latents(5, [index], Z) * np.float32(psi)  # without a psi of its own: toward the mean latent, 0
        assert apart(image, grey_levels(original(path, noise=latent.reshape(1, Z, 1, 1)), -1, 1)) == 0


@pytest.mark.parametrize(("kind", "sizes"), [(TensorProto.INT64, ["n"]), (INT32, ["n", 1])])
def test_class_numbers_come_from_one_hots_and_cannot_be_blended(
    tmp_path: Path, kind: int, sizes: list[int | str]
) -> None:
    path, said = write_index(tmp_path / "i.onnx", kind, sizes), Said()
    bundle = import_generator(request(path, range="0..255"), said.append)
    model = bundle.model
    assert (model.height, model.width) == (8, 6)
    assert [each.name for each in model.attributes[0].categories] == [f"class-{index}" for index in range(5)]
    assert any("class-4" in line for line in said)
    for image, chosen in zip(drawn(bundle, np.eye(5)[[3, 0]].tolist(), [1, 1]), (3, 0), strict=True):
        label = np.full([1] * len(sizes), chosen, helper.tensor_dtype_to_np_dtype(kind))
        expected = np.rint(original(path, z=latents(5, [0 if chosen == 3 else 1], Z), label=label)).astype(np.int64)
        assert apart(image, expected) == 0
    assert check_conditions(model, [Condition(attribute="category", category="class-2")])
    alone = Blend(weights={"class-2": 2, "class-1": 0})
    assert check_conditions(model, [Condition(attribute="category", blend=alone)])
    with pytest.raises(FieldError, match=r'conditions\[0\].blend.weights: this model cannot blend "category"'):
        check_conditions(model, [Condition(attribute="category", blend=Blend(weights={"class-2": 1, "class-1": 1}))])
    assert "no: the graph takes the number" in (bundle.path / CARD).read_text()


def test_grey_half_and_old_graphs_become_rgb(tmp_path: Path) -> None:
    for name, more in {"grey": {"channels": 1}, "half": {"kind": HALF}, "old": {"opset": 11}}.items():
        path = write_linear(tmp_path / f"{name}.onnx", **more)  # type: ignore[arg-type]  # arguments by name
        bundle = import_generator(request(path, out=tmp_path / "models" / name / "1"))
        latent = latents(5, [0], Z).astype(np.float16 if name == "half" else np.float32)
        expected = grey_levels(original(path, z=latent), 0, 1)
        image = drawn(bundle, [[]], [1])[0]
        assert apart(image, np.broadcast_to(expected, image.shape)) <= (1 if name == "half" else 0)


def test_alpha_lies_over_the_background_that_is_asked_for(tmp_path: Path) -> None:
    path = write_linear(tmp_path / "a.onnx", channels=4)
    bundle = import_generator(request(path))
    assert bundle.model.channels == 4
    values = original(path, z=latents(5, [0], Z)).transpose(1, 2, 0)
    assert apart(drawn(bundle, [[]], [1], (0, 0, 0, 0))[0], np.rint(values * 255).astype(np.int64)) <= 1
    over = values[..., 3:] * values[..., :3] + (1 - values[..., 3:]) * np.array([1, 0.5, 0])
    image = drawn(bundle, [[]], [1], (1, 0.5, 0, 1))[0]
    assert apart(image[..., :3], np.rint(over * 255).astype(np.int64)) <= 1
    assert (image[..., 3] == 255).all()


@pytest.mark.parametrize("how", [{"batch": 1}, {"mixing": True}])
def test_what_is_made_for_one_image_is_drawn_image_by_image(tmp_path: Path, how: dict[str, object]) -> None:
    path, said = write_linear(tmp_path / "f.onnx", **how), Said()  # type: ignore[arg-type]  # arguments by name
    bundle = import_generator(request(path), said.append)
    assert [each.op_type for each in onnx.load(bundle.graph).graph.node] == ["Scan"]
    assert any("image by image" in line for line in said)
    assert figures(bundle)["batch_exact"] == 1
    for index, image in enumerate(drawn(bundle, [[]] * 4, [1] * 4)):
        assert apart(image, grey_levels(original(path, z=latents(5, [index], Z)), 0, 1)) == 0


def test_labels_name_the_conditions(tmp_path: Path, stylegan: Path) -> None:
    path = tmp_path / "s.onnx"
    path.write_bytes(stylegan.read_bytes())
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"animal": ["cat", "dog", "newt"], "colour": ["red", "blue"]}))
    bundle = import_generator(request(path, range="-1..1", labels=labels))
    assert {a.name: [c.name for c in a.categories] for a in bundle.model.attributes} == json.loads(labels.read_text())
    assert sorted(tuple(each.categories) for each in bundle.model.combinations) == [
        (a, b) for a in range(3) for b in range(2)
    ]
    wrongs: tuple[tuple[object, str], ...] = (
        (["a", "b"], r"c float \(\?, 5\) takes 5 categories; those left for it are 2"),
        ({"animal": ["a", "b", "c"], "colour": ["x", "y", "z"]}, "those left for it are 3 \\+ 3"),
        ({"animal": list("abcde"), "colour": ["x"]}, "colour: the graph has no more room"),
        ({"Animal!": list("abcde")}, "a name must match"),
        ({"animal": ["a", "a", "b", "c", "d"]}, "different names"),
        ({"animal": 3}, "must hold a list"),
        ([], "must hold a list"),
        ("cats", "must hold a list"),
    )
    for wrong, words in wrongs:
        labels.write_text(json.dumps(wrong))
        with pytest.raises((TrainingError, BundleError), match=words):
            import_generator(request(path, range="-1..1", labels=labels, out=tmp_path / "models" / "other" / "1"))
    labels.write_text("[")
    (tmp_path / "plain").mkdir()
    plain = write_linear(tmp_path / "plain" / "l.onnx")
    refused(plain, "is not JSON", labels=labels)
    labels.write_text('["a"]')
    refused(plain, "--labels: category: the graph takes no condition", labels=labels)
    refused(plain, "none.json: cannot be read: No such file", labels=tmp_path / "none.json")


def test_several_inputs_share_the_labels_in_their_order(tmp_path: Path) -> None:
    body = [
        node("Gather", ["table", "kind"], "embedded"),
        node("Concat", ["z", "embedded", "colour"], "both", axis=1),
        node("MatMul", ["both", "w"], "mixed"),
        node("Reshape", ["mixed", "shape_image"], "out"),
    ]
    weights = {"table": (5, 4), "w": (Z + 4 + 3, 3 * 64), "shape_image": (-1, 3, 8, 8)}
    inputs: dict[str, tuple[int, Sequence[int | str]]]
    inputs = {"z": (FLOAT, ["n", Z, "h", "w"]), "kind": (TensorProto.INT64, ["n"]), "colour": (FLOAT, ["n", "colours"])}
    body.insert(0, node("Reshape", ["z", "shape_z"], "flat"))
    body[2].input[0] = "flat"
    path = write_small(tmp_path / "s.onnx", inputs, body, (FLOAT, ["n", 3, 8, 8]), weights | {"shape_z": (-1, Z)})
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"kind": list("abcde"), "hue": ["warm", "cold", "grey"]}))
    bundle = import_generator(request(path, range="-1..1", labels=labels))
    assert [(each.name, each.exclusive) for each in bundle.model.attributes] == [("kind", True), ("hue", False)]
    image = drawn(bundle, [[0, 0, 0, 1, 0, 0.25, 0, 0.75]], [1])[0]
    colour = np.array([[0.25, 0, 0.75]], np.float32)
    values = original(path, z=latents(5, [0], Z).reshape(1, Z, 1, 1), kind=np.array([3]), colour=colour)
    assert apart(image, grey_levels(values, -1, 1)) <= 1
    with pytest.raises(TrainingError, match="--labels: needed, since the graph does not say how many classes colour"):
        import_generator(request(path, range="-1..1", out=tmp_path / "models" / "mine" / "2"))


def test_the_card_says_where_it_comes_from_and_what_is_not_known(tmp_path: Path) -> None:
    path = write_linear(tmp_path / "mine.onnx")
    bundle = import_generator(request(path, truncation=0.8, description="Stripes."))
    card = (bundle.path / CARD).read_text()
    digest = bundle.model.description.rpartition("sha256:")[2].rstrip(".")
    for words in (
        "Stripes, from mine.onnx",
        "| author | Ada |",
        f"`sha256:{digest}`",
        "--range 0..1",
        "--truncation 0.8",
        "| CC0-1.0 |",
        "Nothing is known",
    ):
        assert words in card
    assert len(digest) == 64
    assert bundle.model.default_truncation == pytest.approx(0.8)
    assert str(tmp_path) not in card + bundle.model.description
    with Image.open(bundle.path / "samples.png") as sheet:
        assert min(sheet.size) > 300
    assert read_bundle(bundle.path).model.licence == "CC0-1.0"


def test_notes_of_the_exporter_with_paths_of_its_machine_are_left_out(tmp_path: Path, stylegan: Path) -> None:
    here = str(Path(__file__).parent).encode()
    assert here in stylegan.read_bytes()
    out = tmp_path / "models" / "mine" / "1"
    assert here not in import_generator(request(stylegan, range="-1..1", out=out)).graph.read_bytes()


def test_what_looks_wrong_is_said(tmp_path: Path) -> None:
    said = Said()
    import_generator(request(write_linear(tmp_path / "l.onnx"), range="0..255"), said.append)
    assert any("is --range right?" in line for line in said)
    said.clear()
    constant = write_linear(tmp_path / "c.onnx")
    edit(constant, lambda model: zero(model, "w"))
    import_generator(request(constant, out=tmp_path / "models" / "flat" / "1"), said.append)
    assert any("The latent changes nothing" in line for line in said)
    assert any("Truncation changes nothing" in line for line in said)


def zero(model: onnx.ModelProto, name: str) -> None:
    (weight,) = (each for each in model.graph.initializer if each.name == name)
    weight.CopyFrom(numpy_helper.from_array(np.zeros(weight.dims, np.float32), name))


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike", "Bernoulli", "Dropout"])
@pytest.mark.parametrize("inside", [False, True])
def test_random_nodes_are_refused_by_name(tmp_path: Path, operator: str, inside: bool) -> None:
    def disturb(model: onnx.ModelProto) -> None:
        inputs = ["unit", "", "training"] if operator == "Dropout" else ["unit"]
        random = helper.make_node(operator, inputs, ["noisy"], name="the_culprit")
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
        at = next(i for i, each in enumerate(model.graph.node) if "unit" in each.output) + 1
        if inside:
            branch = helper.make_graph([random], "b", [], [helper.make_tensor_value_info("noisy", FLOAT, None)])
            random = helper.make_node("If", ["training"], ["noisier"], then_branch=branch, else_branch=branch)
        model.graph.node.insert(at, random)
        model.graph.node[at + 1].input[0] = random.output[0]

    refused(edit(write_linear(tmp_path / "r.onnx"), disturb), f"{operator} 'the_culprit' draws random numbers")


def test_what_the_image_does_not_depend_on_and_a_dropout_that_drops_nothing_are_no_reason(tmp_path: Path) -> None:
    def add(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(False), "training"))
        model.graph.input.append(helper.make_tensor_value_info("noise", FLOAT, ["n", 1, 8, 8]))
        model.graph.node.append(node("RandomNormalLike", ["noise"], "side"))
        model.graph.node.append(node("Dropout", ["full", "", "training"], "kept"))
        model.graph.node.append(node("Identity", ["kept"], "image2"))
        model.graph.output.append(helper.make_tensor_value_info("side", FLOAT, ["n", 1, 8, 8]))
        model.graph.output.append(helper.make_tensor_value_info("image2", FLOAT, ["n", 3, 8, 8]))

    path = edit(write_linear(tmp_path / "o.onnx"), add)
    refused(path, "--output: say which of the graph's outputs is the image: out float .*, side float .*, image2 float")
    refused(path, "--output: there is no 'img'", output="img")
    refused(path, "RandomNormalLike", output="side")
    assert import_generator(request(path, output="image2")).model.width == 8


def test_no_pickle_is_read_and_what_is_no_graph_is_told(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("it was read",))

    for name in ("old.pkl", "new.pt"):
        with (tmp_path / name).open("wb") as file:
            if name == "old.pkl":
                pickle.dump(Trap(), file)
            else:
                torch.save(Trap(), file)
        refused(tmp_path / name, "is a pickle, .*export the generator to ONNX")
    (tmp_path / "text.onnx").write_text("no graph at all")
    refused(tmp_path / "text.onnx", "cannot be read as ONNX|is no ONNX graph")
    refused(tmp_path / "none.onnx", "none.onnx: cannot be read: No such file")


def test_weights_beside_the_file_are_read_and_missing_ones_told(tmp_path: Path) -> None:
    path = write_linear(tmp_path / "e.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="e.data", size_threshold=1024)
    bundle = import_generator(request(path))
    assert not any(each.external_data for each in onnx.load(bundle.graph, load_external_data=False).graph.initializer)
    (tmp_path / "e.data").unlink()
    with pytest.raises(TrainingError, match=r"cannot be read as ONNX: .*e\.data"):
        import_generator(request(path, out=tmp_path / "models" / "mine" / "2"))


def test_more_weights_than_one_file_can_hold_are_refused(tmp_path: Path) -> None:
    def grow(model: onnx.ModelProto) -> None:
        large = TensorProto(name="large", data_type=FLOAT, dims=[2**20, 1000], data_location=TensorProto.EXTERNAL)
        large.external_data.add(key="location", value="huge.data")
        model.graph.initializer.append(large)

    path = write_linear(tmp_path / "h.onnx")
    model = onnx.load(path)
    grow(model)
    path.write_bytes(model.SerializeToString())
    refused(path, "has 4.2 GB of weights, and a bundle's graph holds 2 GB at most")


@pytest.mark.parametrize(
    ("more", "flags", "words"),
    [
        ({"noise0": (FLOAT, [1, 1, 8, 8])}, {}, "input noise0 float .* looks like noise .*constant noise"),
        ({"strength": (FLOAT, ["n", 1])}, {}, "could be anything: say --input strength=KIND, where KIND is latent"),
        ({"z2": (FLOAT, ["n", Z])}, {}, "2 of the inputs can be the latent; .* say which by --input NAME=latent"),
        ({"attributes": (FLOAT, ["n", 5])}, {"latent": 7}, "none of the inputs can be the latent of 7 numbers"),
        ({"psi": (FLOAT, [])}, {"inputs": ("psi=index",)}, "--input: psi float .* cannot be the index, which is whole"),
        ({}, {"inputs": ("z=colour",)}, "--input: must be NAME=KIND, where KIND is latent"),
        ({}, {"inputs": ("w=latent",)}, "--input: there is no w; the graph's inputs are z float"),
        ({}, {"inputs": ("z=latent",), "latent": 9}, "--latent: z float .* takes 8 numbers an image, not 9"),
        ({"psi": (FLOAT, []), "trunc": (FLOAT, [])}, {}, "2 of the inputs can be the truncation"),
        ({"label": (INT32, ["n"])}, {}, "--labels: needed, since the graph does not say how many classes"),
        ({}, {"licence": " "}, "--licence and --author: say"),
        ({}, {"truncation": 3.0}, "--truncation: must be 0 to 2"),
    ],
)
def test_inputs_that_cannot_be_guessed_are_told_with_the_flag(
    tmp_path: Path, more: dict[str, tuple[int, Sequence[int | str]]], flags: dict[str, object], words: str
) -> None:
    refused(write_linear(tmp_path / "g.onnx", more), words, **flags)


def test_a_batch_of_exactly_four_and_an_unclear_layout_are_refused(tmp_path: Path) -> None:
    refused(write_linear(tmp_path / "b.onnx", batch=4), "is a batch of exactly 4: .*dynamic")
    path = write_linear(tmp_path / "l.onnx", side=3)
    refused(path, r"--layout: the graph gives \(3, 8, 3\) an image; say nchw or nhwc")
    assert import_generator(request(path, layout="nchw")).model.width == 3


def test_what_the_runtime_cannot_run_is_told(tmp_path: Path) -> None:
    def add(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid("acme", 1))
        model.graph.node[-1].domain = "acme"

    refused(edit(write_linear(tmp_path / "x.onnx"), add), "cannot be loaded by ONNX Runtime")
