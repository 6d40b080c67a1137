"""`ctisync demo`: two passes against a built-in feed. It needs no settings."""

from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.options import CLOCK, CommonOptions, common


@app.command()
@common(config=False, consumer=False)
def demo(
    options: CommonOptions,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the database in this folder.")
    ] = None,
) -> int:
    """Run two passes against a built-in feed: no network, no services, a few seconds."""
    from ctisync.demo.run import play

    return play(keep, CLOCK, options.console())
