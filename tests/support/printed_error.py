"""An error as a command prints it: a line that says what failed and why, and one with what to type."""

import re


def assert_error(stderr: str, message: str, hint: str) -> None:
    """`stderr` ends with these two lines. `message` is a regular expression."""
    assert "Traceback" not in stderr
    first, tried = stderr.splitlines()[-2:]
    assert first.startswith("ctisync: ")
    assert re.search(message, first), first
    assert tried.startswith("  try: ")
    assert hint in tried


def assert_two_lines(stderr: str, message: str, hint: str) -> None:
    """The same, as a text, and nothing before them."""
    assert len(stderr.splitlines()) == 2, stderr
    assert_error(stderr, re.escape(message), hint)
