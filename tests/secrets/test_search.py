"""The search finds what it is there to find: a secret that is let slip on purpose, wherever and however."""

import base64
import gzip
import html
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import pytest

from tests.secrets import canaries
from tests.secrets.conftest import MakeStage
from tests.secrets.settings import SECRETS
from tests.secrets.stage import ALL

TOKEN: Final = SECRETS["cti.token"]

SLIPS: Final[dict[str, Callable[[str], bytes]]] = {
    "as it is": lambda text: text.encode(),
    "in capitals": lambda text: text.upper().encode(),
    "as JSON": lambda text: json.dumps(text).encode(),
    "for an address": lambda text: quote(text, safe="").encode(),
    "as repr": lambda text: repr(text.encode()).encode(),
    "as HTML": lambda text: html.escape(text).encode(),
    "its first half": lambda text: text[: len(text) // 2].encode(),
    "its second half": lambda text: text[len(text) // 2 :].encode(),
    "a dozen characters": lambda text: text[2:14].encode(),
    "over two lines": lambda text: f"{text[:20]}\n  {text[20:]}".encode(),
    "backwards": lambda text: text[::-1].encode(),
    "in hexadecimal": lambda text: text.encode().hex().encode(),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "in BASE64": lambda text: base64.b64encode(text.encode()),
    "in BASE64, with one before": lambda text: base64.b64encode(b"x" + text.encode()),
    "in BASE64, with two before": lambda text: base64.b64encode(b"xx" + text.encode()),
    "as a login": lambda text: base64.b64encode(f"wazuh-admin:{text}".encode()),
    "in BASE64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
}


@pytest.mark.parametrize("canary", ALL, ids=lambda canary: str(canary.name))
@pytest.mark.parametrize("slip", SLIPS)
def test_a_secret_is_detected_however_it_is_written(canary: canaries.Canary, slip: str) -> None:
    content = b"before " * 100 + SLIPS[slip](canary.text) + b" after" * 100
    names = {what.rpartition(" (")[0] for what in canaries.leaks_in(ALL, content)}
    assert names == {canary.name}


def test_what_is_packed_is_not_detected_which_the_page_of_guarantees_says() -> None:
    assert canaries.leaks_in(ALL, gzip.compress(TOKEN.text.encode() * 2)) == []


LEAKS: Final = {
    "standard output": "sys.stdout.buffer.write(token)",
    "standard error": "sys.stderr.buffer.write(token)",
    "state/left.txt": "open('state/left.txt', 'wb').write(b64encode(token))",
    "state/ctisync.db": "connect('state/ctisync.db').execute('CREATE TABLE x AS SELECT ? AS y', (token,))",
    "tmp/deep/down": "os.makedirs('tmp/deep'); open('tmp/deep/down', 'wb').write(token)",
    f"the name of {TOKEN.codes[0]}": "open(os.environ['CODE'], 'wb')",
    "command lines": "run([sys.executable, '-c', 'import time; time.sleep(3)', os.environ['CODE']])",
}

PROGRAM: Final = """
import os, sys
from base64 import b64encode
from sqlite3 import connect
from subprocess import run
token = os.environb[b"CTISYNC_CTI__TOKEN"]
{leak}
"""


@pytest.mark.parametrize("place", LEAKS, ids=lambda place: place.replace(TOKEN.codes[0], "a file"))
def test_a_secret_that_a_process_lets_slip_is_detected_where_it_lies(
    on_sqlite: MakeStage, place: str
) -> None:
    stage = on_sqlite()
    stage.environ["CODE"] = TOKEN.codes[0]

    ended = stage.run(program=PROGRAM.format(leak=LEAKS[place]))

    assert ended.code == 0, ended.stderr.decode()
    assert [leak for leak in ended.leaks() if leak.startswith(f"{place}: {TOKEN.name}")], ended.leaks()


@pytest.mark.parametrize(
    ("place", "path", "content"),
    [
        ("the state document", "/wazuh-context/_doc/vd_1.0.0", {"note": TOKEN.text}),
        ("all documents", "/another/_doc/1", {"note": [{"deep": SECRETS["store.password"].text}]}),
        ("the cluster's state", "/another", {"mappings": {"_meta": {"note": TOKEN.text}}}),
        ("the cluster's state", "/another", {"aliases": {TOKEN.codes[0]: {}}}),
    ],
)
def test_a_secret_in_opensearch_is_detected_where_it_lies(
    on_opensearch: MakeStage, place: str, path: str, content: object
) -> None:
    stage = on_opensearch()
    assert stage.node is not None
    stage.node.request("PUT", path, content)

    assert any(leak.startswith(place) for leak in stage.run("status").leaks())


def test_a_secret_that_a_server_gets_without_need_is_detected(on_sqlite: MakeStage) -> None:
    stage = on_sqlite()
    stage.environ["CTISYNC_COMMAND_MANAGER__URL"] = stage.servers["elsewhere"].url
    stage.publish()

    stage.run("sync")

    assert stage.strays() == ["elsewhere: command_manager.password (in BASE64)"]
