"""`unikat decrypt`: an encrypted batch as files that everybody can read."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch.create import absolute
from unikat.cli.batch.verify import first, read_keys, readable
from unikat.cli.batch.words import place
from unikat.cli.output import counted, progress, stderr, stdout
from unikat.cli.problems import BAD_INPUT, Problem


def decrypt(
    source: Annotated[str, typer.Argument(help="Folder or URL of a batch that is encrypted.")],
    target: Annotated[str, typer.Argument(help="Folder or URL for the same batch without encryption; empty.")],
    storage_keys: options.StorageKeysFile = None,
) -> None:
    """Decrypt a batch into another folder: byte for byte what it would be without encryption.

    Exit code 0 only if all that is there could be decrypted; whether all is there, `unikat batch verify` says.
    """
    with readable("SOURCE or TARGET"), progress("Decrypting") as show:
        from unikat.batches.decrypt import NotEmpty
        from unikat.batches.decrypt import decrypt as run

        try:
            done = run(absolute(source), absolute(target), read_keys(storage_keys), show)
        except NotEmpty as error:
            raise Problem(str(error), code=BAD_INPUT) from error
    where = place(done.url)
    if done.left_out:
        stderr().print("Not encrypted, and so not of the batch:", style="yellow")
        for line in first([f"  {name}" for name in done.left_out], len(done.left_out)):
            stderr().print(line, markup=False)
    if done.damaged:
        lines = first([f"  {text}" for text in done.damaged], len(done.damaged))
        raise Problem(f"{counted(len(done.damaged), 'file')} cannot be decrypted; the others are in {where}", *lines)
    size = f"{done.bytes / 1e6:,.1f} MB"
    stdout().print(
        Text(f"{where}: {counted(done.files, 'file')}, {size}. See: unikat batch verify {where} --redraw 20")
    )
