"""docs/monitoring.md: each metric is there, hooks are told what it says, the rules watch what is written."""

import re
import tomllib
from pathlib import Path

from ctisync.core.pass_report import PassReport
from ctisync.notifications.hooks import variables
from ctisync.notifications.metrics import GAUGES
from ctisync.settings import load_settings
from tests.docs import page
from tests.docs.shell import ROOT
from tests.unit.test_pass_report import GOOD

PAGE = (ROOT / "docs" / "monitoring.md").read_text()
RULES = (ROOT / "examples" / "prometheus" / "alerts.yml").read_text()
METRICS = {"ctisync_info", *GAUGES}


def test_each_metric_is_in_the_table_and_each_there_is_written() -> None:
    assert set(re.findall(r"^\| `(ctisync_\w+)` \|", PAGE, re.MULTILINE)) == METRICS


def test_hooks_get_the_variables_of_the_page() -> None:
    report: PassReport = GOOD
    assert set(re.findall(r"`(HOOK_\w+)`", PAGE)) == set(variables("update", report))


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    (text,) = (block.text for block in page.blocks(PAGE, "toml"))
    file = tmp_path / "config.toml"
    file.write_text(text)
    settings = load_settings(file, {"HOME": str(tmp_path)}, system_file=tmp_path / "none").settings
    assert tomllib.loads(text)["hooks"]["on_update"] == list(settings.hooks.on_update)


def test_the_rules_watch_metrics_that_are_written() -> None:
    watched = set(re.findall(r"\bctisync_\w+", RULES))
    assert watched
    assert watched <= METRICS


def test_each_call_shown_is_understood() -> None:
    for arguments in page.ctisync_calls(PAGE):
        assert arguments[0] in ("sync", "status", "examples"), arguments
