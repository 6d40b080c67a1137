"""Where the content of a soak is kept, as a reader finds it, and what lies beside it."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from ctisync.stores.opensearch.history import HISTORY_INDEX as HISTORY
from ctisync.stores.sqlite.compression import register
from tests.support.opensearch_node import OpenSearchNode

INDEX: Final = "soak-cve"


class Content(NamedTuple):
    """`lines` by name, None without a content; `settled`: nothing was begun whose end is missing."""

    offset: int
    lines: dict[str, bytes] | None
    settled: bool = True


class Place(Protocol):
    """One store. `state` is its folder on this host."""

    state: Path

    def environ(self) -> dict[str, str]:
        """The settings that lead there."""

    def read_content(self) -> Content:
        """Offset and content, looked at without leaving a trace."""

    def leftovers(self, *, wrote: bool) -> list[str]:
        """What must not be there after a pass; `wrote`: that one had something to write and did not
        initialise, so that it has removed the content before the last, too."""

    def size(self) -> int:
        """Of what must not grow."""

    def keep_evidence(self, folder: Path) -> None:
        """Whatever is not in `state`."""

    def alter_a_record(self) -> None:
        """What the soak must notice."""


class SqlitePlace:
    """A file, in a folder that it may share with others. What must not grow is its size, in KB."""

    sized: Final = "database KB"

    def __init__(self, home: Path, name: str = "ctisync.db") -> None:
        self.state = home / "state"
        self._name = name
        self._copy = home / "copy"
        self.state.mkdir(exist_ok=True)

    def environ(self) -> dict[str, str]:
        return {"CTISYNC_STORE__URL": f"sqlite:///{self.state}/{self._name}"}

    def read_content(self) -> Content:
        copy = self._copied()
        if not copy.exists():
            return Content(0, None)
        with closing(sqlite3.connect(copy)) as database:
            if not database.execute("PRAGMA user_version").fetchone()[0]:
                return Content(0, None)
            offsets = database.execute("SELECT offset FROM consumer_state").fetchall()
            register(database)
            lines = database.execute("SELECT name, ctisync_line(line) FROM content").fetchall()
            live = database.execute("SELECT generation FROM consumers").fetchall()
        if not live or live[0][0] is None:
            return Content(0, None)
        return Content(offsets[0][0], {name: line.encode() for name, line in lines})

    def leftovers(self, *, wrote: bool) -> list[str]:
        every = _files(self.state, kept=".db")
        with closing(sqlite3.connect(self._copied())) as database:
            dead = database.execute(
                "SELECT id FROM generations WHERE id NOT IN (SELECT ifnull(generation, 0) FROM consumers)"
            ).fetchall()
            orphans = database.execute(
                "SELECT count(*) FROM records WHERE generation NOT IN (SELECT id FROM generations)"
            ).fetchone()[0]
        if len(dead) > (0 if wrote else 1):
            every.append(f"{len(dead)} generations that are not live")
        if orphans:
            every.append(f"{orphans} records of no generation")
        return every

    def _copied(self) -> Path:
        """The file and what SQLite keeps beside it: a look would remove what a killed pass has left."""
        shutil.rmtree(self._copy, ignore_errors=True)
        self._copy.mkdir()
        for path in self.state.glob(f"{self._name}*"):
            shutil.copy2(path, self._copy)
        return self._copy / self._name

    def size(self) -> int:
        return (self.state / self._name).stat().st_size // 1024

    def keep_evidence(self, folder: Path) -> None:
        """All of it is in the state folder."""

    def alter_a_record(self) -> None:
        with closing(sqlite3.connect(self.state / self._name)) as database, database:
            register(database)
            database.execute(
                "UPDATE records SET packed = NULL,"
                " line = replace(ctisync_line(packed), 'CVE_RECORD', 'CVE_ALTERED')"
                " WHERE id = (SELECT max(id) FROM records)"
            )


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Search(msgspec.Struct):
    hits: _Hits


class OpenSearchPlace:
    """A node. What must not grow is the number of its indices."""

    sized: Final = "indices"

    def __init__(self, home: Path, node: OpenSearchNode, context: str, consumer: str) -> None:
        self.state = home / "state"
        self._node = node
        self._data = home.parent
        self._context, self._consumer = context, consumer
        self.state.mkdir()

    def environ(self) -> dict[str, str]:
        consumers = [{"context": self._context, "consumer": self._consumer, "index": INDEX}]
        return {"CTISYNC_STORE__URL": self._node.url, "CTISYNC_CONSUMERS": json.dumps(consumers)}

    def read_content(self) -> Content:
        # An index whose maker has just been killed may not answer yet.
        self._node.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")
        entry = self._entry()
        if INDEX not in self._aliases():
            return Content(0, None)
        ours = entry.get("ctisync", {})
        lines = {hit.id: bytes(hit.source) for hit in self._hits()}
        settled = ours.get("swap") is None and ours.get("state", {}).get("range_to") is None
        return Content(int(entry["offset"]), lines, settled)

    def leftovers(self, *, wrote: bool) -> list[str]:
        every = _files(self.state)
        if (lease := self._entry()["ctisync"].get("lease")) is not None:
            every.append(f"the lease {lease}")
        generations = {
            name: sorted(index["aliases"])
            for name, index in self._node.request("GET", "/_all/_alias").items()
            if name.startswith("ctisync-") and name != HISTORY
        }
        others = {name: aliases for name, aliases in generations.items() if aliases != [INDEX]}
        if len(generations) - len(others) != 1 or any(others.values()):
            every.append(f"generations with these aliases: {generations}")
        if len(others) > (0 if wrote else 1):
            every.append(f"{len(others)} generations that are not live")
        return every

    def size(self) -> int:
        return len(self._node.request("GET", "/_cat/indices?format=json&expand_wildcards=all"))

    def keep_evidence(self, folder: Path) -> None:
        """The node's data as they are on the disk, and what it says itself."""
        self._node.request("POST", "/_flush")
        for data in self._data.glob("ctisync-opensearch-*"):
            shutil.copytree(data, folder / "node", ignore_dangling_symlinks=True)
        state = {
            what: self._node.request("GET", what)
            for what in ("/_alias", "/_cat/indices?format=json", "/_settings")
        }
        state["state"] = self._entry()
        (folder / "said.json").write_text(json.dumps(state, indent=1))
        lines = b"\n".join(bytes(hit.source) for hit in self._hits())
        (folder / "content.ndjson").write_bytes(lines)

    def alter_a_record(self) -> None:
        first = self._hits()[0]
        self._node.request("POST", f"/{INDEX}/_doc/{first.id}", {**json.loads(first.source), "payload": {}})

    def _hits(self) -> list[_Hit]:
        self._node.request("POST", f"/{INDEX}/_refresh")
        search = {"size": 5000, "query": {"match_all": {}}}
        reply = self._node.client.post(f"/{INDEX}/_search", json=search).raise_for_status()
        return msgspec.json.decode(reply.content, type=_Search).hits.hits

    def _aliases(self) -> set[str]:
        indices = self._node.request("GET", "/_alias")
        return {alias for index in indices.values() for alias in index["aliases"]}

    def _entry(self) -> dict[str, Any]:
        """The consumer's field of the state document; empty when there is none."""
        reply = self._node.client.get(f"/wazuh-context/_doc/{self._context}")
        if reply.status_code == 404:
            return {}
        entry: dict[str, Any] = reply.raise_for_status().json()["_source"].get(self._consumer, {})
        return entry


def _files(state: Path, kept: str | None = None) -> list[str]:
    """What lies in a state folder, but for files with the suffix `kept` and for lock files that are free."""
    return [
        path.name
        for path in sorted(state.iterdir())
        if path.suffix != kept and not (path.suffix == ".lock" and b"pid" not in path.read_bytes())
    ]
