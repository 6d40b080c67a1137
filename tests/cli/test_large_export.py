"""An export of more than is written at once: every line in its place, to a pipe and to a file."""

from tests.cli.conftest import Ctisync
from tests.support.records import long_record, made_up


def test_a_content_of_many_pieces_is_written_whole_and_in_order(ctisync: Ctisync) -> None:
    records = [*made_up(300), *(long_record(f"CVE-2030-{number}", 1) for number in range(3))]
    (ctisync.home / "given.ndjson").write_bytes(b"\n".join(each.line for each in records))
    loaded = ctisync.run("init-snapshot", "-q", "--from", "given.ndjson", "--offset", "1000")
    assert loaded.returncode == 0, loaded.stderr

    expected = b"".join(each.line + b"\n" for each in sorted(records, key=lambda each: each.name))
    assert ctisync.run("export").stdout.encode() == expected
    assert ctisync.run("export", "--output", "whole.ndjson").returncode == 0
    assert (ctisync.home / "whole.ndjson").read_bytes() == expected
