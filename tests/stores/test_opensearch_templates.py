"""Index templates of other programs that fit our indices: the content is right, or stays as it was."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, Literal

import pytest

from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.stores import opensearch_kit as kit
from tests.support.figures import figure
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record
from tests.support.stores import OPENSEARCH

OLD: Final = record("CVE-2020-1", 1, {"dataType": "CVE_RECORD", "x_new": [{"a": 1}, 2]})
NEW: Final = record("CVE-2020-2", 2, {"dataType": "CVE_RECORD"})
CHANGED: Final = record("CVE-2020-3", 25, {"dataType": "CVE_RECORD"})

Kind = Literal["legacy", "lowest", "highest"]
End = Literal["works", "refused"]

OWN_ALIAS: Final = "the consumer's own alias"


class Case:
    """A template's body, and how an initialisation ends: alike for all kinds, but for `exceptions`."""

    def __init__(self, ends: End, body: dict[str, Any], **exceptions: End) -> None:
        self.body = body
        self._ends = ends
        self._exceptions = exceptions

    def ends(self, kind: Kind) -> End:
        return self._exceptions.get(kind, self._ends)


def mapped(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"mappings": {"properties": properties}}


STRICT: Final = {"mappings": {"dynamic": "strict"}}
DYNAMIC: Final = {
    "dynamic": True,
    "dynamic_templates": [{"all": {"match": "*", "mapping": {"type": "keyword"}}}],
}
NO_DOC_VALUES: Final = {"doc_values": False}

# One of the old kind is merged into our fields, one of the new kind is replaced by them.
CASES: Final = {
    "a strict mapping": Case("works", STRICT),
    "fields of a payload": Case("refused", mapped(payload={"properties": {"dataType": {"type": "integer"}}})),
    "fields by themselves": Case("works", {"mappings": DYNAMIC}),
    "a field that no record has": Case("works", mapped(timestamp={"type": "date"})),
    "no source": Case("refused", {"mappings": {"_source": {"enabled": False}}}),
    "a source without payload": Case("refused", {"mappings": {"_source": {"excludes": ["payload"]}}}),
    "a source as ever": Case("works", {"mappings": {"_source": {"enabled": True}}}),
    "all of a source": Case("works", {"mappings": {"_source": {"includes": [], "excludes": []}}}),
    "no routing": Case("works", {"mappings": {"_routing": {"required": False}}}),
    "routing": Case("refused", {"mappings": {"_routing": {"required": True}}}),
    "short names": Case("works", mapped(name={"type": "keyword", "ignore_above": 3}), legacy="refused"),
    "names without order": Case("works", mapped(name={"type": "keyword", **NO_DOC_VALUES}), legacy="refused"),
    "offsets without order": Case(
        "works", mapped(offset={"type": "long", **NO_DOC_VALUES}), legacy="refused"
    ),
    "versions as numbers": Case("refused", mapped(version={"type": "integer"}), legacy="works"),
    "copies": Case("works", {"settings": {"number_of_replicas": 3, "auto_expand_replicas": "0-all"}}),
    "many shards": Case("works", {"settings": {"number_of_shards": 5, "refresh_interval": "60s"}}),
    "hidden": Case("works", {"settings": {"index.hidden": True}}),
    "a pipeline": Case("works", {"settings": {"index.default_pipeline": "nowhere"}}),
    "a search pipeline": Case("works", {"settings": {"index.search.default_pipeline": "nowhere"}}),
    "pages of one record": Case("works", {"settings": {"index.max_result_window": 1}}),
    "no writing": Case("works", {"settings": {"index.blocks.write": True}}),
    "only reading": Case("works", {"settings": {"index.blocks.read_only": True}}),
    "one field at most": Case("works", {"settings": {"index.mapping.total_fields.limit": 1}}),
    "an order by nothing": Case("refused", {"settings": {"index.sort.field": "nothing"}}),
    "another alias": Case("refused", {"aliases": {"everything": {}}}),
    OWN_ALIAS: Case("refused", {"aliases": {OWN_ALIAS: {"filter": {"term": {"name": "x"}}}}}),
}


@pytest.fixture(params=["opensearch-2.19.1", pytest.param("opensearch-3.3.2", marks=pytest.mark.long)])
def node(request: pytest.FixtureRequest) -> Iterator[OpenSearchNode]:
    """A cluster whose templates are the test's own."""
    opened: OpenSearchNode = request.getfixturevalue(OPENSEARCH[request.param])
    opened.wipe()
    yield opened
    opened.wipe()


@contextmanager
def template(node: OpenSearchNode, kind: Kind, body: dict[str, Any]) -> Iterator[None]:
    """One for the alias's own names (as Wazuh's template is), and for all of ours."""
    patterns = {"index_patterns": ["wazuh-cve*", "*ctisync-*"]}
    if kind == "legacy":
        target, content = "/_template/theirs", patterns | body
    else:
        priority = 0 if kind == "lowest" else 2**31 - 1
        target, content = "/_index_template/theirs", {**patterns, "priority": priority, "template": body}
    node.request("PUT", target, content)
    try:
        yield
    finally:
        node.request("DELETE", target)


@pytest.mark.parametrize("kind", ["legacy", pytest.param("lowest", marks=pytest.mark.long), "highest"])
def test_a_template_that_fits_our_indices_alters_nothing_and_is_named(
    node: OpenSearchNode, kind: Kind
) -> None:
    with closing(kit.open_store(node)) as store:
        ended = {name: initialised_beside(node, store, kind, case.body) for name, case in CASES.items()}
    assert ended == {name: case.ends(kind) for name, case in CASES.items()}
    works = sum(each == "works" for each in ended.values())
    figure(
        f"OpenSearch {node.version}, {len(ended)} hostile templates ({kind}): {works} without effect, "
        f"{len(ended) - works} refused by name, live content unchanged in all"
    )


def initialised_beside(node: OpenSearchNode, store: OpenSearchStore, kind: Kind, body: dict[str, Any]) -> End:
    """How an initialisation ends that meets the template; what readers find is looked at."""
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, [OLD], 10)
    with template(node, kind, json.loads(json.dumps(body).replace(OWN_ALIAS, consumer.index))):
        refusal = None
        try:
            kit.initialise(store, consumer, [OLD, NEW], 20)
        except ConfigurationError as error:
            refusal = error
    if refusal is not None:
        assert "index template theirs" in str(refusal.hint)
        assert kit.lines(store, consumer) == [OLD.line]
        assert store.read_state(consumer).offset == 10
        assert list(kit.aliases(node, consumer).values()) == [{consumer.index}], "it has left something"
        return "refused"
    with store.writer(consumer) as writer:
        kit.apply(writer, [CHANGED], 30)
    kit.refresh(node, consumer)
    assert kit.lines(store, consumer) == [OLD.line, NEW.line, CHANGED.line]
    return "works"
