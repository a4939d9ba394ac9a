"""`unikat claim`, `unikat transfer`: make an artwork a work, and hand it on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unikat.cli import options
from unikat.cli.output import print_facts, print_json
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.registry import ADDRESS, Address, connect, public_key
from unikat.cli.where import parse_where
from unikat.cli.work import HELP, TypedWork, read_work

if TYPE_CHECKING:
    from unikat.request import Where
    from unikat.v1.provenance_pb2 import ArtworkRecipe, Certificate

Id = Annotated[str, typer.Argument(help="The artwork's id (16 hex digits) or digest (64).")]


def claim(
    what: Annotated[str, typer.Argument(help=HELP)],
    owner_key: Annotated[
        str, typer.Option(help="Public key of the owner, or its file: `unikat keys owner` makes one.")
    ],
    creator: Annotated[str, typer.Option(help="Who made it.")],
    title: Annotated[str, typer.Option(help="The work's title.")] = "",
    owner: Annotated[str, typer.Option(help="Who owns it. Left out, the creator.")] = "",
    where: Annotated[list[str] | None, typer.Option(help="Condition, with model:seed:index. Repeat it.")] = None,
    truncation: options.Truncation = None,
    background: options.Background = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the certificate (JSON) here.")] = None,
    as_json: options.AsJson = False,
    at: Address = ADDRESS,
) -> None:
    """Claim an artwork: it is drawn once more, checked, and entered into the registry's log, once for all times."""
    from unikat.v1.provenance_pb2 import ClaimArtworkRequest

    found = read_work(what)
    if found.model_digest and (where or truncation is not None or background):
        raise Problem("--where, --truncation and --background go with model:seed:index", code=BAD_INPUT)
    request = ClaimArtworkRequest(
        recipe=_typed(found, parse_where(where or []), truncation, background), title=title, creator=creator,
        owner=owner, owner_key=public_key(owner_key), picture=found.picture,
    )  # fmt: skip
    with connect(at) as registry:
        made = registry.claim(request)
    _show(made, out, as_json)


def transfer(
    id: Id,
    to: Annotated[str, typer.Option(help="Who owns it from now on.")],
    to_key: Annotated[str, typer.Option(help="Public key of the new owner, or its file.")],
    key: Annotated[Path, typer.Option(help="File of the present owner's key (`unikat keys owner`).", exists=True)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the certificate (JSON) here.")] = None,
    as_json: options.AsJson = False,
    at: Address = ADDRESS,
) -> None:
    """Hand a work on: its owner signs for the next one."""
    try:
        from unikat.certificate import Certificate, transfer_text
        from unikat.key_file import read_keys
        from unikat.owner_key import sign
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[keys]'") from error
    from unikat.v1.provenance_pb2 import TransferArtworkRequest

    try:
        (seed,) = read_keys(key).values()
    except ValueError as error:
        raise Problem(f"--key {key}: {error}", code=BAD_INPUT) from error
    new = public_key(to_key)
    with connect(at) as registry:
        found = registry.certificate(id)
        log, work = Certificate.parse(found.document).said["log"], found.work
        text = transfer_text(log, work.digest, work.transfers + 1, work.owner_key, new)
        request = TransferArtworkRequest(
            id=work.digest.hex(), new_owner=to, new_owner_key=new, signature=sign(seed, text)
        )
        made = registry.transfer(request)
    _show(made, out, as_json)


def _show(made: Certificate, out: Path | None, as_json: bool) -> None:
    from unikat.files import write_whole
    from unikat.registry import work_facts

    facts: dict[str, Any] = work_facts(made.work)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, made.document + b"\n")
        facts["certificate"] = str(out)
    if as_json:
        print_json(facts)
    else:
        print_facts([(name.replace("_", " "), str(value)) for name, value in facts.items()])


def _typed(found: TypedWork, where: Where, truncation: float | None, background: str) -> ArtworkRecipe:
    """The recipe of a claim; what the work leaves open is as it was typed."""
    from unikat.registry import claimed_recipe
    from unikat.request import sent_where

    said = found.recipe
    wanted = replace(
        said,
        truncation=said.truncation if truncation is None else truncation,
        background=background or said.background,
    )
    return claimed_recipe(wanted, found.model_digest, {**sent_where(said.where), **where})
