"""What people and programs are shown: nothing that a terminal obeys, nothing that cannot be read back."""

import base64
import io
import json
import re
from typing import Final
from urllib.parse import quote

from ctisync.commands import records
from ctisync.console import Console
from ctisync.console.journal import _line
from ctisync.console.masking import Mask
from ctisync.core import json_text, wire
from ctisync.core.difference import NoExport, differences
from ctisync.errors import UsageError
from ctisync.escaping import escape_lines
from tests.fuzz.drawing import Drawn
from tests.fuzz.on_json import WORDS
from tests.fuzz.on_wire import RECORDS
from tests.fuzz.printed import FORMATS, harmless
from tests.fuzz.target import target
from tests.support.clock import FakeClock

TOKENS: Final = (
    *b"\x1b[2J \x9b \xc2\x9b \xe2\x80\xae \xe2\x80\xa8 \x07 = \\".split(),
    b'"',
    b"\r",
    b"\n",
    b" ",
    *b"\x00 \x7f \xe2\x81\xa6 \xf0\x9f\x90\x9e % &#x41; \\u0041".split(),
    b"\xc2\x85",
    b"\xed\xa0\x80",
)


@target(seeds=[b'\3text="x" y', b"\0plain", b"\1\x1b[2J\nforged", b"\4a\nb"], tokens=TOKENS, most_bytes=300)
def events(data: bytes) -> None:
    """An event's field, told in each of the formats: one line that a terminal does not obey; JSON gives the
    text back."""
    drawn = Drawn(data)
    number = drawn.number(200)
    text = drawn.rest().decode("utf-8", "replace")
    for form in FORMATS:
        stream = io.StringIO()
        console = Console(stream, FakeClock())
        console.configure(least="info", log_format=form)
        console.event("warning", "met", why=text, number=number, absent=None)
        error = UsageError("")
        error.message, error.hint = text, text  # as if they had not been cleaned where they came in
        console.error(error)
        lines = stream.getvalue().removesuffix("\n").split("\n")
        assert len(lines) == (2 if form == "json" else 3 if text else 2), lines
        for line in lines:
            assert harmless(line), f"{form}: {line!r}"
        if form == "json":
            event, error = (json.loads(line) for line in lines)
            assert (event["why"], event["number"], error["message"]) == (text, number, text)


@target(seeds=[b"text", b"a\nb", b"\n", b"\0\1=\n=", b""], tokens=TOKENS, most_bytes=300)
def journal(data: bytes) -> None:
    """A field of a message to systemd's journal is read back by its protocol, and no field beside it."""
    value = data.decode("utf-8", "replace").encode()
    message = _line("CTISYNC_WHY", value) + _line("MESSAGE", b"next")
    assert _read_back(message) == {"CTISYNC_WHY": value, "MESSAGE": b"next"}, message


def _read_back(message: bytes) -> dict[str, bytes]:
    """https://systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    fields: dict[str, bytes] = {}
    while message:
        line, _, message = message.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            size = int.from_bytes(message[:8], "little")
            value, message = message[8 : 8 + size], message[8 + size + 1 :]
        assert name.decode() not in fields
        fields[name.decode()] = value
    return fields


@target(
    seeds=[b"\x0fpass word/1+\xc3\xa9x behind", b"\x08secret12before", b"\x0aa%&<b\"' c"],
    tokens=TOKENS,
    most_bytes=200,
)
def masks(data: bytes) -> None:
    """A secret within other text, however it is spelt there, is blotted out; without it, the text stays."""
    drawn = Drawn(data)
    secret = drawn.take(drawn.number(24)).decode("utf-8", "replace").strip()
    around = drawn.rest().decode("utf-8", "replace")
    if len(secret) < 8 or secret in around or re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]", secret):
        return
    mask = Mask([secret])
    spellings = [secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote(secret), repr(secret)[1:-1]]
    spellings.append(quote(quote(secret, safe=""), safe=""))
    for spelt in spellings:
        masked = mask(f"{around} {spelt} {around}")
        assert "***" in masked, f"{secret!r} as {spelt!r}"
        assert len(set(secret)) < 4 or spelt not in masked, f"{secret!r} as {spelt!r}: {masked!r}"
    assert base64.b64encode(mask("").encode()) == b""


ADVISORY: Final = (
    b'{"name":"CVE-1","offset":1,"payload":{"cveMetadata":{"state":"PUBLISHED","datePublished":"2026-01-01"},'
    b'"containers":{"cna":{"title":"t","descriptions":[{"lang":"en","value":"d\\u001b[2J"}],"affected":[{"vendor":"v",'
    b'"product":"p","versions":[{"status":"affected","version":"0","lessThan":"2"}]}],"metrics":[{"cvssV3_1":'
    b'{"baseScore":9.8,"baseSeverity":"HIGH","vectorString":"CVSS:3.1/AV:N"}}],"references":[{"url":"https://x"}],'
    b'"problemTypes":[{"descriptions":[{"cweId":"CWE-1","description":"CWE-1 x"}]}]}}}}'
)


@target(
    seeds=[
        *RECORDS,
        ADVISORY,
        b'{"resource":"rule/1","offset":1,"payload":{"type":"rule","document":{"id":1,"feed":{"a":["b",{}]}}}}',
    ],
    tokens=[
        *WORDS,
        b'"document":',
        b'"type":',
        b"[]",
        b"{}",
        b"7",
        b'""',
        b"\\u001b[2J",
        b'"versions":',
        b'"baseScore":',
    ],
    most_bytes=1500,
)
def shown_records(data: bytes) -> None:
    """A record that a store may hold is shown, whatever its payload: without what a terminal obeys."""
    line = data.replace(b"\n", b" ")
    try:
        wire.record(line)
        json_text.decode(line)
    except ValueError:
        return
    for row in escape_lines(records.as_text(line)).split("\n"):
        assert harmless(row), repr(row)
    assert json_text.decode(records.as_stored(line).encode()) == json_text.decode(line)


@target(
    seeds=[
        RECORDS[0] + b"\n\n" + RECORDS[0].replace(b"2.50", b"2.5"),
        RECORDS[0] + b"\n" + RECORDS[1] + b"\n\n",
        RECORDS[0] + b"\n\n" + RECORDS[0].replace(b"2.50", b"3"),
    ],
    tokens=[*WORDS, *RECORDS[:2]],
)
def compared_exports(data: bytes) -> None:
    """Two exports, an empty line between them. An export has no difference from itself, and the differences
    the other way round are the same."""
    old, _, new = (part.splitlines() for part in data.partition(b"\n\n"))
    try:
        compared = list(differences(old, new))
        assert list(differences(old, old)) == []
    except NoExport as error:
        assert error.which in (0, 1)
        return
    back = list(differences(new, old))
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    assert [(each.name, turned[each.what], each.fields) for each in back] == [
        (each.name, each.what, each.fields) for each in compared
    ]
    assert [each.name.encode() for each in compared] == sorted(each.name.encode() for each in compared)
