"""What the page shows of OpenSearch and its Command Manager: access, taken names, leases, trouble."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trustme

from ctisync.core.model import Consumer
from ctisync.stores.opensearch.lease import new_lease
from tests.docs.situations import situation
from tests.docs.stage import INDEXER, Printed, Stage
from tests.stores import opensearch_kit as kit
from tests.support.feed_history import populate
from tests.support.feed_simulator import unused_port
from tests.support.http_proxy import Answer, http_proxy
from tests.support.opened import no_process
from tests.support.raw_server import RawServer, raw, response

CONSUMER = Consumer()

NOT_PERMITTED = {
    "error": {
        "type": "security_exception",
        "reason": "no permissions for [indices:data/read/get] and User [name=ctisync, roles=[reader]]",
    }
}


def refused_by_all(stage: Stage, status: str, document: object, **environ: str) -> Printed:
    """A pass on a server that answers every request so."""
    refusal = response(status, json.dumps(document).encode(), "Content-Type: application/json")
    with RawServer(raw(refusal)) as server:
        stage.use_store(server.origin)
        return stage.run("sync", "-q", **environ)


@contextmanager
def answering(upstream: str, part: str, status: int, document: object) -> Iterator[str]:
    """The URL of a server that answers so where a target holds `part`, and hands on all other requests."""
    answer = Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with http_proxy(upstream) as proxy:
        proxy.intercept = lambda request: answer if part in request.target else None
        yield proxy.url


def without_shards(stage: Stage, name: str) -> None:
    """The index of this name or alias is red: no node may have its primary shard."""
    made_again(stage, name, settings={"index.routing.allocation.require._name": "nobody"})


def made_again(stage: Stage, name: str, **changes: Any) -> None:
    """Somebody has made the index anew, under its old names."""
    [(real, made)] = stage.node.request("GET", f"/{name}").items()
    body = {"aliases": made["aliases"], "mappings": made["mappings"], **changes}
    stage.node.request("DELETE", f"/{real}")
    stage.node.request("PUT", f"/{real}?wait_for_active_shards=0", body)


def with_strict_mapping(stage: Stage) -> None:
    [made] = stage.node.request("GET", "/wazuh-cve").values()
    properties = {
        name: kind for name, kind in made["mappings"]["properties"].items() if name != "inserted_at"
    }
    made_again(
        stage, "wazuh-cve", mappings=made["mappings"] | {"dynamic": "strict", "properties": properties}
    )


def fill_up(stage: Stage) -> None:
    """What a node does to all its indices when its disk is full."""
    stage.node.request("PUT", "/_all/_settings", {"index.blocks.read_only_allow_delete": True})


def login(stage: Stage) -> dict[str, str]:
    password = stage.settings / "password"
    password.write_text("another")
    return {"CTISYNC_STORE__USERNAME": "ctisync", "CTISYNC_STORE__PASSWORD_FILE": str(password)}


@situation("store-401")
def _(stage: Stage) -> Printed:
    return refused_by_all(stage, "401 Unauthorized", {}, **login(stage))


@situation("store-403")
def _(stage: Stage) -> Printed:
    return refused_by_all(stage, "403 Forbidden", NOT_PERMITTED, **login(stage))


@situation("store-tls")
def _(stage: Stage) -> Printed:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with RawServer(lambda line, request: None, tls=context) as server:
        url = server.origin.replace("127.0.0.1", "localhost")
        stage.use_store(url)
        stage.names[url.removeprefix("https://")] = "indexer.example:9200"
        stage.names["-servername localhost"] = "-servername indexer.example"
        return stage.run("sync", "-q")


@situation("store-unreachable")
def _(stage: Stage) -> Printed:
    port = unused_port()
    stage.use_store(f"http://127.0.0.1:{port}")
    stage.names[f"HTTPConnection(host='127.0.0.1', port={port})"] = (
        "HTTPSConnection(host='indexer.example', port=9200)"
    )
    return stage.run("sync", "-q")


@situation("foreign-index", node=True)
def _(stage: Stage) -> Printed:
    stage.node.request("PUT", "/wazuh-cve")
    return stage.run("sync", "-q")


@situation("pass-elsewhere", node=True)
def _(stage: Stage) -> Printed:
    stage.follow(30)
    until = int(time.time()) + 600
    kit.put_lease(stage.node, CONSUMER, owner="ctisync", host="node-2 (machine 3f9a1c27)", until=until)
    return stage.run("sync").last(2)


@situation("pass-missing", node=True)
def _(stage: Stage) -> Printed:
    stage.follow(30)
    host, until = new_lease().host, int(time.time()) + 600
    stage.names[host] = "node-1 (machine 8c55d02e)"
    kit.put_lease(stage.node, CONSUMER, owner="ctisync", host=host, pid=no_process(), until=until)
    return stage.run("sync").last(2)


@situation("flood-stage", node=True)
def _(stage: Stage) -> Printed:
    stage.follow(30)
    fill_up(stage)
    return stage.run("sync", "-q")


@situation("too-many-shards", node=True)
def _(stage: Stage) -> Printed:
    stage.follow(30)
    [content] = stage.node.request("GET", "/_alias/wazuh-cve")
    stage.node.request("DELETE", f"/{content}")
    limit = "cluster.max_shards_per_node"
    stage.node.request("PUT", "/_cluster/settings", {"persistent": {limit: 1}})
    try:
        return stage.run("sync", "-q").last(2)
    finally:
        stage.node.request("PUT", "/_cluster/settings", {"persistent": {limit: None}})


@situation("red", node=True)
def _(stage: Stage) -> Printed:
    stage.follow(30)
    without_shards(stage, "wazuh-context")
    return stage.run("sync", "-q")


@situation("mapping", node=True)
def _(stage: Stage) -> Printed:
    stage.follow()
    with_strict_mapping(stage)
    populate(stage.feed.history, 1, first=7000)
    return stage.run("sync", "-q")


@situation("too-large", node=True)
def _(stage: Stage) -> Printed:
    stage.follow()
    populate(stage.feed.history, 1, first=7000)
    with answering(stage.node.url, "filter_path=items", 413, {}) as url:
        stage.names[url] = INDEXER
        return stage.run("sync", "-q", CTISYNC_STORE__URL=url)


@situation("store-hidden", node=True)
def _(stage: Stage) -> Printed:
    reason = "Update is not supported when FLS or DLS or Fieldmasking is activated"
    body = {"error": {"type": "security_exception", "reason": reason}, "status": 500}
    with answering(stage.node.url, "_bulk", 500, body) as url:
        stage.names[url] = INDEXER
        return stage.run("sync", "-q", CTISYNC_STORE__URL=url, **login(stage))


@situation("newer-state", node=True)
def _(stage: Stage) -> Printed:
    stage.follow()
    content = kit.document(stage.node, CONSUMER)
    content["vd_4.8.0"]["ctisync"]["schema"] = 2
    kit.put_document(stage.node, CONSUMER, content)
    return stage.run("sync", "-q")


@situation("no-plugin", node=True)
def _(stage: Stage) -> Printed:
    del stage.environ["CTISYNC_COMMAND_MANAGER__URL"]
    return stage.run("sync", "-q")


@situation("command-unreachable")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    nobody = f"http://127.0.0.1:{unused_port()}"
    stage.names[nobody] = INDEXER
    return stage.run("sync", "-q", CTISYNC_COMMAND_MANAGER__URL=nobody)
