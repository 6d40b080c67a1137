"""`demo`: two passes of `sync` and a `status` against a built-in feed. It needs no settings."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from ctisync.cli.invocation import CLOCK, CommonOptions, Invocation, command
from ctisync.commands.passes import run_passes
from ctisync.commands.status import as_table
from ctisync.commands.status.read import read_status
from ctisync.demo import DemoFeed, served
from ctisync.errors import UsageError
from ctisync.escaping import escape, quoted
from ctisync.settings import CtiSettings, Settings, StoreSettings
from ctisync.system.files import absolute, expand_home, named_write_errors
from ctisync.system.process import flush_results, print_drawn, print_result

RECORDS: Final = 3000
CHANGES_SINCE_SNAPSHOT: Final = 1200
CHANGES_LATER: Final = 2500

_DATABASE: Final = "ctisync.db"


@command(config=False, consumer=False)
def demo(
    options: CommonOptions,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the database in this folder.")
    ] = None,
) -> int:
    """Run two passes against a built-in feed: no network, no services, a few seconds."""

    def say(text: str) -> None:
        print_result(f"\n# {text}")
        flush_results()

    # A proxy of the environment could not reach the built-in feed, to which go all requests.
    os.environ |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    feed = DemoFeed(RECORDS)
    feed.publish_snapshot()
    feed.live_on(CHANGES_SINCE_SNAPSHOT)
    with _folder(keep) as folder, served(feed) as url:
        settings = Settings(
            cti=CtiSettings(url=url),
            store=StoreSettings(url=f"sqlite:///{folder / _DATABASE}"),
            state_dir=folder,
        )
        invocation = Invocation.of(settings, "sync", CLOCK, options.console)
        say(f"The built-in feed is at {url}. It has a snapshot of {RECORDS:,} records, and later changes.")
        say("ctisync sync: the store is empty, so this pass loads the snapshot, then applies the changes.")
        code = run_passes(invocation)
        feed.live_on(CHANGES_LATER)
        say(f"The feed now has changes up to {feed.last_offset:,}. ctisync sync: this pass applies them.")
        code = code or run_passes(invocation)
        say("ctisync status")
        print_drawn(as_table(read_status(invocation, remote=False), sys.stdout, CLOCK.now()))
        if keep is None:
            say("The demo has removed its database. To keep it: ctisync demo --keep DIR")
        else:
            say(f"The database is {escape(str(folder / _DATABASE))}. To print its first records:")
            print_result(f"  CTISYNC_STORE__URL={quoted(settings.store.url)} ctisync export | head -n 3")
        say("To follow the real feed: ctisync sync")
    return code


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder for the database: `keep`, which is created if it is missing, or a temporary one. Raises
    UsageError if the folder cannot be used, or already has a database."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="ctisync-demo-") as name:
            yield Path(name)
        return
    folder = absolute(expand_home(keep, "--keep"), "--keep", UsageError)
    if (folder / _DATABASE).exists():
        raise UsageError(f"{folder / _DATABASE} already exists", hint="ctisync demo --keep ANOTHER_DIR")
    with named_write_errors(folder, hint="ctisync demo --keep DIR"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder
