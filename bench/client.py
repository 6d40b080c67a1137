"""ctisync as its users run it: a whole process with a cold start, an empty home, settings as variables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.feed.served import ServedFeed
from bench.places import SOURCES
from bench.processes import BenchFailed, Run, run_python
from ctisync.settings.schema import variable
from tests.cli.conftest import Ctisync

Json = Any


class Client:
    """A home with a store of its own in it, or with `store_url`; it follows the feed. `settings` by name."""

    def __init__(
        self,
        home: Path,
        feed: ServedFeed,
        store_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        sources: str = SOURCES,
    ) -> None:
        self.home = home
        self._feed = feed
        self._ctisync = Ctisync(home)
        self.database = home / "ctisync.db"
        self._ctisync.environ |= {
            "PYTHONPATH": sources,
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_STORE__URL": store_url or f"sqlite:///{self.database}",
            "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
            **{variable(name): value for name, value in (settings or {}).items()},
        }

    def load(self) -> Run:
        """`ctisync init-snapshot`. Raises BenchFailed when not all records of the snapshot were loaded."""
        run = self.run("init-snapshot", "--log-format", "json")
        loaded = self._total("initialised", "records")
        if loaded != self._feed.snapshot.facts.records:
            raise BenchFailed(f"{loaded} records were loaded of {self._feed.snapshot.facts.records}")
        return run

    def update(self, changes: int) -> Run:
        """`ctisync update`. Raises BenchFailed when it did not apply so many changes."""
        run = self.run("update", "--log-format", "json")
        applied = self._total("range-applied", "changes")
        if applied != changes:
            raise BenchFailed(f"{applied} changes were applied of {changes}")
        return run

    def sync(self) -> Run:
        return self.run("sync", "--log-format", "json")

    def run(self, *arguments: str) -> Run:
        return run_python(["-m", "ctisync", *arguments], self.home, self._ctisync.environ)

    def _total(self, event: str, field: str) -> int:
        return sum(each[field] for each in self.events() if each["event"] == event)

    def events(self) -> Sequence[dict[str, Json]]:
        """Of the last run, with `--log-format json`."""
        return [json.loads(line) for line in (self.home / "told").read_text().splitlines()]
