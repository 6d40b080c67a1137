"""`ctisync match` as people and programs use it."""

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.scanner_tables import PAYLOADS


def container(source: str, *affected: dict[str, Any], base: float = 7.5, **more: Any) -> dict[str, Any]:
    word = "HIGH" if base >= 7 else "LOW"
    return {
        "providerMetadata": {"x_subShortName": source},
        "affected": list(affected),
        "metrics": [{"cvssV3_1": {"baseScore": base, "baseSeverity": word}}],
        **more,
    }


def entry(product: str, bound: str, vendor: str = "debian", **more: Any) -> dict[str, Any]:
    version = {"version": "0", "lessThan": bound, "status": "affected"}
    return {"vendor": vendor, "product": product, "versions": [version], **more}


RECORDS = {
    # The score of Debian's matches is that of NVD.
    "CVE-2024-1": {
        "cna": container("nvd", entry("openssl", "3.1", "openssl"), base=9.8, title="A hole\x1b[2J"),
        "adp": [container("debian", entry("openssl", "3.0.3-1", platforms=["bookworm"]), base=2.0)],
    },
    "CVE-2024-2": {"cna": container("nvd"), "adp": [container("debian", entry("openssl", "3.0.1-1"))]},
    "CVE-2024-3": {
        "cna": container("nvd", base=1.0),
        "adp": [
            container("debian", {"vendor": "debian", "product": "libwall1", "defaultStatus": "affected"})
        ],
    },
    "CVE-2024-4": {
        "cna": container(
            "nvd",
            entry("windows_10_22h2", "10.0.19045.5000", "microsoft"),
            x_remediations={"windows": [{"anyOf": ["KB1", "KB2"]}]},
        )
    },
    "CVE-2024-5": {"cna": container("nvd", entry("windows_10_22h2", "10.0.19045.5000", "microsoft"))},
    "CVE-2024-6": {"cna": container("nvd", entry("suite", "4.3", "suite_foundation"))},
    "CVE-2024-7": {"cna": container("nvd"), "adp": [container("debian", entry("door", "?!"))]},
}

DPKG = (
    "openssl\t3.0.2-1\tDebian OpenSSL Team <x@debian.org>\tii \n"
    "libwall1\t5.0\tSomebody <me@example.org>\tii \n"
    "door\t1.0\tDebian Doors\tii \n"
    "bash\t5.2\tDebian Bash\tii \n"
    "nothing\t1.0\t\tii \n"
    "an odd line\n"
)

WINDOWS = {
    "host": {
        "os": {
            "platform": "windows",
            "name": "Microsoft Windows 10 Pro",
            "version": "10.0.19045.4043",
            "distribution": {"release": "22H2"},
        }
    }
}
SUITE = {
    "package": {
        "name": "Office Suite 4.2.0",
        "version": "4.2.0",
        "vendor": "The Suite Foundation",
        "type": "win",
    }
}


@pytest.fixture
def matching(ctisync: Ctisync, feed: FeedSimulator) -> Ctisync:
    for name, containers in RECORDS.items():
        feed.history.create(name, {"containers": containers})
    for name, payload in PAYLOADS.items():
        feed.history.create(name, payload)
    assert ctisync.run("sync", "-q").returncode == 0
    return ctisync


def matches(ctisync: Ctisync, text: str, *arguments: str) -> list[dict[str, Any]]:
    file = ctisync.home / "inventory"
    file.write_text(text)
    ended = ctisync.run("match", str(file), "--ndjson", "-q", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_packages_of_a_distribution_are_matched_in_its_own_source(matching: Ctisync) -> None:
    hits = matches(matching, DPKG, "--os", "debian:12")
    assert [(each["package"], each["name"], each["why"], each["sure"]) for each in hits] == [
        ("openssl", "CVE-2024-1", "< 3.0.3-1", True),
        ("door", "CVE-2024-7", "< ?!", False),
        ("libwall1", "CVE-2024-3", "affected, no fixed version", True),
    ]
    first = hits[0]
    assert (first["source"], first["severity"], first["score"]) == ("debian", "high", 9.8)
    assert [each["beyond_scanner"] for each in hits] == [False, False, True]
    assert matches(matching, DPKG, "--os", "debian:11")[0]["name"] != "CVE-2024-1", "another platform"


def test_a_table_marks_what_is_not_sure_and_the_last_line_has_the_counts(matching: Ctisync) -> None:
    file = matching.home / "inventory"
    file.write_text(DPKG)
    ended = matching.run("match", str(file), "--os", "debian:12")
    rows = ended.stdout.splitlines()
    assert rows[0].split() == ["package", "version", "name", "severity", "score", "source", "why"]
    assert "CVE-2024-7 ?" in rows[2]
    assert "CVE-2024-3 *" in rows[3]
    assert rows[-1] == "3 matches"
    counts = ended.stderr.splitlines()[-1]
    assert "read=5 known=3 without_vendor=1 not_understood=1" in counts


def test_forms_for_programs_have_the_same_matches(matching: Ctisync) -> None:
    file = matching.home / "inventory"
    file.write_text(DPKG)
    whole = json.loads(matching.run("match", str(file), "--os", "debian:12", "--json").stdout)
    assert whole["total"] == 3
    assert whole["hits"] == matches(matching, DPKG, "--os", "debian:12")
    assert whole["packages"] == {"read": 5, "known": 3, "without_vendor": 1, "not_understood": 1}
    text = matching.run("match", str(file), "--os", "debian:12", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == ["CVE-2024-1", "CVE-2024-7", "CVE-2024-3"]


def test_a_severity_is_that_which_is_shown(matching: Ctisync) -> None:
    hits = matches(matching, DPKG, "--os", "debian:12", "--min-severity", "high")
    assert [each["name"] for each in hits] == ["CVE-2024-1", "CVE-2024-7"]


def test_windows_is_matched_itself_and_an_installed_update_solves_a_record(matching: Ctisync) -> None:
    documents = "\n".join(map(json.dumps, (WINDOWS, SUITE)))
    assert [(each["package"], each["name"]) for each in matches(matching, documents)] == [
        ("Office Suite 4.2.0", "CVE-2024-6"),
        ("windows_10_22h2", "CVE-2024-4"),
    ]
    solved = documents + "\n" + json.dumps({"package": {"hotfix": {"name": "KB2"}}})
    assert [each["name"] for each in matches(matching, solved)] == ["CVE-2024-6"]


def test_standard_input_is_read(matching: Ctisync) -> None:
    ended = subprocess.run(
        matching.command("match", "--os", "debian:12", "--exit-code", "-q"),
        env=matching.environ,
        input=DPKG,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (12, "")
    assert "CVE-2024-1" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.txt", "--os", "debian:12"], "cannot read none.txt: No such file or directory"),
        (["{file}"], "does not name an operating system"),
        (["{file}", "--os", "debian"], "--os: debian is not a platform and its version"),
        (["{file}", "--os", "debian:99"], "--os: the version of debian:99 is unknown; known are"),
        (["{odd}", "--os", "debian:12"], "no line has a name, a tab and a version"),
        (["{json}", "--os", "debian:12"], "line 2 is not JSON"),
        (["{file}", "--os", "debian:12", "--min-severity", "bad"], "--min-severity: bad is not one of"),
        (["{file}", "--os", "debian:12", "--json", "--csv"], "--json, --ndjson and --csv cannot be combined"),
    ],
)
def test_a_mistake_names_itself(matching: Ctisync, tmp_path: Path, arguments: list[str], words: str) -> None:
    files = {"file": DPKG, "odd": "some words\n", "json": '{"package": {}}\n{"half'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    typed = [each.format(**{name: tmp_path / name for name in files}) for each in arguments]
    ended = matching.run("match", *typed)
    assert ended.returncode == 2
    assert words in ended.stderr


def test_a_content_without_the_tables_of_the_scanner_is_a_mistake(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q")
    file = ctisync.home / "inventory"
    file.write_text(DPKG)
    ended = ctisync.run("match", str(file), "--os", "debian:12")
    assert ended.returncode == 2
    assert "no content has FEED-GLOBAL" in ended.stderr


def test_hostile_patterns_delay_nothing_and_one_that_cannot_be_read_is_named(
    matching: Ctisync, feed: FeedSimulator
) -> None:
    expected = matches(matching, DPKG, "--os", "debian:12")
    name = {"translation": [{"product": "wall"}], "target": ["debian"]}
    feed.history.create("TID-9001", {**name, "source": {"product": "^(a+)+$"}})
    feed.history.create("TID-9002", {**name, "source": {"product": "open(?!door)"}})
    assert matching.run("sync", "-q").returncode == 0
    file = matching.home / "inventory"
    file.write_text(DPKG + f"{'a' * 300}b\t1.0\tDebian\tii \n")
    ended = matching.run("match", str(file), "--ndjson", "-q", "--os", "debian:12", "--log-format", "json")
    assert list(map(json.loads, ended.stdout.splitlines())) == expected
    warning = json.loads(ended.stderr)
    assert (warning["level"], warning["event"], warning["records"]) == ("warning", "translations-left-out", 1)
    assert warning["why"].endswith(": TID-9002")
