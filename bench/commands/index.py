"""The index of `ctisync search`: building it, bringing it up to date after changes, and its size.

Both are what the first search takes, as a whole process, longer than the same search again. Content and
index are SQLite files.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.client import Client
from bench.commands.updating import update_by_update
from bench.feed.served import ServedFeed
from bench.processes import BenchFailed, Run
from bench.report import Outcome, rounds_outcome
from bench.rounds import Contender, Rounds, play
from bench.workshop import Workshop

_FEW: Final = 40

QUERY: Final = ("search", "--min-severity", "critical")


def measure(workshop: Workshop) -> Outcome:
    options, number = workshop.options, changes(workshop)
    with (
        workshop.feed(steps=options.pairs + 1, changes=number, kind="advisories") as feed,
        workshop.client("sqlite", feed) as client,
    ):
        client.load()
        contenders = [
            Contender("building search", building_search(client)),
            Contender("updating search", updating_search(workshop, feed, client)),
            Contender("search", lambda: client.run(*QUERY)),
        ]
        rounds = play(contenders, options.pairs)
        return index_outcome(workshop, client, rounds)


def changes(workshop: Workshop) -> int:
    """In one update: few enough that the index is not built anew."""
    return min(workshop.options.changes, max(1, workshop.options.records // _FEW))


def index_outcome(workshop: Workshop, client: Client, rounds: Rounds) -> Outcome:
    """With what the first search takes longer, and the size of the index."""
    rounds.add_difference("building, less a search", "building search", "search")
    rounds.add_difference("updating, less a search", "updating search", "search")
    title = f"index: {workshop.options.records} records, {changes(workshop)} changes"
    table, figures, document = rounds_outcome(title, rounds, [("building search", "search")])
    index, content = index_of(client).stat().st_size, client.database.stat().st_size
    table.add_row(
        f"index / content: {index / 1e6:.1f} of {content / 1e6:.1f} MB", "", f"{index / content:.2f} x"
    )
    sizes = {
        "index / content": index / content,
        "building, peak MB": max(run.peak or 0.0 for run in rounds.runs["building search"]),
        "updating, peak MB": max(run.peak or 0.0 for run in rounds.runs["updating search"]),
    }
    return Outcome(table, {**figures, **sizes}, {**document, "bytes": {"index": index, "content": content}})


def building_search(client: Client) -> Callable[[], Run]:
    """The first one."""

    def run() -> Run:
        for path in client.home.glob("*.search"):
            path.unlink()
        return client.run(*QUERY)

    return run


def updating_search(workshop: Workshop, feed: ServedFeed, client: Client) -> Callable[[], Run]:
    """The first one after the next changes."""
    assert feed.changes is not None
    update = update_by_update(feed, client, feed.changes, changes(workshop))

    def run() -> Run:
        update()
        before = index_of(client).stat().st_ino
        run = client.run(*QUERY)
        if index_of(client).stat().st_ino != before:
            raise BenchFailed("the index was built anew, not updated")
        return run

    return run


def index_of(client: Client) -> Path:
    [path] = client.home.glob("*.search")
    return path


def printed(client: Client, *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    client.run(*arguments, "--json")
    document: dict[str, Any] = json.loads((client.home / "out").read_bytes())
    return document
