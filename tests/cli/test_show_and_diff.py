"""`show` and `diff` as people and programs use them."""

import gzip
import json
import shlex
from collections.abc import Callable

import pytest
import zstandard

from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable, record


def test_a_record_is_shown_as_it_is_stored(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    line = feed.expected_lines()[3]
    name = json.loads(line)["name"]
    shown = ctisync.run("show", name, "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert comparable(shown.stdout.encode()) == comparable(line)
    assert ctisync.run("show", name).stdout.startswith(f"{name}   offset ")


def test_a_name_may_be_written_as_people_do(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    name = next(each for each in map(_name, feed.expected_lines()) if each.startswith("CVE-"))
    for written in (name.lower(), name.removeprefix("CVE-")):
        assert ctisync.run("show", written).stdout.startswith(name)


def test_bytes_that_are_no_text_are_no_name_and_no_bug(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    shown = ctisync.run("show", "CVE-\udc9b\udcff")
    assert shown.returncode == 2
    assert r"CVE-\udc9b\udcff is not a valid record name" in shown.stderr


def test_a_name_that_is_not_there_is_an_error_with_those_that_are_near(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q")
    name = next(each for each in map(_name, feed.expected_lines()) if each.startswith("CVE-"))
    shown = ctisync.run("show", f"{name}0")
    assert shown.returncode == 2
    assert f"has no record {name}0" in shown.stderr
    assert name in shown.stderr.splitlines()[-1]


def test_several_records_are_shown_one_below_the_other(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    lines = feed.expected_lines()
    names = [_name(lines[5]), _name(lines[2])]
    shown = ctisync.run("show", *names)
    assert (shown.returncode, shown.stderr) == (0, "")
    first, second = shown.stdout.split("\n\n")
    assert [first.split("   ")[0], second.split("   ")[0]] == names
    documents = ctisync.run("show", *names, "--json").stdout
    record, end = json.JSONDecoder().raw_decode(documents)
    assert [record["name"], json.loads(documents[end:])["name"]] == names


def test_a_missing_one_of_several_is_an_error_beside_those_that_are_there(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q")
    name = _name(feed.expected_lines()[3])
    shown = ctisync.run("show", "CVE-NOWHERE", name, "CVE-NEVER")
    assert shown.returncode == 2
    assert shown.stdout.startswith(f"{name}   offset ")
    assert "has no records CVE-NOWHERE, CVE-NEVER" in shown.stderr


def test_without_a_content_there_is_nothing_to_show(ctisync: Ctisync) -> None:
    shown = ctisync.run("show", "CVE-1")
    assert (shown.returncode, shown.stdout) == (10, "")
    assert "ctisync sync" in shown.stderr


def test_what_is_no_name_is_refused_before_the_store_is_opened(ctisync: Ctisync) -> None:
    shown = ctisync.run("show", "CVE-\udcff", CTISYNC_STORE__URL="http://127.0.0.1:9")
    assert (shown.returncode, "is not a valid record name" in shown.stderr) == (2, True)


def test_what_a_feed_has_written_moves_no_cursor(ctisync: Ctisync, feed: FeedSimulator) -> None:
    feed.history.create("CVE-X", {"containers": {"cna": {"title": "red \x1b[31m alert \x07"}}})
    ctisync.run("sync", "-q")
    shown = ctisync.run("show", "CVE-X")
    assert "red \\u001b[31m alert \\u0007" in shown.stdout


def test_two_exports_are_compared(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    old, new = ctisync.home / "old.ndjson", ctisync.home / "new.ndjson"
    ctisync.run("export", "--output", str(old))
    before = {_name(line): line for line in feed.expected_lines()}
    churn(feed.history, 30)
    feed.history.delete(min(before))
    ctisync.run("sync", "-q")
    ctisync.run("export", "--output", str(new))
    after = {_name(line): line for line in feed.expected_lines()}
    expected = dict.fromkeys(before.keys() - after.keys(), "removed")
    expected |= dict.fromkeys(after.keys() - before.keys(), "added")
    expected |= {name: "changed" for name in before.keys() & after.keys() if before[name] != after[name]}
    assert set(expected.values()) == {"added", "removed", "changed"}

    compared = ctisync.run("diff", str(old), str(new))
    assert (compared.returncode, compared.stderr) == (0, "")
    signs = {"added": "+", "removed": "-", "changed": "~"}
    shown = {line.split()[1]: line.split()[0] for line in compared.stdout.splitlines()[:-1]}
    assert shown == {name: signs[what] for name, what in expected.items()}
    assert compared.stdout.splitlines()[-1].endswith(" changed")
    lines = ctisync.run("diff", str(old), str(new), "--json").stdout.splitlines()
    documents = [json.loads(line) for line in lines]
    assert {each["name"]: each["what"] for each in documents} == expected
    assert ctisync.run("diff", str(old), str(new), "--exit-code").returncode == 9
    same = ctisync.run("diff", str(new), str(new), "--exit-code")
    assert (same.returncode, same.stdout) == (0, "0 added, 0 removed, 0 changed\n")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "nothing": bytes,
}


@pytest.mark.parametrize("new", PACKED)
@pytest.mark.parametrize("old", PACKED)
def test_exports_are_compared_as_they_are_kept_compressed_or_not(
    ctisync: Ctisync, old: str, new: str
) -> None:
    one, other = (b"".join(record(name, 1).line + b"\n" for name in names) for names in ("AB", "BC"))
    (ctisync.home / "old").write_bytes(PACKED[old](one))
    (ctisync.home / "new").write_bytes(PACKED[new](other))
    expected = "- A\n+ C\n1 added, 1 removed, 0 changed\n"
    compared = ctisync.run("diff", "old", "new")
    assert (compared.returncode, compared.stderr, compared.stdout) == (0, "", expected)
    with (ctisync.home / "new").open("rb") as file, ctisync.start("diff", "old", "-", stdin=file) as piped:
        assert piped.communicate()[0].decode() == expected


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_an_export_that_was_cut_off_is_no_export_with_fewer_records(ctisync: Ctisync, pack: str) -> None:
    packed = PACKED[pack](record("A", 1).line + b"\n" + record("B", 2).line + b"\n")
    (ctisync.home / "old").write_bytes(packed)
    (ctisync.home / "cut").write_bytes(packed[:-5])
    compared = ctisync.run("diff", "old", "cut")
    assert compared.returncode == 2
    assert "cut: the snapshot's " + pack in compared.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "bad.ndjson: No such file or directory"),
        (b"<html>\n", "line 1: this is not a record: it is not JSON"),
        (record("B", 1).line + b"\n" + record("A", 2).line, "line 2: the names are not sorted: A follows B"),
    ],
)
def test_what_cannot_be_compared_is_named(ctisync: Ctisync, content: bytes | None, words: str) -> None:
    good, bad = ctisync.home / "good.ndjson", ctisync.home / "bad.ndjson"
    good.write_bytes(b"")
    if content is not None:
        bad.write_bytes(content)
    compared = ctisync.run("diff", str(good), str(bad))
    assert compared.returncode == 2
    assert f"{bad}" in compared.stderr
    assert words in compared.stderr


def _name(line: bytes) -> str:
    return str(json.loads(line)["name"])


RULES = [
    b'{"resource":"rule/1","offset":5,"payload":{"type":"rule","document":{"id":"1","title":"A rule"}}}',
    b'{"name":"indicator/12345","offset":7,"payload":{"type":"ioc","document":{"name":"203.0.113.7"}}}',
    b'{"resource":"decoder/a b/0","offset":6,"payload":{"type":"decoder","document":{"name":"decoder/a"}}}',
]


def test_names_with_slashes_are_names_in_each_command(ctisync: Ctisync, feed: FeedSimulator) -> None:
    """`indicator/12345` is no path: neither of a file nor of an address."""
    (ctisync.home / "rules.ndjson").write_bytes(b"\n".join(RULES))
    loaded = ctisync.run("init-snapshot", "-q", "--from", "rules.ndjson", "--offset", "7")
    assert loaded.returncode == 0, loaded.stderr
    exported = ctisync.run("export").stdout.encode().splitlines()
    assert exported == [RULES[2], RULES[1], RULES[0]]
    shown = ctisync.run("show", "indicator/12345", "decoder/a b/0")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "indicator/12345   offset 7\n  type         ioc\n  name         203.0.113.7" in shown.stdout
    assert "decoder/a b/0   offset 6" in shown.stdout
    missing = ctisync.run("show", "decoder/a b/1")
    assert "the nearest are 'decoder/a b/0'" in missing.stderr
    changed = RULES[0].replace(b"A rule", b"Another")
    for name, lines in (("old", exported), ("new", [RULES[2], changed])):
        (ctisync.home / name).write_bytes(b"\n".join(lines) + b"\n")
    *compared, _ = ctisync.run("diff", "old", "new").stdout.splitlines()
    assert compared == ["- indicator/12345", "~ rule/1  /payload/document/title"]
    assert ctisync.run("verify", "--deep", "--against", "rules.ndjson").returncode == 0


TWO: list[dict[str, str]] = [
    {"context": "vd_1.0.0", "consumer": "vd_4.8.0", "index": "cve"},
    {"context": "t1-iocs-5", "consumer": "public-iocs-5", "index": "iocs"},
]


@pytest.fixture
def two(ctisync: Ctisync) -> Ctisync:
    """Two consumers with a content; one record is in both."""
    ctisync.environ["CTISYNC_CONSUMERS"] = json.dumps(TWO)
    for each, names in zip(TWO, (("CVE-1", "CVE-2"), ("ioc/1", "CVE-2")), strict=True):
        lines = [json.dumps({"name": name, "offset": 5, "payload": {"of": each["index"]}}) for name in names]
        (ctisync.home / "some.ndjson").write_text("\n".join(lines))
        loaded = ctisync.run(
            "init-snapshot", "-q", "--consumer", each["consumer"], "--from", "some.ndjson", "--offset", "7"
        )
        assert loaded.returncode == 0, loaded.stderr
    return ctisync


def test_a_record_is_searched_in_all_consumers(two: Ctisync) -> None:
    shown = two.run("show", "ioc/1", "cve-1")
    assert (shown.returncode, shown.stderr) == (0, "")
    first, second = shown.stdout.split("\n\n")
    assert first.startswith("ioc/1   offset 5, of t1-iocs-5/public-iocs-5\n")
    assert second.startswith("CVE-1   offset 5, of vd_1.0.0/vd_4.8.0\n")


def test_a_record_that_several_consumers_have_is_shown_of_each(two: Ctisync) -> None:
    shown = two.run("show", "CVE-2", "--json").stdout
    first, end = json.JSONDecoder().raw_decode(shown)
    assert [first["payload"], json.loads(shown[end:])["payload"]] == [{"of": "cve"}, {"of": "iocs"}]
    one = two.run("show", "CVE-2", "--json", "--consumer", "public-iocs-5").stdout
    assert json.loads(one)["payload"] == {"of": "iocs"}


def test_a_record_that_no_consumer_has_is_an_error_with_what_is_near_in_any(two: Ctisync) -> None:
    shown = two.run("show", "ioc/2", "CVE-1")
    assert (shown.returncode, shown.stdout.split()[0]) == (2, "CVE-1")
    message = "vd_1.0.0/vd_4.8.0 and t1-iocs-5/public-iocs-5 have no record ioc/2"
    assert message in shown.stderr
    assert "the nearest are ioc/1" in shown.stderr


def test_a_consumer_without_a_content_hides_no_record_of_another(two: Ctisync) -> None:
    empty = {"context": "a", "consumer": "b", "index": "c"}
    two.environ["CTISYNC_CONSUMERS"] = json.dumps([empty, *TWO])
    shown = two.run("show", "ioc/1")
    assert (shown.returncode, shown.stderr, shown.stdout.split()[0]) == (0, "", "ioc/1")
    alone = two.run("show", "ioc/1", "--consumer", "b")
    assert (alone.returncode, "holds no content of a/b yet" in alone.stderr) == (10, True)


def test_the_command_for_the_whole_record_names_the_consumer_of_the_call(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    """With several consumers, as those of Wazuh 5, it would not run without."""
    loaded = {"context": "vd_1.0.0", "consumer": "vd_4.8.0", "index": "a"}
    other = {"context": "vd_1.0.0", "consumer": "other", "index": "b"}
    ctisync.environ["CTISYNC_CONSUMERS"] = json.dumps([loaded, other])
    (ctisync.home / "one.ndjson").write_bytes(b'{"name":"TID-1","offset":5,"payload":{"a":1}}\n')
    named = ("--consumer", "vd_1.0.0/vd_4.8.0")
    assert ctisync.run("init-snapshot", "-q", *named, "--from", "one.ndjson", "--offset", "7").returncode == 0
    shown = ctisync.run("show", *named, "TID-1").stdout.splitlines()[-1]
    typed = shown.split("full record  ctisync ")[1]
    assert json.loads(ctisync.run(*shlex.split(typed)).stdout)["payload"] == {"a": 1}
