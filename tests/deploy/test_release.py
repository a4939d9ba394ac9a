"""What a release holds: built from HEAD, as `make release` builds it; the images and the trial are left to that."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from deploy.release import (
    PYTHONS,
    ROOT,
    ReleaseError,
    build,
    checked_out,
    main,
    notes,
    pack_models,
    pythons,
    version,
    write_sums,
)
from tests.support.tiny_model import write_tiny_bundle
from unikat.bundle import key_of, list_bundles, read_bundle

_NO_INDEX = ("Temporary failure", "Network is unreachable", "Connection refused")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a release."""
    return made(tmp_path_factory.mktemp("dist"))


def made(out: Path) -> Path:
    """What is committed, as a release has it."""
    with checked_out() as source:
        try:
            build(source, out)
        except ReleaseError as error:
            if any(each in str(error) for each in _NO_INDEX):
                pytest.skip("no package index answers")
            raise
        pack_models(source, out)
    write_sums(out)
    return out


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one, which releases are made of during the test."""
    root = tmp_path / "repository"
    write_tiny_bundle(root / "models")
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for words in ("init", "add .", "-c user.name=x -c user.email=x commit -m x"):
        subprocess.run(["git", "-C", str(root), *words.split()], check=True, capture_output=True)
    monkeypatch.setattr("deploy.release.ROOT", root)
    return root


def test_the_wheel_has_all_packages_and_nothing_else(release: Path) -> None:
    with zipfile.ZipFile(release / f"unikat-{version()}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
        info = f"unikat-{version()}.dist-info"
        metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    packages = {"unikat", "unikat_service", "unikat_worker", "unikat_registry", "unikat_gallery", "unikat_training"}
    assert {name.partition("/")[0] for name in names} == packages | {info}
    tracked = subprocess.check_output(["git", "-C", ROOT, "ls-tree", "-r", "--name-only", "HEAD"], text=True)
    places = {"unikat": "unikat"} | {each: f"{each.removeprefix('unikat_')}/{each}" for each in packages - {"unikat"}}
    wanted = {
        package + name.removeprefix(place)
        for package, place in places.items()
        for name in tracked.splitlines()
        if name.startswith(f"{place}/")
    }
    assert {name for name in names if not name.startswith(info)} == wanted
    assert "unikat = unikat.cli:main" in entry_points
    assert metadata["Version"] == version()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(names)


def test_the_sdist_can_be_built_and_is_small(release: Path) -> None:
    path = release / f"unikat-{version()}.tar.gz"
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "NOTICE", "README.md", "unikat/cli/__init__.py", "tests/conftest.py"} <= names
    assert not any(name.startswith("models/") for name in names)
    assert path.stat().st_size < 8 * 2**20


def test_the_models_are_whole_and_the_newest(release: Path, tmp_path: Path) -> None:
    with tarfile.open(release / f"unikat-models-{version()}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    bundles = [read_bundle(path) for path in list_bundles(tmp_path / "models")]
    for bundle in bundles:
        bundle.verify()
    newest: dict[str, int] = {}
    for path in list_bundles(ROOT / "models"):
        newest[path.parent.name] = max(int(path.name), newest.get(path.parent.name, 0))
    assert {key_of(bundle.model) for bundle in bundles} == {f"{name}@{number}" for name, number in newest.items()}


def test_the_checksums_are_those_of_all_files(release: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=release, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(list(release.iterdir())) - 1


def test_the_same_commit_gives_the_same_bytes(release: Path, tmp_path: Path) -> None:
    assert (made(tmp_path) / "SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


def test_what_git_does_not_have_is_left_out(repository: Path, tmp_path: Path) -> None:
    (repository / "models" / "tiny" / "1" / "stray").write_text("a secret")
    with checked_out() as source:
        packed = pack_models(source, tmp_path)
    with tarfile.open(packed) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert "model.json" in names
    assert "stray" not in names


def test_a_folder_with_anything_else_in_it_is_left_alone(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "home"
    (out / "unikat-letters").mkdir(parents=True)
    for name in ("NOTES.md", "thesis.tex"):
        (out / name).touch()
    assert main(["--no-images", "--out", str(out)]) == 1
    assert "holds what no release has written: ['thesis.tex', 'unikat-letters']" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"NOTES.md", "thesis.tex", "unikat-letters"}
    assert main(["--no-images", "--out", str(out / "thesis.tex")]) == 1
    assert "thesis.tex: File exists" in capsys.readouterr().err


def test_the_notes_are_the_versions_section() -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n- new\n\n## 0.2.0 (2026-11-26)\n\n- old\n"
    assert notes(changelog, "0.2.0") == "# Unikat 0.2.0\n\n- old\n"
    assert notes(changelog, "0.3.0") == "# Unikat 0.3.0\n\n- new\n"
    with pytest.raises(ReleaseError, match=r"says nothing of 0\.3\.0"):
        notes("# Changelog\n\n## Unreleased\n\n## 0.2.0\n\n- old\n", "0.3.0")


def test_the_pythons_that_are_here_are_found() -> None:
    found = pythons()
    assert set(found) <= set(PYTHONS)
    for number, program in found.items():
        said = subprocess.check_output([program, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], text=True)
        assert said.strip() == number
