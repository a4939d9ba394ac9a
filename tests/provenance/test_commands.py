"""`unikat claim`, `certificate`, `transfer` and `verify` against a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.provenance.registering import Owner, Registering, drawing, registering
from tests.support.processes import spawn
from tests.support.tiny_model import write_tiny_bundle
from unikat import Artwork, Studio
from unikat.cli import app
from unikat.cli.problems import Problem
from unikat.registry import Registry


@dataclass(frozen=True)
class Desk:
    """A registry, a folder with keys of two owners, and a saved picture."""

    registry: Registering
    folder: Path
    artwork: Artwork
    picture: Path

    def run(self, *words: object) -> tuple[int, str]:
        """Exit code and output of `unikat`."""
        env = {"UNIKAT_REGISTRY": self.registry.target, "UNIKAT_KEYS": str(self.folder / "keys"), "COLUMNS": "200"}
        done = CliRunner().invoke(app, list(map(str, words)), env=env)
        if isinstance(done.exception, Problem):
            raise done.exception
        return done.exit_code, done.output

    def json(self, *words: object) -> dict[str, object]:
        """What a command prints with --json."""
        found: dict[str, object] = json.loads(self.run(*words, "--json")[1])
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    write_tiny_bundle(folder / "models", size=64)
    with drawing(folder / "models") as stack, registering(stack, folder) as registry:
        with Studio(stack.target) as studio:
            artwork = studio.draw("tiny", {"style": {"ink": 0.3, "oil": 0.7}}, seed=7, format="webp")
        made = Desk(registry, folder, artwork, artwork.save(folder / "drawing"))
        for name in ("anna", "bela"):
            assert made.run("keys", "owner", name)[0] == 0
        made.run(
            "claim", made.picture, "--creator", "Anna", "--title", "See",
            "--owner-key", folder / "keys/owners/anna.pub", "-o", folder / "claimed.json",
        )  # fmt: skip
        yield made


def test_a_saved_picture_is_claimed_by_what_it_says_of_itself(desk: Desk) -> None:
    words = ("claim", desk.picture, "--creator", "Anna", "--title", "See", "--owner-key")
    facts = desk.json(*words, desk.folder / "keys/owners/anna.pub")  # once more: what stands is returned
    assert facts["digest"] == desk.artwork.digest.hex()
    assert (facts["title"], facts["owner"]) == ("See", "Anna")
    with pytest.raises(Problem, match="claimed already"):
        desk.run(*words, desk.folder / "keys/owners/bela.pub")
    with pytest.raises(Problem, match="neither a public key"):
        desk.run(*words, "anna")


def test_a_typed_recipe_is_claimed(desk: Desk) -> None:
    words = ("--creator", "Anna", "--owner-key", "ab" * 32)
    facts = desk.json("claim", "tiny@1:8:2", "--where", "style=oil", *words)
    with Studio(desk.registry.stack.target) as studio:
        assert facts["digest"] == studio.draw("tiny", {"style": "oil"}, seed=8, index=2).digest.hex()
    with pytest.raises(Problem, match=r"--where: .*inc"):
        desk.run("claim", "tiny@1:8:3", "--where", "style=inc", *words)
    with pytest.raises(Problem, match="neither a file, a link nor model:seed:index"):
        desk.run("claim", "lost.png", *words)


def test_a_picture_is_verified_without_a_network(desk: Desk) -> None:
    offline = ("--certificate", desk.folder / "claimed.json")
    key = ("--key", str(desk.registry.key.verifier))
    code, said = desk.run("verify", desk.picture, *offline, *key)
    assert (code, "holds" in said, "every pixel is the same" in said) == (0, True, True)
    changed = desk.folder / "changed.jpg"
    desk.artwork.image().save(changed)
    code, said = desk.run("verify", changed, *offline, *key)
    assert (code, "not the pixels that were claimed" in said) == (1, True)
    document = (desk.folder / "claimed.json").read_bytes()
    (desk.folder / "forged.json").write_bytes(document.replace(b'"title":"See"', b'"title":"Sea"'))
    code, said = desk.run("verify", desk.picture, "--certificate", desk.folder / "forged.json", *key)
    assert (code, "does not hold: the signature" in said) == (1, True)
    with pytest.raises(Problem, match="go with --certificate"):
        desk.run("verify", desk.picture, *key)
    checkpoint = json.loads(document)["claim"]["proof"]["checkpoint"]
    (desk.folder / "checkpoint").write_text(checkpoint)
    code, said = desk.run("verify", desk.picture, *offline, *key, "--checkpoint", desk.folder / "checkpoint")
    assert (code, "of the same log" in said) == (0, True)


def test_a_picture_is_verified_by_the_registry(desk: Desk) -> None:
    facts = desk.json("verify", desk.picture, "--registry", desk.registry.target)
    assert (facts["registry_verdict"], facts["work"]) == ("work", desk.artwork.digest.hex())
    Image.new("RGB", (64, 64)).save(desk.folder / "black.png")
    assert desk.run("verify", desk.folder / "black.png", "--registry", desk.registry.target)[0] == 1


def test_a_certificate_is_a_file_and_a_page(desk: Desk) -> None:
    files = desk.json("certificate", desk.artwork.id, "-o", desk.folder / "out")["files"]
    assert isinstance(files, list)
    assert [Path(file).suffix for file in files] == [".json", ".png", ".pdf"]
    page = (desk.folder / "out" / f"{desk.artwork.id}.pdf").read_bytes()
    assert page.startswith(b"%PDF")
    assert page.count(b"/Type /Page\n") == 1
    assert desk.run("verify", files[1], "--certificate", files[0])[0] == 0
    with pytest.raises(Problem, match="nobody has claimed"):
        desk.run("certificate", "0" * 16)


def test_a_work_is_handed_on_with_its_owners_key(desk: Desk) -> None:
    keys = desk.folder / "keys/owners"
    claimed = desk.json("claim", "tiny@1:9:0", "--creator", "Anna", "--owner-key", keys / "anna.pub")
    words = ("transfer", claimed["id"], "--to", "Bela", "--to-key", keys / "bela.pub")
    with pytest.raises(Problem, match="not the present owner's"):
        desk.run(*words, "--key", keys / "bela.key")
    facts = desk.json(*words, "--key", keys / "anna.key")
    assert (facts["owner"], facts["transfers"]) == ("Bela", 1)


def test_no_registry_is_told_of(desk: Desk) -> None:
    with pytest.raises(Problem, match="no registry answers"):
        desk.run("certificate", "0" * 16, "--registry", "127.0.0.1:1")


def test_up_runs_a_registry_that_keeps_its_works(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", size=64)
    words = ("up", "--models", str(tmp_path / "models"), "--data", str(tmp_path / "data"), "--open", str(tmp_path))
    claimed: list[str] = []
    for _ in range(2):
        with spawn("unikat.cli", *words, "--listen", "127.0.0.1:0") as program:
            service = program.wait_for_line(r"is ready on (\S+):", 60)[1]
            target = program.wait_for_line(r"Works are claimed on (\S+)\.", 60)[1]
            assert target.partition(":")[0] == "127.0.0.1"
            with Studio(service) as studio, Registry(target) as registry:
                owner = Owner("Anna")
                work = registry.claim(owner.claim(len(claimed) + 1)).work
                assert work.digest == studio.draw("tiny", {"style": "ink"}, seed=len(claimed) + 1).digest
                claimed.insert(0, work.id)
                assert [each.id for each in registry.works()] == claimed
            assert program.terminate() == 0
