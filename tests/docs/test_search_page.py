"""docs/search.md: its commands run, and its members are those of a hit."""

import json
import re
from pathlib import Path

from tests.docs import page
from tests.docs.shell import ROOT, run
from tests.support.feed_simulator import FeedSimulator
from tests.support.scanner_tables import PAYLOADS

PAGE = (ROOT / "docs" / "search.md").read_text()


def test_each_command_shown_does_what_it_says(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator
) -> None:
    version = {"version": "0", "lessThan": "3.0.3", "status": "affected"}
    entry = {"vendor": "openssl", "product": "openssl", "versions": [version]}
    score = {"baseScore": 9.8, "baseSeverity": "CRITICAL"}
    container = {
        "providerMetadata": {"x_subShortName": "nvd"},
        "affected": [entry],
        "metrics": [{"cvssV3_1": score}],
    }
    feed.history.create("CVE-2024-3094", {"containers": {"cna": container}})
    for name, payload in PAYLOADS.items():
        feed.history.create(name, payload)
    assert run("ctisync sync -q", environment, tmp_path).stderr == ""
    lines = [line for block in page.blocks(PAGE, "sh") for line in page.commands(block.text)]
    assert len(lines) == 12
    for line in lines:
        ended = run(line, environment, tmp_path)
        assert (ended.returncode, ended.stderr) == (12 if "--exit-code" in line else 0, ""), line
        assert ended.stdout
        assert "--exit-code" not in line or ended.stdout == "CVE-2024-3094\n"


def test_each_member_of_a_hit_is_in_the_table(environment: dict[str, str], tmp_path: Path) -> None:
    run("ctisync sync -q", environment, tmp_path)
    answer = json.loads(run("ctisync search --json --limit 1", environment, tmp_path).stdout)
    rows = re.findall(r"^\| (`name`[^|]*|`\w+`(?:, `\w+`)*) \|", PAGE.split("## Output")[1], re.MULTILINE)
    assert set(answer["hits"][0]) == set(re.findall(r"`(\w+)`", " ".join(rows)))
