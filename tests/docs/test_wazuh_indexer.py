"""docs/wazuh-indexer.md: the table names each request that ctisync sends, the roles give what it says, and
that is what a real OpenSearch performs for them. The security plugin itself is not there."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from ctisync.settings import load_settings
from tests.cli.conftest import Ctisync
from tests.docs import page
from tests.docs.indexer import endpoints, indexer
from tests.docs.privileges import (
    PAGE,
    ROLES,
    actions_in,
    on_the_alias,
    on_the_alias_it_says,
    required_by,
    role,
    role_privileges,
    rows,
)
from tests.docs.reader import Reader
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.http_proxy import Answer, http_proxy
from tests.support.opensearch_download import DISTRIBUTIONS, class_path
from tests.support.opensearch_node import OpenSearchNode
from tests.support.stores import OPENSEARCH

TRACE: Final = "logger.org.opensearch.tasks.TaskManager"

ITS_OWN: Final = {"cluster:monitor/nodes/stats", "indices:monitor/stats"}
"""What a node asks itself now and then, to know how full its disk is."""

REQUESTED_BESIDES: Final = {
    "indices:data/write/delete": "by a bulk with deletes",
    "indices:admin/delete": "by changes of aliases that remove an index",
}
"""What the plugin asks for by what is in a request, although no action of that name is performed."""

TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}


class Traffic(NamedTuple):
    requests: set[str]
    actions: set[str]


@pytest.fixture
def ctisync(tmp_path: Path) -> Ctisync:
    return Ctisync(tmp_path)


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 300)
        simulator.publish_snapshot()
        yield simulator


def run(ctisync: Ctisync, *arguments: str, code: int = 0) -> str:
    ended = ctisync.run(*arguments)
    assert ended.returncode == code, f"{arguments}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def live(ctisync: Ctisync, feed: FeedSimulator, node: OpenSearchNode) -> None:
    """All that a writer's and a reader's commands do, with what makes them ask for more."""
    run(ctisync, "doctor", "-q", code=1)
    run(ctisync, "sync", "-q")
    churn(feed.history, 300)
    run(ctisync, "sync", "-q")
    feed.publish_snapshot()
    run(ctisync, "init-snapshot", "-q")
    read(ctisync)
    template = {"index_patterns": ["ctisync-*"], "priority": 9, "template": {"aliases": {"theirs": {}}}}
    node.request("PUT", "/_index_template/theirs", template)
    run(ctisync, "init-snapshot", "-q", code=3)
    node.request("DELETE", "/_index_template/theirs")
    churn(feed.history, 30, seed=2)
    run(ctisync, "sync", "-q")
    run(ctisync, "doctor", "-q")
    run(ctisync, "forget", "--consumer", "vd_4.8.0", "--dry-run")
    run(ctisync, "forget", "--consumer", "vd_4.8.0", "--yes")


def read(ctisync: Ctisync) -> None:
    run(ctisync, "status")
    run(ctisync, "status", "--json")
    assert "initialised" in run(ctisync, "history")
    run(ctisync, "log")
    name = json.loads(run(ctisync, "export").splitlines()[0])["name"]
    assert name in run(ctisync, "show", name)
    run(ctisync, "verify", "-q", "--deep")


@pytest.fixture(scope="module", params=OPENSEARCH)
def traffic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """What is asked for in a whole life, and what the node performs for that."""
    node: OpenSearchNode = request.getfixturevalue(OPENSEARCH[request.param])
    node.wipe()
    with FeedSimulator() as feed, indexer(node) as opened:
        populate(feed.history, 300)
        feed.publish_snapshot()
        ctisync = Ctisync(tmp_path_factory.mktemp("life"))
        ctisync.environ |= {"CTISYNC_CTI__URL": feed.url, "CTISYNC_STORE__URL": opened.url}
        ctisync.environ |= {"CTISYNC_HISTORY": "2", "CTISYNC_STORE__FACTS_INDEX": "true"}
        [about] = node.request("GET", "/_nodes/_local/settings")["nodes"].values()
        settings = about["settings"]
        log = Path(settings["path"]["logs"], f"{settings['cluster']['name']}.log")
        node.request("PUT", "/_cluster/settings", {"transient": {TRACE: "TRACE"}})
        since = log.stat().st_size
        live(ctisync, feed, node)
        actions = actions_in(log, since)
        node.request("PUT", "/_cluster/settings", {"transient": {TRACE: None}})
        yield Traffic(endpoints(opened.received), actions)
    node.wipe()


def test_each_request_that_is_sent_is_in_the_table(traffic: Traffic) -> None:
    assert traffic.requests - {request for row in rows() for request in row.requests} == set()


def test_each_request_of_the_table_is_sent(traffic: Traffic) -> None:
    assert {request for row in rows() for request in row.requests} - traffic.requests == set()


def test_the_role_permits_each_action_that_a_node_performs_for_them(traffic: Traffic) -> None:
    may = role_privileges("ctisync")
    assert {"indices:data/write/bulk", "indices:admin/aliases"} < traffic.actions, "nothing was looked at"
    own = {"indices:admin/index_template/put", "indices:admin/index_template/delete", *ITS_OWN}
    assert {action for action in traffic.actions - own if not may.permits(action)} == set()


def test_the_role_permits_nothing_that_is_not_needed(traffic: Traffic) -> None:
    permitted = {privilege for group in role_privileges("ctisync") for privilege in group}
    needed = traffic.actions | REQUESTED_BESIDES.keys()
    assert {privilege for privilege in permitted if privilege.removesuffix("*") not in needed} == set()


@pytest.mark.parametrize(("name", "readers"), [("ctisync", False), ("ctisync_reader", True)])
def test_the_roles_give_what_the_table_says_and_no_more(name: str, readers: bool) -> None:
    assert role_privileges(name) == required_by([row for row in rows() if row.readers or not readers])


def test_on_the_alias_the_roles_give_what_the_page_says_so_that_no_index_of_that_name_is_lost() -> None:
    assert on_the_alias("ctisync") == on_the_alias_it_says()
    assert on_the_alias("ctisync_reader") == {"indices:admin/get"}


@pytest.mark.parametrize("version", DISTRIBUTIONS)
def test_each_privilege_is_an_action_of_opensearch(version: str) -> None:
    (server,) = [jar for jar in class_path(version) if jar.name == f"opensearch-{version}.jar"]
    with zipfile.ZipFile(server) as jar:
        code = b"".join(jar.read(name) for name in jar.namelist() if name.endswith("Action.class"))
    named = {
        privilege for file in ROLES.iterdir() for group in role_privileges(file.stem) for privilege in group
    }
    assert all(re.fullmatch(r"(cluster|indices):[a-z_/]+\*?", privilege) for privilege in named)
    assert {each for each in named if each.removesuffix("*").encode() not in code} == set()


def test_who_has_the_readers_role_alone_reads_everything(
    ctisync: Ctisync, feed: FeedSimulator, clean_node: OpenSearchNode
) -> None:
    ctisync.environ |= {"CTISYNC_CTI__URL": feed.url, "CTISYNC_COMMAND_MANAGER__ENABLED": "false"}
    for _ in range(2):
        ctisync.environ["CTISYNC_STORE__URL"] = clean_node.url
        run(ctisync, "init-snapshot", "-q")
    readers = {request for row in rows() if row.readers for request in row.requests}

    with indexer(clean_node, lambda request: request in readers) as opened:
        ctisync.environ["CTISYNC_STORE__URL"] = opened.url
        read(ctisync)
        assert run(ctisync, "export").count("\n") == len(feed.expected_lines())
        refused = ctisync.run("sync", "-q")

    assert (refused.returncode, "no permissions for" in refused.stderr) == (3, True)
    assert readers <= endpoints(opened.received)


def test_the_administrators_commands_send_the_roles_as_they_are(tmp_path: Path) -> None:
    person = Reader(tmp_path, None)
    with http_proxy(None) as api:
        api.intercept = lambda _: Answer(201, b"{}", {"Content-Type": "application/json"})
        person.names["https://indexer.example:9200"] = api.url
        person.types(TYPED["roles"])
        person.types(TYPED["administrator"])

    sent = {request.target: (request.method, json.loads(request.body)) for request in api.received}
    assert sent == {
        f"/_plugins/_security/api/roles/{file.stem}": ("PUT", role(file.stem)) for file in ROLES.iterdir()
    }


def test_the_user_has_a_role_that_there_is() -> None:
    (block,) = page.blocks(PAGE, "json")
    assert [role(name) for name in json.loads(block.text)["opendistro_security_roles"]]


def test_the_settings_and_the_commands_after_them_lead_to_a_content(
    tmp_path: Path, feed: FeedSimulator, clean_node: OpenSearchNode
) -> None:
    person = Reader(tmp_path, feed)
    block, _ = page.blocks(PAGE, "toml")
    for name in ("password", "root-ca.pem"):
        (person.place("/etc/ctisync") / name).write_text("x")
    with indexer(clean_node) as opened:
        text = block.text.replace("/etc/ctisync", str(person.place("/etc/ctisync")))
        file = person.home / ".config" / "ctisync" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(text.replace("https://indexer.example:9200", opened.url))
        for command in page.commands(TYPED["first"]):
            printed = person.type(command)
            assert printed.code == (1 if command == "ctisync doctor" else 0), printed.text

    assert (
        load_settings(file, {"HOME": str(person.home)}, system_file=tmp_path / "none").settings.store.username
        == "ctisync"
    )
    [index] = clean_node.request("GET", "/wazuh-cve/_alias")
    assert index.startswith("ctisync-wazuh-cve-")
    assert clean_node.request("GET", "/wazuh-cve/_count")["count"] == len(feed.expected_lines())


def test_the_example_is_printed_with_what_it_says_of_itself(ctisync: Ctisync) -> None:
    listed: dict[str, Any] = {
        line.split()[0]: line.split(maxsplit=1)[1] for line in run(ctisync, "examples").splitlines()
    }
    for file in ROLES.iterdir():
        assert listed[f"opensearch/{file.name}"] == role(file.stem)["description"]
