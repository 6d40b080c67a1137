"""`init-snapshot --from` a folder with a manifest, or a file of it: whose it is, and where it goes on."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import Ctisync
from tests.docs.hinted import commands
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.printed_error import assert_error
from tests.support.records import line

RULES: Final = "t1-ruleset-5/public-ruleset-5"
IOCS: Final = "t1-iocs-5/public-iocs-5"

SETTINGS: Final = """
[[consumers]]
context = "t1-ruleset-5"
consumer = "public-ruleset-5"
index = "rules"

[[consumers]]
context = "t1-iocs-5"
consumer = "public-iocs-5"
index = "iocs"
"""


def entry(consumer: str, **fields: Any) -> dict[str, Any]:
    context, _, name = consumer.partition("/")
    url = f"https://cti.example/api/v1/catalog/contexts/{context}/consumers/{name}"
    head = {"name": name, "context": context, "type": "cti:catalog:consumer:x", "resource": url}
    return {**head, "is_public": True, "status": "ready", "local_offset": 50, "remote_offset": 90, **fields}


def snapshot(*offsets: int) -> bytes:
    return zipped({f"{at}.json": line(f"rule/{at}", at, {"type": "rule"}) + b"\n" for at in offsets})


@pytest.fixture
def package(ctisync: Ctisync) -> Path:
    """Two snapshots, and settings that follow both."""
    folder = ctisync.home / "it's a package"
    folder.mkdir()
    (folder / "ruleset.zip").write_bytes(snapshot(3, 50))
    (folder / "iocs.zip").write_bytes(snapshot(3, 7))
    write(folder, {"ruleset.zip": entry(RULES), "iocs.zip": entry(IOCS, local_offset=9)})
    config = ctisync.home / "config" / "ctisync"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(SETTINGS)
    ctisync.environ["CTISYNC_CTI__URL"] = "http://127.0.0.1:9/api/v1"
    return folder


def write(folder: Path, manifest: Any) -> None:
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    (folder / "manifest.json").write_text(text)


def offsets(ctisync: Ctisync) -> dict[str, int]:
    consumers = json.loads(ctisync.run("status", "--json").stdout)["consumers"]
    return {f"{each['context']}/{each['consumer']}": each["offset"] for each in consumers}


def test_a_package_is_loaded_for_each_consumer_without_a_network(ctisync: Ctisync, package: Path) -> None:
    ended = ctisync.run("init-snapshot", "--from", str(package))
    assert ended.returncode == 0, ended.stderr
    assert offsets(ctisync) == {RULES: 50, IOCS: 9}
    for consumer, file in ((RULES, "ruleset.zip"), (IOCS, "iocs.zip")):
        assert any(
            consumer in row and file in row for row in ended.stderr.splitlines() if "package-read" in row
        )
    assert ended.stderr.count("told_by=manifest") == 2
    assert "offset-guessed" not in ended.stderr
    assert ctisync.run("export", "--consumer", RULES).stdout.count("rule/") == 2


def as_wazuh_writes(consumer: str, **fields: Any) -> dict[str, Any]:
    """An entry of Wazuh's packaging script: no local offset, no status, and the name of a plan's feature."""
    written = entry(consumer, name="t1-public-feature-5-rc1", **fields)
    return {key: value for key, value in written.items() if key not in ("local_offset", "status")}


@pytest.mark.parametrize("what", ["", "iocs.zip"])
def test_a_package_of_wazuhs_own_script_is_loaded(ctisync: Ctisync, package: Path, what: str) -> None:
    """The highest line counts if it is above `remote_offset`."""
    manifest = {"ruleset.zip": as_wazuh_writes(RULES), "iocs.zip": as_wazuh_writes(IOCS, remote_offset=5)}
    write(package, manifest)
    ended = ctisync.run("init-snapshot", "--from", str(package / what))
    assert ended.returncode == 0, ended.stderr
    assert offsets(ctisync) == {RULES: 0 if what else 90, IOCS: 7}
    compared = ctisync.run("verify", "--consumer", IOCS, "--against", str(package))
    assert compared.returncode == 0, compared.stdout + compared.stderr


@pytest.mark.parametrize("named", ["{}", "~/{.name}"])
def test_an_offset_for_a_whole_folder_is_refused_and_the_hint_loads_it(
    ctisync: Ctisync, package: Path, named: str
) -> None:
    source = f"--from={named.format(package)}"
    refused = ctisync.run("init-snapshot", source, "--offset", "60", "--consumer", RULES)
    assert refused.returncode == 2
    assert f"--offset is the offset of one snapshot, and {package} is a folder" in refused.stderr
    [typed] = commands(refused.stderr.rpartition("try: ")[2])
    assert ctisync.run(*shlex.split(typed)[1:]).returncode == 0
    assert offsets(ctisync)[RULES] == 50


@pytest.mark.parametrize("what", ["the folder", "the manifest", "one file"])
def test_one_consumer_can_be_loaded_alone(ctisync: Ctisync, package: Path, what: str) -> None:
    paths = {
        "the folder": package,
        "the manifest": package / "manifest.json",
        "one file": package / "iocs.zip",
    }
    named = () if what == "one file" else ("--consumer", IOCS)
    ended = ctisync.run("init-snapshot", "--from", str(paths[what]), *named)
    assert ended.returncode == 0, ended.stderr
    assert offsets(ctisync) == {RULES: 0, IOCS: 9}


def test_the_offset_is_the_highest_of_the_manifests_and_of_the_lines(ctisync: Ctisync, package: Path) -> None:
    (package / "iocs.zip").write_bytes(snapshot(3, 70, 7))
    ended = ctisync.run("init-snapshot", "--from", str(package))
    assert offsets(ctisync) == {RULES: 50, IOCS: 70}
    assert 'told_by="highest line"' in ended.stderr


def test_a_dry_run_prints_what_a_package_would_do(ctisync: Ctisync, package: Path) -> None:
    printed = ctisync.run("init-snapshot", "--from", str(package), "--dry-run").stdout
    assert f"{RULES}: the content is at offset 0" in printed
    assert "load the snapshot of offset 50" in printed
    assert "load the snapshot of offset 9" in printed
    assert offsets(ctisync) == {RULES: 0, IOCS: 0}


def test_a_content_is_compared_with_its_own_snapshot_of_a_package(ctisync: Ctisync, package: Path) -> None:
    assert ctisync.run("init-snapshot", "-q", "--from", str(package)).returncode == 0
    for path in (package, package / "iocs.zip"):
        compared = ctisync.run("verify", "--consumer", IOCS, "--against", str(path))
        assert compared.returncode == 0, compared.stdout + compared.stderr
    other = ctisync.run("verify", "--consumer", IOCS, "--against", str(package / "ruleset.zip"))
    assert (other.returncode, f"is a snapshot of {RULES}, not of {IOCS}" in other.stderr) == (2, True)


def test_a_consumer_that_a_package_does_not_have_is_named_and_hinders_none(
    ctisync: Ctisync, package: Path
) -> None:
    write(package, {"ruleset.zip": entry(RULES)})
    ended = ctisync.run("init-snapshot", "--from", str(package))
    assert (ended.returncode, offsets(ctisync)) == (0, {RULES: 50, IOCS: 0})
    assert any(IOCS in row for row in ended.stderr.splitlines() if "not-in-package" in row)


def test_an_offset_that_a_person_gives_counts_more_than_a_manifest(ctisync: Ctisync, package: Path) -> None:
    write(package, "no JSON")
    load = ("init-snapshot", "-q", "--from", str(package / "iocs.zip"), "--consumer", IOCS)
    assert ctisync.run(*load, "--offset", "8").returncode == 0
    assert offsets(ctisync)[IOCS] == 8
    assert ctisync.run(*load, "--offset", "5").returncode == 6


@pytest.mark.parametrize(
    "manifest",
    ['{"name": "an app", "icons": []}', "[]", "no JSON", "{}", '{"short_name": {"a": 1}}', ""],
)
def test_a_manifest_of_another_program_beside_a_file_is_let_be(
    ctisync: Ctisync, package: Path, manifest: str
) -> None:
    write(package, manifest)
    ended = ctisync.run("init-snapshot", "--from", str(package / "iocs.zip"), "--consumer", IOCS)
    assert (ended.returncode, offsets(ctisync)[IOCS]) == (0, 7)
    assert "offset-guessed" in ended.stderr


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _piped(folder: Path) -> None:
    _without(folder, "manifest.json")
    os.mkfifo(folder / "manifest.json")


MISTAKES: Final[dict[str, tuple[Callable[[Path], object], str, int, str]]] = {
    "no manifest": (lambda at: _without(at, "manifest.json"), "", 2, "is a folder without manifest.json"),
    "no JSON": (lambda at: write(at, "{"), "", 6, "manifest.json: it is not JSON"),
    "an array": (lambda at: write(at, "[]"), "", 6, "it is an array, not an object"),
    "nothing in it": (lambda at: write(at, {}), "", 2, f"has no snapshot of {RULES}; it has nothing"),
    "other consumers": (
        lambda at: write(at, {"iocs.zip": entry("a/b")}),
        "",
        2,
        f"has no snapshot of {RULES}; it has a/b in iocs.zip",
    ),
    "an entry that is no object": (
        lambda at: write(at, {"x.zip": 5}),
        "",
        6,
        "x.zip: its entry is an integer",
    ),
    "an offset in quotes": (
        lambda at: write(at, {"iocs.zip": entry(IOCS, local_offset="9")}),
        "",
        6,
        "iocs.zip: local_offset is a string, not an integer",
    ),
    "no offset": (
        lambda at: write(at, {"iocs.zip": entry(IOCS, local_offset=None, remote_offset=None)}),
        "",
        6,
        "local_offset and remote_offset are absent",
    ),
    "a negative offset": (
        lambda at: write(at, {"iocs.zip": entry(IOCS, local_offset=-1)}),
        "",
        6,
        "local_offset -1 is out of range",
    ),
    "no context": (
        lambda at: write(at, {"iocs.zip": entry(IOCS, context=7, resource=None)}),
        "",
        6,
        "context is an integer",
    ),
    "an empty name": (
        lambda at: write(at, {"iocs.zip": entry(IOCS, name="", resource="")}),
        "",
        6,
        "name is empty",
    ),
    "a file that is missing": (
        lambda at: _without(at, "iocs.zip"),
        "",
        2,
        "names iocs.zip, which is not a file in",
    ),
    "a file with too long a name": (
        lambda at: write(at, {"x" * 300: entry(IOCS)}),
        "",
        2,
        "xxx, which is not a file in",
    ),
    "no such file": (lambda _: None, "renamed.zip", 2, "renamed.zip cannot be read: No such file"),
    "no such file, too long a name": (lambda _: None, "x" * 300, 2, "cannot be read: File name too long"),
    "a manifest that is a pipe": (
        _piped,
        "",
        2,
        "manifest.json cannot be read: it is not a regular file",
    ),
    "a manifest that is a pipe, beside a file": (
        _piped,
        "iocs.zip",
        2,
        "manifest.json cannot be read: it is not a regular file",
    ),
    "half a manifest, beside a file": (
        lambda at: write(at, (at / "manifest.json").read_text()[:-20]),
        "iocs.zip",
        6,
        "manifest.json: it is not JSON",
    ),
    "no offset in any entry, beside a file": (
        lambda at: write(
            at,
            {"iocs.zip": {key: value for key, value in entry(IOCS).items() if "offset" not in key}},
        ),
        "iocs.zip",
        6,
        "iocs.zip: local_offset and remote_offset are absent",
    ),
    "two entries of a file": (
        lambda at: write(at, f'{{"iocs.zip": {json.dumps(entry(IOCS))}, "iocs.zip": {{}}}}'),
        "",
        6,
        "manifest.json: iocs.zip is in it twice",
    ),
    "two offsets in an entry": (
        lambda at: write(at, '{"iocs.zip": {"local_offset": 5, "local_offset": 6}}'),
        "iocs.zip",
        6,
        "manifest.json: local_offset is in it twice",
    ),
    "the ZIP of a whole package": (
        lambda at: (at / "iocs.zip").write_bytes(
            zipped({"manifest.json": (at / "manifest.json").read_bytes(), "x/iocs.zip": snapshot(3)})
        ),
        "iocs.zip",
        6,
        "its ZIP contains manifest.json: it is a whole package; unpack it, and pass the folder",
    ),
    "a file elsewhere": (
        lambda at: write(at, {"../x/iocs.zip": entry(IOCS)}),
        "",
        2,
        "names ../x/iocs.zip, which is not a file in",
    ),
    "two files of a consumer": (
        lambda at: write(at, {"iocs.zip": entry(IOCS), "ruleset.zip": entry(IOCS)}),
        "",
        2,
        f"has 2 snapshots of {IOCS}: iocs.zip, ruleset.zip",
    ),
    "a file of another name": (
        lambda at: (at / "iocs.zip").rename(at / "renamed.zip"),
        "renamed.zip",
        2,
        "has no entry for renamed.zip; it has iocs.zip, ruleset.zip",
    ),
    "a file of a consumer that is not followed": (
        lambda at: write(at, {"iocs.zip": entry("a/b")}),
        "iocs.zip",
        2,
        f"iocs.zip is a snapshot of a/b, not of {RULES}, {IOCS}",
    ),
    "a file that is damaged": (
        lambda at: (at / "ruleset.zip").write_bytes(b"PK"),
        "ruleset.zip",
        6,
        "no usable directory",
    ),
    "too large": (lambda at: write(at, " " * 2_000_000), "", 6, "more than 1048576 bytes"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_package_is_an_error_with_what_to_do(
    ctisync: Ctisync, package: Path, name: str
) -> None:
    make, file, code, words = MISTAKES[name]
    make(package)
    ended = ctisync.run("init-snapshot", "-q", "--from", str(package / file))
    assert ended.returncode == code, ended.stderr
    assert_error(ended.stderr, re.escape(words), "")
    assert offsets(ctisync) == {RULES: 0, IOCS: 0}


@pytest.mark.parametrize("name", ["a file of another name", "an offset in quotes"])
@pytest.mark.parametrize("named", [("--consumer", IOCS), ()])
def test_the_offset_that_a_hint_asks_for_heals(
    ctisync: Ctisync, package: Path, name: str, named: tuple[str, ...]
) -> None:
    make, file, *_ = MISTAKES[name]
    make(package)
    ended = ctisync.run("init-snapshot", "-q", *named, "--from", str(package / file))
    (typed,) = commands(ended.stderr.splitlines()[-1].removeprefix("  try: "))
    assert "--offset N" in typed
    yours = {"N": "9", "NAME": IOCS}
    words = [yours.get(word, word) for word in shlex.split(typed)[1:]]
    healed = ctisync.run(*words)
    assert healed.returncode == 0, (typed, healed.stderr)
    assert offsets(ctisync)[IOCS] == 9


@pytest.mark.parametrize("location", ["iocs.zip", "."])
def test_the_hint_about_a_wrong_entry_names_the_consumer_of_the_entry(
    ctisync: Ctisync, package: Path, location: str
) -> None:
    make, *_ = MISTAKES["an offset in quotes"]
    make(package)
    ended = ctisync.run("init-snapshot", "-q", "--from", str(package / location))
    (typed,) = commands(ended.stderr.splitlines()[-1].removeprefix("  try: "))
    assert shlex.split(typed)[2:4] == ["--consumer", IOCS]


@pytest.mark.parametrize(
    ("name", "code", "words", "hint"),
    [
        (
            "an offset in quotes",
            6,
            "manifest.json: iocs.zip: local_offset is a string",
            "copy the package again",
        ),
        (
            "no offset",
            6,
            "manifest.json: iocs.zip: local_offset and remote_offset are absent",
            "copy the package again",
        ),
        (
            "a file of another name",
            2,
            "has no entry for renamed.zip",
            "give the file its name in the manifest",
        ),
    ],
)
def test_a_mistake_in_a_package_that_is_compared_leads_to_no_load(
    ctisync: Ctisync, package: Path, name: str, code: int, words: str, hint: str
) -> None:
    """`verify` has no --offset, and a load would replace the content that was to be verified."""
    assert ctisync.run("init-snapshot", "-q", "--from", str(package)).returncode == 0
    make, file, *_ = MISTAKES[name]
    make(package)
    ended = ctisync.run("verify", "--consumer", IOCS, "--against", str(package / file))
    message, tried = ended.stderr.splitlines()[-2:]
    assert (ended.returncode, words in message, tried) == (code, True, f"  try: {hint}")


def test_a_snapshot_of_another_consumer_is_refused_by_its_file_address_too(
    ctisync: Ctisync, package: Path
) -> None:
    address = (package / "ruleset.zip").as_uri()
    ended = ctisync.run("init-snapshot", "--consumer", IOCS, "--from", address)
    assert (ended.returncode, f"is a snapshot of {RULES}, not of {IOCS}" in ended.stderr) == (2, True)
    assert ctisync.run("init-snapshot", "--from", address).returncode == 0
    assert offsets(ctisync) == {RULES: 50, IOCS: 0}


@pytest.mark.parametrize("name", ["-", "~nobody-of-this-name"])
def test_a_file_of_a_package_is_a_file_whatever_its_name(ctisync: Ctisync, package: Path, name: str) -> None:
    (package / "iocs.zip").rename(package / name)
    write(package, {name: entry(IOCS)})
    ended = subprocess.run(
        ctisync.command("init-snapshot", "-q", "--consumer", IOCS, "--from", "."),
        env=ctisync.environ,
        cwd=package,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, offsets(ctisync)[IOCS]) == (0, 50), ended.stderr


@pytest.mark.parametrize("command", [("init-snapshot", "--from"), ("verify", "--against")])
def test_an_empty_place_is_not_the_folder_of_the_shell(
    ctisync: Ctisync, package: Path, command: tuple[str, ...]
) -> None:
    """As of a variable that is not set. The shell may well be in a package."""
    assert ctisync.run("init-snapshot", "-q", "--from", str(package)).returncode == 0
    (package / "manifest.json").rename(ctisync.home / "manifest.json")
    ended = ctisync.run(*command, "", "--consumer", IOCS)
    assert (ended.returncode, f"{command[1]} is empty" in ended.stderr) == (2, True)


def test_a_manifest_with_a_byte_order_mark_is_read(ctisync: Ctisync, package: Path) -> None:
    write(package, "\ufeff" + (package / "manifest.json").read_text())
    assert ctisync.run("init-snapshot", "-q", "--from", str(package)).returncode == 0
    assert offsets(ctisync) == {RULES: 50, IOCS: 9}


def test_a_damaged_file_hinders_the_others_neither_in_a_pass_nor_in_its_dry_run(
    ctisync: Ctisync, package: Path
) -> None:
    (package / "ruleset.zip").write_bytes(b"PK")
    dry = ctisync.run("init-snapshot", "--from", str(package), "--dry-run")
    assert (dry.returncode, "load the snapshot of offset 9" in dry.stdout) == (6, True)
    assert f"{RULES}: {package}/ruleset.zip: the snapshot is a ZIP that is truncated" in dry.stderr
    ended = ctisync.run("init-snapshot", "-q", "--from", str(package))
    assert (ended.returncode, offsets(ctisync)) == (6, {RULES: 0, IOCS: 9})


def test_a_limit_that_a_snapshot_file_exceeds_is_named_in_the_hint(ctisync: Ctisync, package: Path) -> None:
    ended = ctisync.run("init-snapshot", "--from", str(package / "ruleset.zip"), CTISYNC_LIMITS__MEMBERS="1")
    assert ended.returncode == 6
    assert "if this is expected, raise limits.members" in ended.stderr.splitlines()[-1]


def test_a_package_and_a_network_that_comes_later_go_on_at_its_offset(
    ctisync: Ctisync, package: Path, feed: FeedSimulator
) -> None:
    """The changes alone are asked for."""
    write(
        package, {"iocs.zip": entry(f"{feed.context}/{feed.consumer}", local_offset=feed.history.last_offset)}
    )
    (package / "iocs.zip").write_bytes(zipped({"a.json": b"\n".join(feed.expected_lines())}))
    (ctisync.home / "config" / "ctisync" / "config.toml").write_text("")
    assert ctisync.run("init-snapshot", "-q", "--from", str(package)).returncode == 0
    feed.history.create("CVE-new")
    ctisync.environ["CTISYNC_CTI__URL"] = feed.url
    assert ctisync.run("sync", "-q").returncode == 0
    assert [request.kind for request in feed.requests] == ["info", "changes"]
