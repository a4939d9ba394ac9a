"""`unikat certificate`: a work's certificate as signed JSON, and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unikat.cli import options
from unikat.cli.claim import Id
from unikat.cli.output import print_json, stdout
from unikat.cli.problems import Problem
from unikat.cli.registry import ADDRESS, Address, connect
from unikat.files import write_whole


def certificate(
    id: Id,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for <id>.json, <id>.pdf and <id>.png.")] = Path("."),
    page: Annotated[bool, typer.Option(help="Also draw the page, <id>.pdf.")] = True,
    as_json: options.AsJson = False,
    at: Address = ADDRESS,
) -> None:
    """Fetch the certificate of a work: signed JSON, a page with picture, QR code and proof, and the picture itself."""
    from unikat.certificate import Certificate, CertificateError
    from unikat.registry import work_facts

    with connect(at) as registry:
        found = registry.certificate(id)
    try:
        parsed = Certificate.parse(found.document)
        parsed.verify(parsed.key)
    except CertificateError as error:
        raise Problem(f"the registry's certificate does not hold: {error}") from error
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[keys]'") from error
    files = {out / f"{found.work.id}.json": found.document + b"\n"}
    if found.image:  # a registry that lost its database may not have it yet
        files[out / f"{found.work.id}.png"] = found.image
    if page and found.image:
        try:
            from unikat.cli.certificate_page import draw_page
        except ImportError as error:
            hint = "Install it: pip install 'unikat[registry]'; or leave the page out: --no-page"
            raise Problem(f"not installed: {error.name}", hint) from error
        files[out / f"{found.work.id}.pdf"] = draw_page(parsed, found.image)
    out.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        write_whole(file, data)
    if as_json:
        print_json(work_facts(found.work) | {"files": [str(file) for file in files]})
    else:
        stdout().print("\n".join(str(file) for file in files), markup=False)
