"""What goes wrong with a store, and how a test brings it about; `tests/docs/test_hints_heal.py` mends it."""

import json
import os
from collections.abc import Callable
from typing import Any, Final

import pytest

from ctisync.core.model import Consumer
from ctisync.system.locks import lock_beside
from tests.docs.situations_node import with_strict_mapping
from tests.docs.situations_sqlite import damage, removed_in_the_middle
from tests.docs.stage import Stage
from tests.stores import opensearch_kit as kit
from tests.support import feed_failures as failures
from tests.support import records
from tests.support.feed_history import populate

CONSUMER: Final = Consumer()
ALIAS: Final = CONSUMER.index

Troubles = dict[str, tuple[Callable[[Stage], None], tuple[str, ...]]]
"""By name: what brings each of them about, and the commands that tell it."""


def live(stage: Stage) -> str:
    (name,) = stage.node.request("GET", f"/_alias/{ALIAS}")
    return str(name)


def change_aliases(stage: Stage, *actions: dict[str, Any]) -> None:
    stage.node.request("POST", "/_aliases", {"actions": list(actions)})


def alias_moved(stage: Stage) -> None:
    stage.node.request("PUT", "/somebodys")
    change_aliases(
        stage,
        {"remove": {"index": live(stage), "alias": ALIAS}},
        {"add": {"index": "somebodys", "alias": ALIAS}},
    )


def alias_shared(stage: Stage) -> None:
    stage.node.request("PUT", "/somebodys")
    change_aliases(stage, {"add": {"index": "somebodys", "alias": ALIAS}})


def two_generations(stage: Stage) -> None:
    first = live(stage)
    assert stage.passes("init-snapshot") == 0
    assert live(stage) != first
    change_aliases(stage, {"add": {"index": first, "alias": ALIAS}})


def index_in_the_place_of_the_alias(stage: Stage) -> None:
    change_aliases(stage, {"remove": {"index": live(stage), "alias": ALIAS}})
    stage.node.request("PUT", f"/{ALIAS}")


def template_with_an_alias(stage: Stage) -> None:
    stage.node.request(
        "PUT",
        "/_index_template/everything",
        {
            "index_patterns": ["*"],
            "priority": 700,
            "template": {"settings": {}, "aliases": {"all-of-them": {}}},
        },
    )
    stage.node.request("DELETE", f"/{live(stage)}")


def old_template_with_an_alias(stage: Stage) -> None:
    stage.node.request(
        "PUT", "/_template/everything", {"index_patterns": ["*"], "aliases": {"all-of-them": {}}}
    )
    stage.node.request("DELETE", f"/{live(stage)}")


def alias_moved_back(stage: Stage) -> None:
    """To the generation that was replaced last."""
    first = live(stage)
    assert stage.passes("init-snapshot") == 0
    change_aliases(
        stage,
        {"remove": {"index": live(stage), "alias": ALIAS}},
        {"add": {"index": first, "alias": ALIAS}},
    )


def as_many_shards_as_may_be(how: str) -> Callable[[Stage], None]:
    def bring_about(stage: Stage) -> None:
        stage.node.request("PUT", "/_cluster/settings", {how: {"cluster.max_shards_per_node": 1}})
        stage.node.request("DELETE", f"/{live(stage)}")

    return bring_about


def no_new_indices(stage: Stage) -> None:
    stage.node.request("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.create_index": True}})
    stage.node.request("DELETE", f"/{live(stage)}")


def block(name: str, where: str) -> Callable[[Stage], None]:
    def bring_about(stage: Stage) -> None:
        index = live(stage) if where == "the content" else where
        stage.node.request("PUT", f"/{index}/_settings", {f"index.blocks.{name}": True})

    return bring_about


def cluster_block(name: str, how: str) -> Callable[[Stage], None]:
    def bring_about(stage: Stage) -> None:
        stage.node.request("PUT", "/_cluster/settings", {how: {f"cluster.blocks.{name}": True}})

    return bring_about


def unblock(stage: Stage) -> None:
    """One at a time, as OpenSearch wants it."""
    for how in ("persistent", "transient"):
        for each in ("read_only", "read_only_allow_delete", "create_index"):
            stage.node.request("PUT", "/_cluster/settings", {how: {f"cluster.blocks.{each}": None}})
        stage.node.request("PUT", "/_cluster/settings", {how: {"cluster.max_shards_per_node": None}})
    for each in ("read_only", "read_only_allow_delete", "read", "write", "metadata"):
        stage.node.request("PUT", "/_all/_settings", {f"index.blocks.{each}": None})


def state_of_no_object(stage: Stage) -> None:
    content = kit.document(stage.node, CONSUMER)
    content["vd_4.8.0"]["ctisync"] = "?"
    kit.put_document(stage.node, CONSUMER, content)


def state_without_an_offset(stage: Stage) -> None:
    content = kit.document(stage.node, CONSUMER)
    del content["vd_4.8.0"]["offset"]
    kit.put_document(stage.node, CONSUMER, content)


def foreign_document(stage: Stage) -> None:
    stage.node.request("POST", f"/{ALIAS}/_doc?refresh=true", {"message": "what a beat sends"})


def overwritten_record(stage: Stage) -> None:
    name = json.loads(stage.feed.expected_lines()[0])["name"]
    stage.node.request("PUT", f"/{ALIAS}/_doc/{name}?refresh=true", {"message": "what a beat sends"})


def altered_records(stage: Stage) -> None:
    for line in stage.feed.expected_lines():
        name = json.loads(line)["name"]
        if stage.node.client.head(f"/{ALIAS}/_doc/{name}").status_code == 200:
            stage.node.request("PUT", f"/{ALIAS}/_doc/{name}", {"message": "what a beat sends"})


def another_mapping(stage: Stage) -> None:
    assert stage.passes() == 0
    with_strict_mapping(stage)
    populate(stage.feed.history, 1, first=7000)


def stored(stage: Stage, **fields: Any) -> None:
    """Alter fields of the state in the node's document."""
    changed = {name: fields.pop(name) for name in ("offset",) if name in fields}
    doc = {CONSUMER.name: {**changed, "ctisync": {"state": fields}}}
    stage.node.request("POST", f"/wazuh-context/_update/{CONSUMER.context}?refresh=true", {"doc": doc})


def range_that_cannot_be_on_a_node(stage: Stage) -> None:
    stored(stage, range_to=9_999_999)


def offset_out_of_range_on_a_node(stage: Stage) -> None:
    stored(stage, offset=-7)


def replaced_by_another(stage: Stage) -> None:
    """By a consumer that some other host follows."""
    file = stage.home / "another.ndjson"
    file.write_bytes(records.line("CVE-2026-1", 5) + b"\n")
    another = {"CTISYNC_CONSUMERS": '[{"context": "another", "consumer": "public"}]'}
    load = ("init-snapshot", "--replace", "--from", str(file), "--offset", "5")
    assert stage.run(*load, **another).code == 0


def facts_index(stage: Stage) -> None:
    """The settings want one, and no pass has filled it yet."""
    stage.environ["CTISYNC_STORE__FACTS_INDEX"] = "true"


def index_in_the_place_of_the_facts(stage: Stage) -> None:
    facts_index(stage)
    stage.node.request("PUT", f"/{ALIAS}-facts")


def facts_alias_elsewhere(stage: Stage) -> None:
    facts_index(stage)
    stage.node.request("PUT", "/somebodys", {"aliases": {f"{ALIAS}-facts": {}}})


def missing_facts(stage: Stage) -> None:
    facts_index(stage)
    assert stage.passes() == 0
    stage.node.request("POST", f"/{ALIAS}-facts/_delete_by_query?refresh=true", {"query": {"match_all": {}}})


ON_A_NODE: Final[Troubles] = {
    "no facts index yet": (facts_index, ("doctor",)),
    "an index in the place of the facts": (index_in_the_place_of_the_facts, ("sync", "doctor")),
    "the alias of the facts elsewhere": (facts_alias_elsewhere, ("sync",)),
    "facts are missing": (missing_facts, ("verify",)),
    "a range that cannot be": (range_that_cannot_be_on_a_node, ("sync", "status", "doctor")),
    "an offset out of range": (offset_out_of_range_on_a_node, ("sync",)),
    "the alias moved elsewhere": (alias_moved, ("sync",)),
    "another consumer has the alias": (replaced_by_another, ("sync", "doctor")),
    "the alias leads elsewhere, too": (alias_shared, ("export",)),
    "two generations under the alias": (two_generations, ("sync",)),
    "an index in the place of the alias": (index_in_the_place_of_the_alias, ("verify",)),
    "a template adds an alias": (template_with_an_alias, ("sync",)),
    "an old template adds an alias": (old_template_with_an_alias, ("sync",)),
    "the alias moved to another generation": (alias_moved_back, ("status", "doctor")),
    "as many shards as may be": (as_many_shards_as_may_be("persistent"), ("sync",)),
    "as many shards as may be for now": (as_many_shards_as_may_be("transient"), ("sync",)),
    "no new indices": (no_new_indices, ("sync", "doctor")),
    "the content is read-only": (block("read_only", "the content"), ("sync", "verify", "doctor")),
    "the content takes no writes": (block("write", "the content"), ("sync",)),
    "the content is not read": (block("read", "the content"), ("sync", "export")),
    "the content's metadata are not read": (block("metadata", "the content"), ("sync",)),
    "the state is read-only": (block("read_only", "wazuh-context"), ("sync",)),
    "all indices are full": (block("read_only_allow_delete", "_all"), ("sync", "verify", "doctor")),
    "the cluster is read-only": (cluster_block("read_only", "transient"), ("sync", "doctor")),
    "the cluster is read-only but for deletes": (
        cluster_block("read_only_allow_delete", "persistent"),
        ("sync",),
    ),
    "the state is no object": (state_of_no_object, ("sync",)),
    "the state lacks the offset": (state_without_an_offset, ("status",)),
    "a foreign document": (foreign_document, ("export", "verify")),
    "an overwritten record": (overwritten_record, ("export",)),
    "a record is altered before it changes": (altered_records, ("sync",)),
    "another mapping": (another_mapping, ("sync",)),
}


def damaged_file(stage: Stage) -> None:
    damage(stage)


def state_cut_short(stage: Stage) -> None:
    stage.alter_database("UPDATE consumers SET state = '{\"offset\": '")


def range_that_cannot_be(stage: Stage) -> None:
    stage.alter_database("UPDATE consumers SET state = json_set(state, '$.range_to', 9999999)")


def offset_without_content(stage: Stage) -> None:
    stage.alter_database("UPDATE consumers SET state = json_set(state, '$.content', json('false'))")


def schema_with_a_flipped_bit(stage: Stage) -> None:
    """SQLite's own message about it is no UTF-8 then."""
    whole = bytearray(stage.database.read_bytes())
    whole[whole.index(b"CREATE TABLE consumers") + len("CREATE TABLE cons")] ^= 0x80
    stage.database.write_bytes(whole)


def record_at_another_offset(stage: Stage) -> None:
    stage.alter_database("UPDATE records SET offset = 1901790 WHERE name = 'CVE-2004-10004'")


def trigger(stage: Stage) -> None:
    stage.alter_database("CREATE TRIGGER theirs AFTER DELETE ON records BEGIN SELECT 1; END")


def records_of_no_generation(stage: Stage) -> None:
    stage.alter_database("UPDATE records SET generation = 99 WHERE name = 'CVE-2004-10004'")


def folder_for_all(stage: Stage) -> None:
    stage.state.chmod(0o777)


def folder_below_one_for_all(stage: Stage) -> None:
    stage.state.parent.chmod(0o777)


def link_in_place_of_the_lock(stage: Stage) -> None:
    lock = lock_beside(stage.database, CONSUMER)
    lock.unlink()
    lock.symlink_to("/etc/hostname")


def lock_with_two_names(stage: Stage) -> None:
    (stage.home / "another name").hardlink_to(lock_beside(stage.database, CONSUMER))


def run_as_another_user(stage: Stage) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's files")
    for each in stage.state.iterdir():
        os.chown(each, 12345, 12345)


def feed_begun_anew(stage: Stage) -> None:
    stage.feed.reset()
    populate(stage.feed.history, 5)
    stage.feed.publish_snapshot()
    populate(stage.feed.history, 5, first=7000)


def other_resources(stage: Stage) -> None:
    stage.environ["CTISYNC_CONSUMERS"] = '[{"resources": ["CVE-2004-*", "CVE-2005-*"]}]'


def nothing_stored(stage: Stage) -> None:
    for each in stage.state.iterdir():
        each.unlink()


def spoilt_snapshot(stage: Stage) -> None:
    """By a proxy, say; what is asked for next comes whole."""
    stage.database.unlink()
    stage.feed.fail("snapshot", failures.html())


def command_not_accepted(stage: Stage) -> None:
    stage.environ["CTISYNC_COMMAND_MANAGER__URL"] = stage.manager.url
    stage.manager.fail(400)


def missing_folder(stage: Stage) -> None:
    stage.environ["CTISYNC_STORE__URL"] = f"sqlite:///{stage.home}/not there/ctisync.db"


def pipe_beside_the_file(stage: Stage) -> None:
    path = stage.database.with_name(f"{stage.database.name}-wal")
    path.unlink(missing_ok=True)
    os.mkfifo(path)


IN_A_FILE: Final[Troubles] = {
    "the file is damaged": (damaged_file, ("sync", "verify", "export", "status", "doctor")),
    "the state is cut short": (state_cut_short, ("sync", "verify", "status")),
    "a range that cannot be": (range_that_cannot_be, ("sync", "verify", "status", "doctor")),
    "an offset without content": (offset_without_content, ("sync", "update", "verify", "status", "doctor")),
    "one bit of the schema is another": (schema_with_a_flipped_bit, ("sync", "verify", "export", "status")),
    "a record at another offset": (record_at_another_offset, ("verify",)),
    "a trigger": (trigger, ("verify",)),
    "records of no generation": (records_of_no_generation, ("verify",)),
    "anyone may write to the folder": (folder_for_all, ("sync", "doctor")),
    "anyone may rename the folder": (folder_below_one_for_all, ("sync", "doctor")),
    "a link in the place of the lock": (link_in_place_of_the_lock, ("sync",)),
    "a pipe beside the file": (pipe_beside_the_file, ("sync", "verify", "export", "status", "doctor")),
    "the lock has two names": (lock_with_two_names, ("sync",)),
    "a pass was run as another user": (run_as_another_user, ("sync", "doctor")),
    "the feed has begun anew": (feed_begun_anew, ("sync", "status --remote")),
    "other resources are wanted": (other_resources, ("sync", "status")),
    "another consumer has the index": (replaced_by_another, ("sync",)),
    "nothing is stored": (nothing_stored, ("export", "update", "verify", "status", "doctor")),
    "the file goes away during a pass": (removed_in_the_middle, ("sync",)),
    "the command is not accepted": (command_not_accepted, ("sync",)),
    "the folder is missing": (missing_folder, ("sync", "status", "doctor")),
    "a snapshot that a proxy has spoilt": (spoilt_snapshot, ("sync",)),
}
