"""Commands as real processes that may have a GiB of address space, and are measured."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.cli.conftest import Ctisync
from tests.hostile import lines
from tests.hostile.in_use import UNIX_TIME
from tests.hostile.server.measured import Ended, run
from tests.hostile.stored import Row, view_of
from tests.support.printed_error import assert_error

ADDRESSES: Final = 1 << 30
"""Bytes of RLIMIT_AS. Python and all that a pass loads take some of it that they never touch."""

MOST_MEMORY: Final = 150.0
"""MiB that may be resident at most."""


HANGS: Final = 1800.0
"""Seconds after which a process is killed; that of the test mostly comes first."""


class Confined:
    """A content in use, what is given to it, and the peaks of the commands so far, in MiB."""

    def __init__(self, home: Path) -> None:
        self.snapshot = home / f"1000_{UNIX_TIME}.zip"
        self.peaks: list[float] = []
        self.most_memory = MOST_MEMORY
        self._ctisync = Ctisync(home)
        self.snapshot.write_bytes(lines.ndjson(lines.GOOD))
        self.load()

    def load(self, **environ: str) -> Ended:
        """Load what is given, which must be good."""
        ended = self.run("init-snapshot", "--from", str(self.snapshot), **environ)
        assert (ended.code, ended.stderr) == (0, ""), ended
        return ended

    def assert_refused(self, words: str, **environ: str) -> None:
        """What is given is refused in two lines and within the memory; the content stays to the byte."""
        before = self.view()
        ended = self.run("init-snapshot", "--from", str(self.snapshot), **environ)
        assert ended.code == 6, ended
        assert_error(ended.stderr, rf"{self.snapshot.name}: .*{words}", "pass a complete snapshot to --from")
        assert self.view() == before

    def view(self) -> tuple[Row, ...]:
        return view_of(self._ctisync.database)

    def count(self) -> int:
        with closing(sqlite3.connect(self._ctisync.database)) as database:
            return int(database.execute("SELECT count(*) FROM content").fetchone()[0])

    def run(self, *arguments: str, **environ: str) -> Ended:
        """Within the memory, quietly."""
        limited = f'ulimit -v {ADDRESSES >> 10} && exec "$0" "$@"'
        command = ["/bin/sh", "-c", limited, *self._ctisync.command(*arguments, "-q")]
        ended = run(command, {**self._ctisync.environ, **environ}, self._ctisync.home, hangs=HANGS)
        self.peaks.append(ended.peak)
        assert ended.peak < self.most_memory
        return ended
