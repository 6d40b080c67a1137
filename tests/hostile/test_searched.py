"""T7: hostile records are searched, and hostile inventories matched: an answer or a named refusal, in little
memory, and nothing that a terminal, a shell or a spreadsheet obeys."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ctisync.core.inventory import MOST_BYTES
from tests.cli.conftest import Ctisync
from tests.feed.crafted_zip import MEMBER
from tests.hostile.confined import Confined
from tests.hostile.lines import ndjson, of
from tests.support.feed_simulator import zipped
from tests.support.scanner_tables import PAYLOADS

Json = Any

TRICKS: Final = "\x00\x1b[2J\u202etxt.exe\u2028\x9b31m\r\n=1+1"
"""NUL, escapes of terminals, right-to-left, line breaks."""

MILLION: Final = 1_000_000
LONG_VERSIONS: Final = {
    "digits": "9" * MILLION,
    "points": "1." * (MILLION // 2),
    "letters": "a" * MILLION,
    "epoch": "9" * MILLION + ":1.0-1",
    "tildes": "1" + "~" * MILLION,
    "NUL": "\x00" * (MILLION // 8),
    "right to left": "\u202e1.0" * (MILLION // 8),
}
VALUES: Final[tuple[Json, ...]] = (
    None,
    True,
    7,
    1.5,
    "text",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    [None, 7, "text"],
)
"""Each JSON type."""

ENTRIES: Final = 100_000


def advisory(*affected: Json, title: str = "A hole", source: str = "nvd") -> dict[str, Json]:
    cna = {"title": title, "providerMetadata": {"x_subShortName": source}, "affected": list(affected)}
    return {"containers": {"cna": cna}}


def entry(product: str, **bounds: str) -> dict[str, Json]:
    version = {"status": "affected", **(bounds or {"version": "0", "lessThan": "1.0"})}
    return {"vendor": "acme", "product": product, "versions": [version]}


def line(name: str, payload: Json) -> bytes:
    return of(json.dumps(payload, separators=(",", ":")).encode(), name=json.dumps(name).encode())


def of_all_types() -> Iterator[bytes]:
    """`affected` of each type at each level."""
    for number, value in enumerate(VALUES):
        for level, affected in {
            "affected": value,
            "entry": [value],
            "product": [{"vendor": value, "product": value}],
            "versions": [{"product": "wall", "versions": value}],
            "range": [{"product": "wall", "versions": [value]}],
            "bound": [{"product": "wall", "versions": [{"version": value, "lessThan": value}]}],
            "change": [{"product": "wall", "versions": [{"version": "0", "changes": value}]}],
            "status": [{"product": "wall", "defaultStatus": value, "platforms": value}],
        }.items():
            yield line(f"CVE-{level}-{number}", {"containers": {"cna": {"affected": affected}}})
        yield line(f"CVE-containers-{number}", {"containers": value})
        yield line(f"CVE-adp-{number}", {"containers": {"cna": {"title": value}, "adp": value}})


class Searched:
    """A content of these lines, whose commands are real ones."""

    def __init__(self, home: Path, *lines: bytes) -> None:
        self.ctisync = Ctisync(home)
        file = home / "snapshot.ndjson"
        file.write_bytes(ndjson(lines))
        ended = self.ctisync.run("init-snapshot", "--from", str(file), "--offset", "1000", "-q")
        assert ended.returncode == 0, ended.stderr

    def run(self, *arguments: str) -> str:
        ended = self.ctisync.run(*arguments)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def hits(self, *arguments: str) -> dict[str, Json]:
        answer = json.loads(self.run("search", *arguments, "--json"))
        return {hit["name"]: hit for hit in answer["hits"]}


def assert_harmless(printed: str) -> None:
    assert [each for each in printed.split("\n") if not each.isprintable()] == []


def test_no_text_of_a_record_is_obeyed_in_any_output(tmp_path: Path) -> None:
    tricky = advisory(entry(f"wall{TRICKS}", version="0", lessThan=TRICKS), title=TRICKS)
    searched = Searched(tmp_path, line("=\u202ename", tricky))
    for form in ((), ("--json",), ("--ndjson",), ("--csv",), ("--names",), ("--count-by", "product")):
        assert_harmless(searched.run("search", "wall*", *form))
    assert_harmless(searched.run("search", "--product", f"wal{TRICKS[1:]}"))
    hit = searched.hits("wall*")["=\u202ename"]
    assert hit["affected"] == [{"vendor": "acme", "product": f"wall{TRICKS}"}]
    assert searched.run("search", "wall*", "--names") == "=\\u202ename\n"
    (row,) = csv.DictReader(io.StringIO(searched.run("search", "wall*", "--csv")))
    assert row["name"] == "'=\\u202ename"


def test_versions_of_a_megabyte_are_perhaps_affected_and_never_a_silent_no(tmp_path: Path) -> None:
    lines = [
        line(f"CVE-{bound}-{name}", advisory(entry("wall", **{"version": "0", bound: text})))
        for bound in ("lessThan", "lessThanOrEqual")
        for name, text in LONG_VERSIONS.items()
    ]
    searched = Searched(tmp_path, *lines)
    hits = searched.hits("--product", "wall", "--version", "1.5")
    assert len(hits) == len(lines)
    assert not any(hit["sure"] for hit in hits.values())
    shown = searched.run("search", "--product", "wall", "--version", "1.5")
    assert max(map(len, shown.splitlines())) < 250
    for text in ("9" * 100_000, "1." * 50_000, "1\u202e", "\u0663.1"):
        assert len(searched.hits("--product", "wall", "--version", text)) == len(lines)


def test_affected_of_any_type_is_searched_and_counted(tmp_path: Path) -> None:
    lines = [*of_all_types(), line("CVE-good", advisory(entry("wall")))]
    searched = Searched(tmp_path, *lines)
    assert len(searched.run("search", "--names").splitlines()) == len(lines)
    assert searched.hits("--product", "wall", "--version", "0.5")["CVE-good"]["sure"]
    for group in ("severity", "product", "vendor", "cwe", "year"):
        answer = json.loads(searched.run("search", "--count-by", group, "--json"))
        assert answer["total"] == len(lines)


@pytest.mark.parametrize("products", [1, ENTRIES], ids=["of one product", "each of its own"])
def test_a_record_of_100_000_entries_is_indexed_and_searched_in_little_memory(
    confined: Confined, monkeypatch: pytest.MonkeyPatch, products: int
) -> None:
    monkeypatch.setattr(confined, "most_memory", 200.0)  # of a line of 7 MB
    versions = [{"lessThan": "1.0", "status": "affected"}]  # a line has 8 MB at most
    entries = [{"product": f"p{number % products}", "versions": versions} for number in range(ENTRIES)]
    confined.snapshot.write_bytes(ndjson([line("CVE-many", advisory(*entries))]))
    confined.load()
    for arguments in (("--version", "0.5"), ("--version", "0.5", "--json"), ("--count-by", "product")):
        ended = confined.run("search", "--product", "p0", *arguments)
        assert (ended.code, ended.stderr) == (0, "")


def test_many_large_records_are_indexed_and_listed_in_little_memory(confined: Confined) -> None:
    """20 of 4 MB each."""
    text = "wall " * (4 * MILLION // 5)
    confined.snapshot.write_bytes(
        zipped({MEMBER: ndjson(line(f"CVE-{n}", advisory(entry("wall"), title=text)) for n in range(20))})
    )
    confined.load(CTISYNC_LIMITS__RATIO="2000")
    for arguments in (("--names",), ("--count-by", "vendor")):
        ended = confined.run("search", "--product", "wall", *arguments)
        assert (ended.code, ended.stderr) == (0, "")


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    tables = [line(name, payload) for name, payload in PAYLOADS.items()]
    hit = line("CVE-hit", advisory({"vendor": "debian", "product": "bash"} | entry("bash"), source="debian"))
    return Searched(tmp_path_factory.mktemp("matched"), *tables, hit)


MEMBERS: Final = ("name", "version", "purl", "supplier", "publisher", "type")
INVENTORIES: Final = {
    "bytes that are no UTF-8": b"bash\t0.5\xff\xfe\tDebian \xff\tii \n",
    "NUL": b"ba\x00sh\t0.5\tDebian\tii \nbash\t0\x00.5\tDebian\x00\tii \n",
    "lines of a megabyte": b"x" * MILLION + b"\nbash\t" + b"9" * MILLION + b"\tDebian\tii \n",
    "tabs alone": b"\t" * MILLION + b"\nbash\t0.5\n",
    "terminal escapes": f"bash{TRICKS}\t0.5{TRICKS}\tDebian\tii \nbash\t1\n".encode(),
    "no line break, 1 MB": b'{"package":{"name":"' + b"x" * MILLION + b'","version":"1"}}',
    "half a character": rb'{"package":{"name":"\ud800","version":"\udc00","vendor":"\ud800"}}',
    "wrong types": "\n".join(
        json.dumps({"package": {"name": value, "version": value, "vendor": value, "type": value}})
        for value in VALUES
    ).encode(),
    "other documents": "\n".join(map(json.dumps, VALUES[6:])).encode(),
    "wrong systems": "\n".join(json.dumps({"host": {"os": value}}) for value in VALUES).encode(),
    "an empty system": b'{"host":{"os":{"platform":"","version":"","name":""}},"package":{"name":"bash"}}',
    "1 MB of digits": b'{"package":{"name":"bash","version":"%b","vendor":"Debian"}}' % (b"9" * MILLION),
    **{
        f"CycloneDX, {level} {number}": json.dumps({"bomFormat": "CycloneDX"} | members).encode()
        for number, value in enumerate(VALUES)
        for level, members in {
            "components": {"components": value},
            "component": {"components": [value]},
            "members": {
                "components": [dict.fromkeys(("name", "version", "purl", "supplier", "type"), value)]
            },
            "inner": {"components": [{"name": "bash", "version": "0.5", "components": value}]},
        }.items()
    },
    "CycloneDX, odd links": json.dumps(
        {
            "components": [
                {"name": "bash", "version": "0.5", "purl": purl}
                for purl in (
                    "pkg:",
                    "pkg:deb",
                    "pkg:deb/?epoch=",
                    "pkg:deb/x?epoch=\u0663",
                    "pkg:/?epoch=9&epoch=",
                    "x",
                )
            ]
        }
    ).encode(),
}
DEEP: Final = {
    "a document": b'{"package":' * 10_000 + b"1" + b"}" * 10_000,
    "a CycloneDX document": b'{"components":[' * 10_000 + b"]}" * 10_000,
    "half a CycloneDX document": b'{"bomFormat":"CycloneDX","components":[' + b"[" * 1_000_000,
    "an integer of 5,000 digits": b'{"package":{"name":%b}}' % (b"9" * 5000),
    "an exponent of 20 digits": b'{"package":{"name":1e99999999999999999999}}',
}


def match(searched: Searched, inventory: bytes, *arguments: str) -> "subprocess.CompletedProcess[str]":
    file = searched.ctisync.home / "inventory"
    file.write_bytes(inventory)
    return searched.ctisync.run("match", str(file), "--os", "debian:12", *arguments)


@pytest.mark.parametrize("name", INVENTORIES)
def test_an_odd_inventory_is_matched_as_far_as_it_is_one(matched: Searched, name: str) -> None:
    for form in ((), ("--ndjson",), ("--csv",)):
        ended = match(matched, INVENTORIES[name], *form)
        assert ended.returncode in (0, 2), ended
        assert_harmless(ended.stdout)
        assert_harmless(ended.stderr)
        if ended.returncode == 2:
            assert str(matched.ctisync.home / "inventory") in ended.stderr


@pytest.mark.parametrize("name", DEEP)
def test_an_inventory_without_a_bottom_is_a_mistake_that_names_the_line(matched: Searched, name: str) -> None:
    ended = match(matched, DEEP[name])
    assert ended.returncode == 2
    assert f"{matched.ctisync.home / 'inventory'}: line 1 is not JSON: " in ended.stderr


def test_an_inventory_without_an_end_is_read_up_to_a_limit(matched: Searched) -> None:
    source = "import sys\nwhile True: sys.stdout.buffer.write(b'bash\\t0.5\\tDebian\\tii \\n' * 65536)"
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as endless:
        process = matched.ctisync.start("match", "-", "--os", "debian:12", stdin=endless.stdout)
        assert endless.stdout is not None
        endless.stdout.close()
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"standard input has more than {MOST_BYTES:,} bytes" in stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--product", "\udcff"),
        ("--vendor", "\udcff", "--count-by", "year"),
        ("--source", "\udcff", "--product", "wall", "--version", "\udcff"),
        ("--os", "debian:\udcff"),
        ("wo\udcffrd",),
        ("\udcff",),
        ("wall " * 20_000,),
        ("a AND (", '"', "*", "NEAR(", "name:wall", "^wall"),
        ("--product", "x" * 100_000),
        ("--product", "\u202e"),
    ],
    ids=repr,
)
def test_no_word_that_you_type_is_a_bug(matched: Searched, arguments: tuple[str, ...]) -> None:
    ended = matched.ctisync.run("search", *arguments)
    assert ended.returncode in (0, 2), ended
    assert_harmless(ended.stdout)
    assert_harmless(ended.stderr)
