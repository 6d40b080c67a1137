"""docs/match.md: its commands run, and its members are those of a match."""

import json
import re
from pathlib import Path

from tests.docs import page
from tests.docs.shell import ROOT, run
from tests.support.feed_simulator import FeedSimulator
from tests.support.scanner_tables import PAYLOADS

PAGE = (ROOT / "docs" / "match.md").read_text()


def test_each_command_shown_does_what_it_says(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator
) -> None:
    version = {"version": "0", "lessThan": "3.0.3", "status": "affected"}
    entry = {"vendor": "debian", "product": "openssl", "platforms": ["bookworm"], "versions": [version]}
    score = {"baseScore": 9.8, "baseSeverity": "CRITICAL"}
    container = {
        "providerMetadata": {"x_subShortName": "debian"},
        "affected": [entry],
        "metrics": [{"cvssV3_1": score}],
    }
    feed.history.create("CVE-2024-3094", {"containers": {"adp": [container]}})
    for name, payload in PAYLOADS.items():
        feed.history.create(name, payload)
    (tmp_path / "packages.txt").write_text("openssl\t3.0.2\tDebian OpenSSL Team\tii \n")
    assert run("ctisync sync -q", environment, tmp_path).stderr == ""
    lines = [line for block in page.blocks(PAGE, "sh") for line in page.commands(block.text)]
    assert len(lines) == 6
    for line in lines:
        ended = run(line, environment, tmp_path)
        assert ended.returncode == (12 if "--exit-code" in line else 0), line
        assert "CVE-2024-3094" in ended.stdout
        assert "packages-matched" in ended.stderr
    hit = json.loads(run(lines[2], environment, tmp_path).stdout)["hits"][0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.split("## Output")[1], re.MULTILINE)
    assert set(hit) == set(re.findall(r"`(\w+)`", " ".join(rows)))
