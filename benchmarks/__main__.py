"""`python -m benchmarks`: what is claimed about speed, each as one command (benchmarks/README.md)."""

from __future__ import annotations

import typer

from benchmarks.autoscaling.command import autoscaling
from benchmarks.claims import claims
from benchmarks.curve.command import curve
from benchmarks.gallery import gallery
from benchmarks.gate import gate
from benchmarks.idle import idle
from benchmarks.marks import marks
from benchmarks.metrics import metrics
from benchmarks.near_copies import near_copies
from benchmarks.originality import originality
from benchmarks.peers.clients import clients
from benchmarks.peers.command import peers
from benchmarks.peers.environments import cache_folder
from benchmarks.provenance.command import provenance
from benchmarks.recipes import recipes
from benchmarks.reference import reference_bundles
from benchmarks.report import report
from benchmarks.taste import taste
from benchmarks.votes import votes

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.command()(peers)
app.command()(idle)
app.command()(curve)
app.command()(clients)
app.command()(report)
app.command()(provenance)
app.command("near-copies")(near_copies)
app.command()(claims)
app.command()(gate)
app.command()(originality)
app.command()(votes)
app.command()(taste)
app.command()(recipes)
app.command()(gallery)
app.command()(metrics)
app.command()(marks)
app.command()(autoscaling)


@app.command()
def reference() -> None:
    """Build the reference models, where they are not there yet, and say where they are."""
    for bundle in reference_bundles(cache_folder() / "models"):
        print(bundle.path, bundle.model.digest)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
