"""Each event as a person reads it: a sentence of its own fields, and none is left out for want of one."""

import re
from datetime import UTC, datetime
from string import Formatter
from typing import Any

import pytest

from ctisync.console.sentences import _SENTENCES, sentence
from tests.docs import log_events

WRITTEN = log_events.written()


@pytest.mark.parametrize("event", sorted(WRITTEN))
def test_no_event_reads_like_a_line_for_programs(event: str) -> None:
    fields = dict.fromkeys(WRITTEN[event].fields, 1234)
    for level in WRITTEN[event].levels - {"error"}:
        text = sentence(level, event, fields, verbose=True)
        assert text is not None or (event, level) == ("pass-ended", "info")
        assert text is None or re.fullmatch(r"(?!.*\w=)(?!.*\?).*\.", text), text


@pytest.mark.parametrize("event", _SENTENCES)
def test_a_sentence_is_made_of_fields_that_the_event_has(event: str) -> None:
    used = {name for _, name, _, _ in Formatter().parse(_SENTENCES[event]) if name is not None}
    assert used <= WRITTEN[event].fields


@pytest.mark.parametrize(
    ("event", "fields", "text"),
    [
        ("initialised", {"consumer": "a/b", "records": 1, "offset": 9},
         "a/b: 1 record loaded, at offset 9."),
        ("feed-asked", {"consumer": "a/b", "offset": 0, "last_offset": None},
         "a/b: the feed is at offset ?, the content at 0."),
        ("pass-begun", {"consumer": "a/b", "phase": "ready", "last_offset": 1234, "done": True},
         "a/b: pass begun: phase ready, last offset 1,234, done yes."),
        ("unheard-of", {"at": datetime(2026, 1, 2, tzinfo=UTC)}, "unheard of: at 2026-01-02 00:00:00 UTC."),
    ],
)  # fmt: skip
def test_what_an_event_says(event: str, fields: dict[str, Any], text: str) -> None:
    assert sentence("info", event, fields, verbose=True) == text
