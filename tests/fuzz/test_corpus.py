"""What fuzzing has found, and what it began with, through the same oracles; and whether these bite."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ctisync.feed.snapshot.parsers import MOST_DIGITS, NotJson
from tests.fuzz.place import folder
from tests.fuzz.target import CORPUS, TARGETS, kept
from tests.fuzz.targets import ALL

MOST_BYTES = 12_000


@pytest.fixture(autouse=True)
def _a_folder_for_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder.cache_clear()
    yield
    folder.cache_clear()


def failed(name: str) -> list[str]:
    """The inputs at which the target's check fails, and how."""
    failures = []
    for data in TARGETS[name].inputs():
        try:
            TARGETS[name].check(data)
        except Exception as error:  # noqa: BLE001  # whatever it is
            failures.append(f"{data!r}: {type(error).__name__}: {error}")
    return failures


@pytest.mark.parametrize("name", ALL)
def test_no_input_of_the_corpus_breaks_a_promise(name: str) -> None:
    assert failed(name) == []


def nothing(*_: Any, **__: Any) -> None:
    """A check that checks nothing."""


def passed_on(chunks: Any) -> Any:
    """A filter that filters nothing."""
    return chunks


def without_halves(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """`bearable` for digits alone: with more of them, the parser ends the process."""
    text = b"".join(chunks)
    if re.search(rb"[0-9]{%d}" % (MOST_DIGITS + 1), text):
        raise NotJson
    yield text


def always(*_: Any) -> bool:
    return True


def never(*_: Any) -> bool:
    return False


def attempted(_: object, attempt: Callable[[], Any]) -> Any:
    return attempt()


FAULTS: dict[str, tuple[str, Any]] = {
    "archives": ("ctisync.feed.snapshot.zip_stream.Archive.check_first", nothing),
    "members": ("ctisync.feed.snapshot.zip_stream.Archive.check_first", nothing),
    "scans": ("ctisync.core.json_text._is_shallow", always),
    "bearables": ("tests.fuzz.on_json.bearable", passed_on),
    "streams": ("ctisync.feed.snapshot.parsers.bearable", without_halves),
    "records": ("ctisync.core.wire.wrong_name", nothing),
    "consumers": ("ctisync.core.wire._offset_or_none", lambda data, field: data.get(field)),
    "changes": ("ctisync.core.wire.wrong_name", nothing),
    "links": ("ctisync.feed.http.url_policy.has_login", never),
    "shown_links": ("ctisync.core.links._LOGIN", re.compile("(?!)")),
    "addresses": ("tests.fuzz.on_links.is_public", always),
    "dates": ("tests.fuzz.on_replies.next_delay", lambda *_: 0.0),
    "bodies": ("ctisync.feed.http.replies._at_most", lambda most, already, chunks: chunks),
    "downloads": ("ctisync.feed.snapshot.download.Download._is_complete", always),
    "feeds": ("ctisync.feed.http.budget.RetryBudget.persist", attempted),
    "accepted_commands": ("ctisync.command_manager.decode", lambda text: 1 / 0),
    "snapshot_sizes": ("ctisync.feed.http.transport._RANGE", re.compile("bytes (0)-(0)/(.*)")),
    "sqlite_states": ("ctisync.stores.sqlite.connection.translate_errors", nullcontext),
    "opensearch_states": ("ctisync.stores.opensearch.client.UNDECODABLE", msgspec.MsgspecError),
    "notes": ("ctisync.feed.snapshot.download.UNDECODABLE", (msgspec.MsgspecError,)),
    "lock_files": ("ctisync.system.locks.UNDECODABLE", msgspec.MsgspecError),
    "metric_files": ("ctisync.notifications.metrics.text_string_to_metric_families", lambda text: 1 / 0),
    "manifests": ("ctisync.core.catalog.MAX_OFFSET", 1 << 70),
    "signed_links": ("ctisync.feed.http.token_exchange.origin", nothing),
    "histories": (
        "ctisync.core.pass_report.PassReport.ended_at",
        property(lambda report: report.began_at - timedelta(days=1)),
    ),
    "patches": ("ctisync.core.patch.equal", lambda one, other: one == other),
    "toml_files": ("ctisync.settings.check_settings", lambda *_: 1 / 0),
    "whole_settings": ("ctisync.settings.sources.UNDECODABLE", (RecursionError,)),
    "states_in_passes": ("ctisync.core.steps.contradiction", nothing),
    "documents_in_passes": ("ctisync.core.steps.contradiction", nothing),
    "altered_files": ("ctisync.stores.sqlite.connection._is_raised_here", never),
    "environments": ("tests.fuzz.on_settings.proxies", dict),
    "setting_urls": ("ctisync.settings.checks.refuse_credentials", nothing),
    "events": ("ctisync.escaping._escaped", str),
    "journal": ("tests.fuzz.on_words._line", lambda name, value: b"%s=%s\n" % (name.encode(), value)),
    "masks": ("ctisync.console.masking._spelt", re.escape),
    "shown_records": ("ctisync.escaping._escaped", str),
    "compared_exports": ("ctisync.core.difference._ALWAYS", 7),
}
"""By target: what is put where, so that a promise is broken."""


@pytest.mark.parametrize("name", ALL)
def test_a_fault_that_breaks_a_promise_fails_the_targets_check(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, fault = FAULTS[name]
    monkeypatch.setattr(place, fault)
    assert failed(name)


def test_the_corpora_stay_small_and_belong_to_targets() -> None:
    sizes = {path.stem: path.stat().st_size for path in CORPUS.iterdir()}
    assert sizes.keys() <= set(ALL)
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}
    assert all(isinstance(each, bytes) for name in sizes for each in kept(name))
