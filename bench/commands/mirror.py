"""A mirror folder: what a copy of it has to carry, and what following it costs next to asking the feed.

One step is `--changes` changes. The real feed has about 550,000 changes in 90 days, so with 1000 a step this
publishes 550 of them, and 43 in the last week. The changes of the first steps are repeated with other
offsets: each segment is compressed by itself. The same first steps are what the two clients apply.
"""

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from bench.client import Client
from bench.feed.files import Changes, ChangesFacts, Entry
from bench.feed.served import ServedFeed, served
from bench.figures import Spread, spread
from bench.processes import Run
from bench.report import Outcome, new_table, spread_document
from bench.rounds import Contender, play
from bench.workshop import Workshop

QUARTER: Final = 550
WEEK: Final = 43
"""Steps."""
DISTINCT: Final = 10
"""Steps that are generated."""
REAL_RECORDS: Final = 300_000
TARGETS: Final = {
    "week / snapshot": 0.01,
    "90 days, MB": 110.0,
    "90 days, files": 550.0,
    "manifest, kB": 110.0,
}
"""At 1000 changes a step. The first: of a snapshot with as many records as the real one."""
_OFFSET: Final = re.compile(rb'\{"offset":\d+')


def measure(workshop: Workshop) -> Outcome:
    with workshop.new_folder() as home:
        rounds = _clients(workshop, home / "clients")
        sizes = _sizes(workshop, home / "quarter")
    options = workshop.options
    title = f"mirror: {options.records} records, {options.changes} changes a step; CPU of whole processes"
    table = new_table(title, "", "measured", "target", "spread")
    for name, size in sizes.items():
        target = TARGETS.get(name) if options.changes == 1000 else None
        table.add_row(name, f"{size:.4g}", "" if target is None else f"{target:g}")
    table.add_section()
    for name, of_bench in rounds.items():
        table.add_row(name, f"{of_bench.median:.3f}", "", f"{of_bench.width:.3f}")
    figures = {**sizes, **{name: of_bench.median for name, of_bench in rounds.items()}}
    document = {"sizes": sizes, "cpu": {name: spread_document(each) for name, each in rounds.items()}}
    return Outcome(table, figures, document)


def _sizes(workshop: Workshop, home: Path) -> dict[str, float]:
    """Publishes 90 days of changes, and then sees which files the last week has brought."""
    options, root = workshop.options, home / "mirror"
    home.mkdir()
    snapshot = workshop.snapshot()
    repeated = _repeated(workshop.changes(DISTINCT), home / "changes", QUARTER * options.changes)
    begin = repeated.facts.first_offset
    with served(snapshot, repeated) as feed:
        client = Client(home, feed)
        feed.tell(last_offset=begin + (QUARTER - WEEK) * options.changes)
        client.run("mirror", str(root), "-q")
        before = set(_files(root))
        feed.tell(last_offset=begin + QUARTER * options.changes)
        client.run("mirror", str(root), "-q")
    files = _files(root)
    week = sum(size for name, size in files.items() if name not in before or name == "head.json")
    segments = [size for name, size in files.items() if name.startswith("c-")]
    newest = max((name for name in files if name.startswith("m-")), key=lambda name: int(name.split("-")[1]))
    of_real_size = snapshot.zip_bytes * REAL_RECORDS / options.records
    return {
        "snapshot, MB": snapshot.zip_bytes / 1e6,
        "week, MB": week / 1e6,
        "week / snapshot": week / of_real_size,
        "90 days, MB": sum(segments) / 1e6,
        "90 days, files": float(len(segments)),
        "manifest, kB": files[newest] / 1e3,
        "a change, bytes": sum(segments) / (QUARTER * options.changes),
    }


def _repeated(changes: Changes, folder: Path, number: int) -> Changes:
    """So many changes: these over and over, each with an offset of its own."""
    folder.mkdir()
    text = (changes.folder / "served.json").read_bytes()
    ends = [entry.end for entry in changes.facts.entries]
    texts = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    first, end = changes.facts.first_offset, 0
    entries = []
    with (folder / "served.json").open("wb") as file:
        for offset in range(first + 1, first + number + 1):
            change = texts[(offset - first - 1) % len(texts)]
            end += file.write(_OFFSET.sub(b'{"offset":%d' % offset, change, count=1))
            entries.append(Entry(offset, end))
    facts = ChangesFacts(first, entries, [first + number])
    (folder / "facts.json").write_bytes(msgspec.json.encode(facts))
    return Changes(folder)


def _files(root: Path) -> dict[str, int]:
    """Size by name, of the files that are copied."""
    own = root / ".ctisync"
    return {
        path.name: path.stat().st_size for path in root.rglob("*") if path.is_file() and own != path.parent
    }


def _clients(workshop: Workshop, home: Path) -> dict[str, Spread]:
    """The CPU seconds of loads and updates from the folder and over HTTP, and their ratios in pairs."""
    options, root = workshop.options, home / "mirror"
    home.mkdir()
    with ExitStack() as parts:
        feed = parts.enter_context(workshop.feed(steps=DISTINCT))
        assert feed.changes is not None
        feed.tell(last_offset=feed.changes.facts.steps[-1])
        Client(home, feed).run("mirror", str(root), "-q")
        contenders = []
        for name, settings in (("HTTP", {}), ("folder", {"cti.url": root.as_uri()})):
            client = parts.enter_context(workshop.client("sqlite", feed, settings=settings))
            contenders.append(Contender(f"load, {name}", _loaded_anew(workshop, feed, settings)))
            contenders.append(Contender(f"update, {name}", _updated(client, DISTINCT * options.changes)))
        rounds = play(contenders, options.pairs)
    cpu = {name: [run.cpu or 0.0 for run in runs] for name, runs in rounds.runs.items()}
    measured = {f"{name}, CPU s": spread(seconds) for name, seconds in cpu.items()}
    for step in ("load", "update"):
        pairs = zip(cpu[f"{step}, folder"], cpu[f"{step}, HTTP"], strict=True)
        measured[f"{step}, folder / HTTP"] = spread([one / two for one, two in pairs])
    return measured


def _loaded_anew(workshop: Workshop, feed: ServedFeed, settings: dict[str, str]) -> Callable[[], Run]:
    def load() -> Run:
        with workshop.client("sqlite", feed, settings=settings) as client:
            return client.load()

    return load


def _updated(client: Client, changes: int) -> Callable[[], Run]:
    """The same update each time, from a copy of the content."""
    client.load()
    base = client.database.with_suffix(".base")
    shutil.copy(client.database, base)

    def update() -> Run:
        for part in client.database.parent.glob(f"{client.database.name}*"):
            part.unlink()
        shutil.copy(base, client.database)
        return client.update(changes)

    return update
