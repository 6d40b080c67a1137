"""One consumer, followed by the real command."""

import json
import subprocess
from typing import Any, Final, NamedTuple

from tests.cli.conftest import Ctisync
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

INDEX: Final = "real-cve"


class Followed(NamedTuple):
    """The command, its feed and whom it tells."""

    ctisync: Ctisync
    feed: FeedSimulator
    manager: CommandManagerStandIn

    def run(self, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return self.ctisync.run(*(command or ("sync", "-q")), **environ)

    def status(self) -> Any:
        return json.loads(self.run("status", "--json").stdout)["consumers"][0]

    @property
    def offset(self) -> int:
        return int(self.status()["offset"])

    def assert_holds(self, offset: int) -> None:
        """Value for value what the feed held at that offset, says an export."""
        lines = self.run("export").stdout.encode().split(b"\n")[:-1]
        assert [comparable(line) for line in lines] == [
            comparable(line) for line in self.feed.expected_lines(offset)
        ]

    def assert_in_step(self) -> None:
        """A pass ends well, and nothing is missing: neither a record nor a command."""
        ended = self.run()
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        last = self.feed.history.last_offset
        status = self.status()
        assert (status["offset"], status["pending_command"], status["phase"]) == (last, None, "ready")
        self.assert_holds(last)
        assert int(self.manager.commands[-1].offset) == last
