"""docs/man/ctisync.1, from what the program says of its commands, exit codes and settings itself.

One page for all commands, so that an operator finds everything with one search.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ctisync.cli.help import EXIT_CODES, ExitCode, HelpText
from ctisync.errors import _WORST_FIRST
from ctisync.settings import Settings
from ctisync.settings.schema import variable
from tests.docs import settings_table
from tests.docs.command_tree import Command, Row, commands, root, shared

DESCRIPTION: Final = """\
ctisync loads the content, about 300,000 CVE records, once from a snapshot. Then it applies the changes, which
the feed numbers by offset. Each run is one pass that ends by itself, so you can start it from cron, from a
systemd timer or by hand. The copy is stored in a SQLite file, or in OpenSearch such as a Wazuh indexer.

Without settings, `ctisync sync` keeps a SQLite file in your state folder in step. Results go to standard
output, events and errors to standard error. After a kill there is nothing to clean up: the next pass
continues.
"""

SETTINGS: Final = """\
ctisync reads the defaults, the files below, systemd credentials and the environment, in this order. A later
source overrides an earlier one; an empty text counts as not set. `ctisync config init` prints a template;
`ctisync config show` prints each value and its source. `consumers` is a list of tables in a file, and JSON in
the environment variable CTISYNC_CONSUMERS.
"""

ENVIRONMENT: Final[Sequence[Row]] = (
    ("CTISYNC_...", "One setting each, as listed above; overrides the files."),
    (
        "CREDENTIALS_DIRECTORY",
        "Folder with secrets from systemd: files named like their settings.",
    ),
    (
        "STATE_DIRECTORY",
        "Folder for locks, downloads and the SQLite file, unless `state_dir` is set; systemd sets it.",
    ),
    (
        "JOURNAL_STREAM",
        "Tells ctisync that its log goes to systemd's journal, so that it can fill fields; systemd sets it.",
    ),
    ("XDG_STATE_HOME", "Parent of the state folder otherwise; not set: ~/.local/state."),
    ("XDG_CONFIG_HOME", "Parent of the folder of your own settings; not set: ~/.config."),
    (
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
        "Proxies for the feed, not for the store or the Command Manager. Lower-case names take precedence.",
    ),
)

FILES: Final[Sequence[Row]] = (
    ("/etc/ctisync/config.toml", "Settings of the host."),
    (
        "~/.config/ctisync/config.toml",
        "Your own settings, which override those of the host. `--config` replaces this file.",
    ),
    ("~/.local/state/ctisync/ctisync.db", "Content and state, unless `store.url` is set."),
    ("~/.local/state/ctisync/*.lock", "Lock of the running pass. Never delete one."),
)


def page() -> str:
    """The page in roff, by the macros of man(7)."""
    every = commands()
    (top, *others) = every
    lines = [
        '.\\" Generated from the program: make man',
        '.TH CTISYNC 1 "" ctisync "User commands"',
        ".SH NAME",
        f"ctisync \\- {prose(_as_name(root().help))}",
        ".SH SYNOPSIS",
        *_lines(f".B {code(each.usage)}" for each in others if not each.is_group),
        ".SH DESCRIPTION",
        *_paragraphs(DESCRIPTION),
        ".SH OPTIONS",
        *_rows(top.options),
        ".SH COMMANDS",
        *_commands(others, shared(every)),
        ".SH COMMON OPTIONS",
        "Each command lists which of these it takes.",
        *_rows(shared(every)),
        ".SH EXIT STATUS",
        *_exit_codes(),
        f"With several consumers the worst code wins, in the order {worst_first()}.",
        ".SH SETTINGS",
        *_paragraphs(SETTINGS),
        *_settings(),
        ".SH ENVIRONMENT",
        *_rows(ENVIRONMENT),
        ".SH FILES",
        *_rows(FILES),
        ".SH EXAMPLES",
        *_examples(top.help_text),
    ]
    return "\n".join(lines) + "\n"


def worst_first() -> str:
    """Of the exit codes of passes; a signal ends them all."""
    return ", ".join(str(code) for code in _WORST_FIRST if code not in (130, 143))


def _as_name(about: str) -> str:
    return about[0].lower() + about[1:].rstrip(".")


def _commands(several: Sequence[Command], common: Sequence[Row]) -> Iterator[str]:
    for each in several:
        if each.is_group:
            continue
        yield f".SS {quoted(each.call)}"
        yield f".B {code(each.usage)}"
        yield ".PP"
        yield prose(each.about)
        own, inherited = each.apart(common)
        yield from _rows(own)
        yield ".PP"
        yield f"Common options: {', '.join(map(code, inherited))}."
        yield ".PP"
        yield "Examples:"
        yield from _examples(each.help_text)
        yield from _ends(each.help_text)


def _examples(text: HelpText) -> Iterator[str]:
    yield from _rows([(example.typed, example.why) for example in text.examples])


def _ends(text: HelpText) -> Iterator[str]:
    """The codes alone, and what is said of them here only: EXIT STATUS has the rest."""
    (_, rows), *more = text.endings()
    usual = {each.shown: each.meaning for each in EXIT_CODES}
    codes = [shown if meaning == usual[shown] else f"{shown} ({meaning})" for shown, meaning in rows]
    yield ".PP"
    yield f"Exit codes: {prose('; '.join(codes))}."
    for heading, others in more:
        yield f"{prose(heading)}: {prose('; '.join(f'{shown} ({meaning})' for shown, meaning in others))}."


def _exit_codes() -> Iterator[str]:
    yield from _rows([(each.shown, _sentences(each)) for each in EXIT_CODES])
    yield ".PP"


def _sentences(each: ExitCode) -> str:
    meaning = f"{each.meaning[0].upper()}{each.meaning[1:]}."
    return f"{meaning} To do: {each.to_do}." if each.to_do else meaning


def _settings() -> Iterator[str]:
    """Those of a list of sections have no variable: all of the list stands in one."""
    for name, setting in settings_table.every(Settings):
        default = settings_table.shown(setting.default)
        about = setting.about if default == "not set" else f"{setting.about} Default: {default}."
        yield from _rows([(name if "[]" in name else f"{name}, {variable(name)}", about)])


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    for written, about in rows:
        yield ".TP"
        yield f".B {code(written)}"
        yield prose(about)


def _lines(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number:
            yield ".br"
        yield line


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        yield from map(prose, paragraph.splitlines())


def prose(text: str) -> str:
    """A line of text; what stands in backticks is set as code."""
    parts = re.split(r"`([^`]*)`", text)
    shown = "".join(f"\\fB{code(part)}\\fR" if odd % 2 else _escaped(part) for odd, part in enumerate(parts))
    return f"\\&{shown}" if shown[:1] in {".", "'"} else shown


def code(text: str) -> str:
    """What can be copied from the page and typed: no character becomes a finer one."""
    escapes = {"-": "\\-", "'": "\\(aq", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha", '"': "\\(dq"}
    shown = "".join(escapes.get(each, each) for each in text.replace("\\", "\\e"))
    return f"\\&{shown}" if shown[:1] in {".", "'"} else shown


def quoted(text: str) -> str:
    return f'"{code(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("--", "\\-\\-").replace("~", "\\(ti").replace("^", "\\(ha")
