"""examples/prometheus/dashboard.json: each figure that is written is on it, and no other."""

import json
import re
from collections import Counter
from itertools import product
from typing import Any

from ctisync.errors import BUG, DONE, CtisyncError, Stopped
from ctisync.notifications.metrics import GAUGES
from tests.docs.shell import ROOT

Json = Any

BOARD: Json = json.loads((ROOT / "examples" / "prometheus" / "dashboard.json").read_text())
PANELS: list[Json] = BOARD["panels"]
EXPRESSIONS = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in PANELS}
VARIABLES = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
WRITTEN = {"ctisync_info", *GAUGES}


def metrics(text: str) -> set[str]:
    return set(re.findall(r"\bctisync_\w+", text))


def test_every_figure_that_a_pass_writes_is_on_a_panel_and_none_else() -> None:
    queried = {name for each in EXPRESSIONS.values() for expression in each for name in metrics(expression)}
    assert queried == WRITTEN


def test_the_choices_of_hosts_and_consumers_come_from_what_is_written() -> None:
    queries = [variable["query"]["query"] for variable in VARIABLES.values() if variable["type"] == "query"]
    assert len(queries) == 2
    assert all(metrics(query) and metrics(query) <= WRITTEN for query in queries)


def test_each_figure_is_that_of_the_chosen_hosts_and_consumers() -> None:
    for expressions in EXPRESSIONS.values():
        for expression in expressions:
            figures = re.findall(r"\bctisync_(?!info)\w+(\{.*?\})?", expression)
            assert figures
            assert set(figures) == {'{instance=~"$instance", consumer=~"$consumer"}'}, expression


def test_each_variable_that_is_used_is_there_and_each_there_is_used() -> None:
    text = json.dumps([PANELS, [variable.get("query") for variable in VARIABLES.values()]])
    assert set(re.findall(r"\$\{?(\w+)", text)) == set(VARIABLES)


def test_the_data_source_is_the_readers_choice() -> None:
    assert VARIABLES["datasource"]["type"] == "datasource"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    of_queries = [VARIABLES["instance"], VARIABLES["consumer"]]
    assert [each["title"] for each in PANELS if each["datasource"] != chosen] == []
    assert [each["name"] for each in of_queries if each["datasource"] != chosen] == []


def test_no_two_panels_are_the_same_or_lie_on_one_another() -> None:
    assert max(Counter(panel["id"] for panel in PANELS).values()) == 1
    assert max(Counter(panel["title"] for panel in PANELS).values()) == 1
    cells: Counter[tuple[int, int]] = Counter()
    for place in (panel["gridPos"] for panel in PANELS):
        assert place["x"] + place["w"] <= 24
        cells.update(
            product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
    assert max(cells.values()) == 1


def test_each_query_of_a_panel_has_a_name_of_its_own() -> None:
    for panel in PANELS:
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"])


def test_every_exit_code_is_put_into_words() -> None:
    codes = {DONE, BUG, 130, 143, *(kind.exit_code for kind in kinds(CtisyncError) if kind is not Stopped)}
    mapped = [
        {int(code) for code in mapping["options"]}
        for panel in PANELS
        if "ctisync_pass_exit_code" in str(panel["targets"])
        for mapping in panel["fieldConfig"]["defaults"]["mappings"]
    ]
    assert mapped == [codes, codes]


def kinds(kind: type[CtisyncError]) -> set[type[CtisyncError]]:
    below = kind.__subclasses__()
    return {*below, *(further for each in below for further in kinds(each))}
