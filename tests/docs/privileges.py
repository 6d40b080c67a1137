"""The table of docs/wazuh-indexer.md: each request to an indexer and what it needs; the example roles."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from tests.docs.shell import ROOT

PAGE: Final = (ROOT / "docs" / "wazuh-indexer.md").read_text()
ROLES: Final = ROOT / "examples" / "opensearch"

ALIAS: Final = "wazuh-cve"
FACTS: Final = "wazuh-cve-facts"
STATE: Final = "wazuh-context"
HISTORY: Final = "ctisync-history"

_BY_ITSELF: Final = ("internal:", "indices:admin/seq_no/", "retention_lease_")
"""How the names of actions begin that a node performs for itself."""


class Row(NamedTuple):
    """`cluster` and `indices` are privileges; `readers`: a reader's commands send it too."""

    requests: tuple[str, ...]
    cluster: frozenset[str]
    indices: frozenset[str]
    readers: bool


class Privileges(NamedTuple):
    """What a user may: on the cluster, on contents and history, on the state. On the alias's own name less
    than on contents."""

    cluster: frozenset[str]
    contents: frozenset[str]
    state: frozenset[str]

    def permits(self, action: str) -> bool:
        return any(fnmatchcase(action, each) for group in self for each in group)


def rows() -> list[Row]:
    table = PAGE.split("## Every request, and what it needs")[1]
    every = []
    for line in table.splitlines():
        if line.startswith("| `"):
            requests, _, cluster, indices, readers = _cells(line)
            every.append(Row(tuple(_quoted(requests)), _set(cluster), _set(indices), readers == "yes"))
    return every


def required_by(some: list[Row]) -> Privileges:
    """What these rows need, all in all."""

    def of(*, state: bool) -> frozenset[str]:
        touching = [row for row in some if _touches(row, state=state)]
        return frozenset[str]().union(*(row.indices for row in touching))

    return Privileges(frozenset[str]().union(*(row.cluster for row in some)), of(state=False), of(state=True))


def role(name: str) -> Any:
    return json.loads((ROLES / f"{name}.json").read_text())


def role_privileges(name: str) -> Privileges:
    """What the role of that name gives."""
    content = role(name)
    alias, contents, state = content["index_permissions"]
    patterns = [each["index_patterns"] for each in (alias, contents, state)]
    assert patterns[0] in ([ALIAS], [ALIAS, FACTS])
    assert patterns[1:] == [["ctisync-*"], [STATE]]
    lists = (content["cluster_permissions"], contents["allowed_actions"], state["allowed_actions"])
    assert all(each == sorted(set(each)) for each in lists)
    assert set(alias["allowed_actions"]) < set(contents["allowed_actions"])
    return Privileges(*map(frozenset, lists))


def on_the_alias(name: str) -> set[str]:
    """What the role of that name gives on the alias's own name."""
    return set(role(name)["index_permissions"][0]["allowed_actions"])


def on_the_alias_it_says() -> set[str]:
    """What the page says that is asked for there."""
    [sentence] = [each for each in PAGE.split("\n\n") if each.startswith("On the names of the aliases")]
    return set(re.findall(r"`(indices:[^`]+)`", sentence))


def pattern(method: str, target: str) -> str:
    """A request as the table names it: `GET /CONTENT/_count`."""
    parts = unquote(urlsplit(target).path).strip("/").split("/")
    if parts[0] and not parts[0].startswith("_"):
        parts[0] = ",".join(sorted({_kind(name) for name in parts[0].split(",")}))
    if len(parts) == 3 and parts[1] in ("_doc", "_create"):
        parts[2] = "ID"
    return f"{method} /{'/'.join(parts)}"


def actions_in(log: Path, since: int) -> set[str]:
    """The actions that a node has performed, by its log from that byte on (`TaskManager` at TRACE).

    What a node does for itself is left out; the parts of an action on shards count as the action.
    """
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(since)
        begun = re.findall(r"register \d+ \[\w+\] \[([^\]\[]+)(?:\[[^\]]*\])*\]", stream.read())
    return {action for action in begun if not action.startswith(_BY_ITSELF)}


def _kind(name: str) -> str:
    if name in (STATE, HISTORY):
        return name
    return "CONTENT" if name in (ALIAS, FACTS) or name.startswith(("ctisync-", "of-ctisync-")) else name


def _touches(row: Row, *, state: bool) -> bool:
    names = {name for request in row.requests for name in request.split("/")[1].split(",")}
    return STATE in names if state else bool(names - {STATE})


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _set(cell: str) -> frozenset[str]:
    return frozenset(_quoted(cell))
