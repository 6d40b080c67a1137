"""A SQLite file that several processes make at the same moment: each gets it, whole."""

from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

import pytest

from ctisync.errors import CtisyncError
from ctisync.stores.sqlite.connection import open_writable
from ctisync.stores.sqlite.schema import MIGRATIONS
from tests.support.long import LONG
from tests.two_writers.processes import FORKS

PROCESSES: Final = 6
FILES: Final = 300 if LONG else 40


def _open_each(folder: Path, all_there: Barrier, parent: Connection) -> None:
    refused = []
    for number in range(FILES):
        all_there.wait(120)
        try:
            with closing(open_writable(folder / f"{number}.db")) as file:
                mode, version = (
                    file.connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("journal_mode", "user_version")
                )
                if (mode, version) != (b"wal", len(MIGRATIONS)):
                    refused.append(f"{number}: {mode}, version {version}")
        except CtisyncError as error:
            refused.append(f"{number}: {error.message}")
    parent.send(refused)


@pytest.mark.parametrize("empty", [False, True], ids=["no file", "an empty file"])
def test_processes_that_make_the_file_together_all_get_it(tmp_path: Path, empty: bool) -> None:
    if empty:
        for number in range(FILES):
            (tmp_path / f"{number}.db").touch()
    all_there = FORKS.Barrier(PROCESSES)
    receivers, processes = [], []
    for _ in range(PROCESSES):
        receiver, sender = FORKS.Pipe(duplex=False)
        receivers.append(receiver)
        processes.append(FORKS.Process(target=_open_each, args=(tmp_path, all_there, sender)))
    for process in processes:
        process.start()

    refused = [receiver.recv() for receiver in receivers]

    for process in processes:
        process.join(120)
    assert refused == [[]] * PROCESSES
