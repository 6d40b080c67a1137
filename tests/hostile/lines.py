"""Hostile lines: each by its name in words, with what a refusal must say, or that it is to be loaded."""

from collections.abc import Iterable
from typing import Final

from tests.hostile.assertions import Refused
from tests.support.records import awkward, line, made_up

GOOD: Final = tuple(each.line for each in made_up(40))
PLACE: Final = 21
"""A hostile line comes behind twenty good ones, which have then been written; it is counted from 1."""

BOM: Final = b"\xef\xbb\xbf"


def of(
    payload: bytes = b"{}",
    name: bytes = b'"HOSTILE"',
    offset: bytes = b"7",
    version: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    """A line from JSON texts; `more` are further fields, each with a comma in front."""
    more = more if version is None else b',"version":' + version + more
    return b'{"name":' + name + b',"offset":' + offset + more + b',"payload":' + payload + b"}"


def ndjson(lines: Iterable[bytes]) -> bytes:
    return b"".join(each + b"\n" for each in lines)


def array(lines: Iterable[bytes]) -> bytes:
    return b"[" + b",\n".join(lines) + b"]"


def value(text: bytes) -> bytes:
    """A line with this text as a value within its payload."""
    return of(b'{"list":[1,{"key":' + text + b"}]}")


def named(name: str) -> bytes:
    return of(name=b'"' + name.encode() + b'"')


def nested(depth: int) -> bytes:
    """A line whose payload has so many containers inside one another."""
    return of(b'{"k":' * (depth - 1) + b"{}" + b"}" * (depth - 1))


def _mistyped(got: str, **field: bytes) -> Refused:
    """One field of another type than it must have; `got` is that type in the refusal's words."""
    (name,) = field
    return Refused(f"got `{got}` at `{name}`", of(**field))


_NO_JSON: Final = "is not a record: it is not JSON"
_NO_UTF8: Final = r"is not a record: it is not UTF-8 \(byte \d+\)"

REFUSED: Final = {
    # JSON that is none.
    "NaN": Refused(_NO_JSON, value(b"NaN")),
    "Infinity": Refused(_NO_JSON, value(b"Infinity")),
    "-Infinity": Refused(_NO_JSON, value(b"-Infinity")),
    "NaN in a field that nobody reads": Refused(_NO_JSON, of(more=b',"other":NaN')),
    "a number with a leading zero": Refused(_NO_JSON, value(b"01")),
    "a number with a plus": Refused(_NO_JSON, value(b"+1")),
    "a fraction without a digit before it": Refused(_NO_JSON, value(b".5")),
    "a fraction without a digit behind it": Refused(_NO_JSON, value(b"1.")),
    "an exponent without a digit": Refused(_NO_JSON, value(b"1e")),
    "a hexadecimal number": Refused(_NO_JSON, value(b"0x10")),
    "a word of Python": Refused(_NO_JSON, value(b"None")),
    "a string in single quotes": Refused(_NO_JSON, value(b"'x'")),
    "a key without quotes": Refused(_NO_JSON, value(b"{a:1}")),
    "a key that is a number": Refused(_NO_JSON, value(b"{1:2}")),
    "a comma too many in a list": Refused(_NO_JSON, value(b"[1,]")),
    "a comma too many in an object": Refused(_NO_JSON, value(b'{"a":1,}')),
    "a comma too few": Refused(_NO_JSON, value(b"[1 2]")),
    "a comment": Refused(_NO_JSON, value(b"1/*one*/")),
    "a line break within a string": Refused(_NO_JSON, value(b'"a\rb"')),
    "a tabulator within a string": Refused(_NO_JSON, value(b'"a\tb"')),
    "a NUL byte within a string": Refused(_NO_JSON, value(b'"a\0b"')),
    "an escape of no known kind": Refused(_NO_JSON, value(rb'"\x41"')),
    "an escape with too few digits": Refused(_NO_JSON, value(rb'"\u12"')),
    "a bracket too few": Refused(_NO_JSON, of(b'{"a":[1}')),
    "a bracket too many": Refused(_NO_JSON, of(b"{}}")),
    "a line that is cut": Refused(_NO_JSON, GOOD[3][:-9]),
    "a line of one bracket": Refused(_NO_JSON, b"{"),
    "a line of a NUL byte": Refused(_NO_JSON, b"\0"),
    "a line behind a NUL byte": Refused(_NO_JSON, b"\0" + of()),
    "a line before a NUL byte": Refused(_NO_JSON, of() + b"\0"),
    "two records on one line": Refused(_NO_JSON, of() + of()),
    "two records with a carriage return between them": Refused(_NO_JSON, of() + b"\r" + of()),
    "a record with a record separator before it": Refused(_NO_JSON, b"\x1e" + of()),
    "a byte order mark that does not begin the file": Refused(_NO_JSON, BOM + of()),
    "a no-break space before the record": Refused(_NO_JSON, "\u00a0".encode() + of()),
    "a line of prose": Refused(_NO_JSON, b"Proxy error, please try again"),
    # Text that no store and no other program could hold.
    "half a character": Refused(_NO_JSON, value(rb'"\ud800"')),
    "half a character before another one": Refused(_NO_JSON, value(rb'"\ud800\u0041"')),
    "two first halves of characters": Refused(_NO_JSON, value(rb'"\ud800\ud800"')),
    "the second half of a character": Refused(_NO_JSON, value(rb'"\udc00"')),
    "half a character in a key": Refused(_NO_JSON, value(rb'{"\ud800":1}')),
    "half a character in a name": Refused(_NO_JSON, of(name=rb'"\ud800"')),
    "half a character in a field that nobody reads": Refused(_NO_JSON, of(more=rb',"other":"\ud800"')),
    "a byte that is no UTF-8": Refused(_NO_UTF8, value(b'"\xff"')),
    "a byte that is no UTF-8, in a key": Refused(_NO_UTF8, value(b'{"\xff":1}')),
    "a byte that is no UTF-8, in a name": Refused(_NO_UTF8, of(name=b'"\xff"')),
    "a byte that is no UTF-8, in a field that nobody reads": Refused(_NO_UTF8, of(more=b',"other":"\xff"')),
    "Latin-1": Refused(_NO_UTF8, value('"é"'.encode("latin-1"))),
    "UTF-8 that is longer than need be": Refused(_NO_UTF8, value(b'"\xc0\x80"')),
    "half a character in UTF-8": Refused(_NO_UTF8, value(b'"\xed\xa0\x80"')),
    "a character beyond the last one": Refused(_NO_UTF8, value(b'"\xf4\x90\x80\x80"')),
    "a character of UTF-8 that is cut": Refused(_NO_UTF8, value(b'"\xe6\x97"')),
    # What is no record.
    "an array": Refused("not an object", b"[" + of() + b",1]"),
    "a number": Refused("not an object", b"7"),
    "a string": Refused("not an object", b'"' + b"x" * 20 + b'"'),
    "null": Refused("not an object", b"null"),
    "true": Refused("not an object", b"true"),
    "an object of nothing": Refused("it has no (name|offset)", b"{}"),
    "a whole reply around the record": Refused("it has no (name|offset)", b'{"data":[' + of() + b"]}"),
    "no name": Refused("it has no name", b'{"offset":7,"payload":{}}'),
    "a name in capitals": Refused("it has no name", b'{"NAME":"x","offset":7,"payload":{}}'),
    "a resource that is a number": Refused("got `int` at `resource`", of(more=b',"resource":5')),
    "a resource of nothing beside a name": Refused("its name is empty", of(more=b',"resource":""')),
    "a name that is null": Refused("it has no name", of(name=b"null")),
    "a name that is a number": _mistyped("int", name=b"7"),
    "a name that is true": _mistyped("bool", name=b"true"),
    "a name that is a list": _mistyped("array", name=b'["x"]'),
    "a name that is an object": _mistyped("object", name=b"{}"),
    "a name that is empty": Refused("its name is empty", of(name=b'""')),
    "a name of 513 bytes": Refused("its name has 513 bytes", named("x" * 513)),
    "a name of 171 characters that are 513 bytes": Refused("its name has 513 bytes", named("日" * 171)),
    "a name with a NUL": Refused("its name contains control characters", of(name=rb'"a\u0000b"')),
    "a name with a line break": Refused("its name contains control characters", of(name=rb'"a\nb"')),
    "a name with an escape of a terminal": Refused("its name contains control", of(name=rb'"\u001b[2J"')),
    "a name with a C1 control character": Refused("its name contains control", named("a\u0085b")),
    "no offset": Refused("it has no offset", b'{"name":"x","payload":{}}'),
    "an offset that is null": _mistyped("null", offset=b"null"),
    "an offset that is a string": _mistyped("str", offset=b'"7"'),
    "an offset that is true": _mistyped("bool", offset=b"true"),
    "an offset that is a list": _mistyped("array", offset=b"[7]"),
    "an offset that is a fraction": _mistyped("float", offset=b"7.5"),
    "an offset of 7.0": _mistyped("float", offset=b"7.0"),
    "an offset with an exponent": _mistyped("float", offset=b"75e-1"),
    "an offset below zero": Refused("its offset -1 is out of range", of(offset=b"-1")),
    "an offset of 2^63": Refused("its offset 9223372036854775808 is out of range", of(offset=b"%d" % 2**63)),
    "an offset of 2^64": Refused("its offset 18446744073709551616 is out", of(offset=b"%d" % 2**64)),
    "an offset of 5,000 digits": Refused("out of range at `offset`", of(offset=b"9" * 5000)),
    "an offset above the snapshot's own": Refused(
        r"\(HOSTILE\) has offset 2000, above the snapshot's offset \d+", of(offset=b"2000")
    ),
    "an offset of 2^63 - 1, above the snapshot's own": Refused("above", of(offset=b"%d" % (2**63 - 1))),
    "no payload": Refused("it has no payload", b'{"name":"x","offset":7}'),
    "a payload that is null": Refused("its payload is not an object", of(b"null")),
    "a payload that is a list": Refused("its payload is not an object", of(b"[]")),
    "a payload that is a string": Refused("its payload is not an object", of(b'"{}"')),
    "a payload that is a number": Refused("its payload is not an object", of(b"7")),
    "a version that is a string": _mistyped("str", version=b'"2"'),
    "a version that is a fraction": _mistyped("float", version=b"2.5"),
    "a version that is true": _mistyped("bool", version=b"true"),
    "a payload nested deeper than limits.json_depth": Refused(r"limits\.json_depth", nested(501)),
    "a payload without a bottom": Refused("nested too deeply", nested(100_000)),
}

ODD_NAMES: Final = (
    " ", "_id", ".", "..", "../../etc/passwd", "a/b", "a\\b", '"', "%2e%2e", "*", "?", "#", "a b", "NULL",
    "cve-2024-1", "CVE-2024-1", "Cve-2024-1", "\u00e9", "e\u0301", "\u2028", "\ufeff", "\u202etxt.exe",
    "\uffff", "🐞", "ДИТ-日本", "x" * 511, "x" * 512, "日" * 170,
)  # fmt: skip
"""Each is another record: neither case nor normalisation makes two of them one."""

KEPT: Final = (
    *(each.line for each in awkward()),
    *(line(name, number) for number, name in enumerate(ODD_NAMES, start=1)),
    of(name=b'"offset 0"', offset=b"0"),
    of(name=b'"offset -0"', offset=b"-0"),
    of(name=b'"version null"', version=b"null"),
    of(name=b'"a title"', more=b',"resource":"rule/1"'),
    of(name=b"null", more=b',"resource":"rule/2"'),
    of(name=b'"resource null"', more=b',"resource":null'),
    of(name=b'"version large"', version=b"9" * 30),
    of(name=b'"times and more"', more=b',"inserted_at":7,"later":{"a":[1,2,{}]},"Name":"x"'),
    of(name=b'"blanks"', payload=b'{ "a" :\t[ 1 , 2 ] } '),
    of(name=b'"numbers"', payload=b'{"a":1e999,"b":-1e999,"c":-0,"d":1E+2,"e":9.30}'),
    of(name=b'"4,300 digits"', payload=b'{"a":' + b"9" * 4300 + b"}"),
    of(name=b'"texts"', payload='{"a":"\x7f\ufffd\uffff\u2028\u0085"}'.encode()),
    of(name=b'"escaped texts"', payload=rb'{"a":"\u0000\ud83d\udc1e\/\u00e9"}'),
    b'{"payload":{},"offset":7,"\\u006eame":"escaped keys, and the name last"}',
)
"""Lines that a careless program alters, loses or refuses."""

DEEPEST: Final = nested(500)
"""As deep as limits.json_depth allows."""

KEY_TWICE: Final = {
    "a key twice in an object of the payload": value(b'{"a":1,"a":2}'),
    "a key twice in the payload": of(b'{"a":1,"a":2}'),
    "two payloads": of(b'{"a":1},"payload":{"a":2}'),
    "two names": of(name=b'"ANOTHER","name":"HOSTILE"'),
    "two offsets": of(offset=b'3,"offset":7'),
    "two versions": of(more=b',"version":1,"version":2'),
}
"""JSON leaves open which counts. It is the last one wherever such a line is decoded."""

UNREADABLE: Final = {
    "an integer of 5,000 digits": value(b"9" * 5000),
    "an exponent of 20 digits": value(b"1e99999999999999999999"),
    "an exponent of 20 digits below zero": value(b"1e-99999999999999999999"),
}
"""Good JSON, and beyond what programs take for a number."""
