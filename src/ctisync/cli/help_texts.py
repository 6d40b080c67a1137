"""Examples and exit codes of each command, for its help.

`make man` also generates docs/commands.md, docs/exit-codes.md and the manual page from this module. Only a
help imports it, so that other calls start fast.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple


class ExitCode(NamedTuple):
    """Exit codes with one meaning, and what you do about it. Commands and names are in backticks."""

    codes: tuple[int, ...]
    meaning: str
    to_do: str

    @property
    def shown(self) -> str:
        """The codes as text: "130, 143"."""
        return ", ".join(map(str, self.codes))


EXIT_CODES: Final = (
    ExitCode((0,), "done, or nothing to do", ""),
    ExitCode((1,), "a bug in ctisync", "report it, with the output of `-v`"),
    ExitCode(
        (2,),
        "a mistake in the command line, or a file in it that cannot be read or written",
        "`ctisync COMMAND --help`",
    ),
    ExitCode(
        (3,),
        "wrong settings, or access refused (401, 403, 404, TLS, another program's index)",
        "follow the message",
    ),
    ExitCode((4,), "another pass is running", "nothing, or check the process that the message names"),
    ExitCode((5,), "the feed is temporarily unreachable", "nothing: the next pass tries again"),
    ExitCode((6,), "the feed's data cannot be used, or a change cannot be applied", "`ctisync status`"),
    ExitCode(
        (7,),
        "the store is unreachable, refuses writes, or is full",
        "repair the store; the next pass continues",
    ),
    ExitCode(
        (8,),
        "the content is current, but the Command Manager did not accept the update command",
        "nothing: the next pass sends it again",
    ),
    ExitCode((9,), "`ctisync verify` found differences", "what it prints beside each check"),
    ExitCode((10,), "the store holds no content yet", "`ctisync sync`"),
    ExitCode((11,), "the pass succeeded, but a hook after it failed", "run the hook by hand"),
    ExitCode((130, 143), "stopped by Ctrl-C or by TERM", "nothing: the next pass continues from there"),
)

CHECK: Final = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}
"""The exit codes of `status --check`, which are those of monitoring plugins."""


class Example(NamedTuple):
    """One line of a shell, what it is for, and the exit code with which it ends if it succeeds."""

    typed: str
    why: str
    code: int = 0


class HelpText(NamedTuple):
    """What the help of a command adds to its options. `codes`: the exit codes that it can end with; `own`:
    meanings that differ for this command; `with_option`: an option that changes the meanings, and these."""

    examples: tuple[Example, ...]
    codes: frozenset[int]
    own: Mapping[int, str] = {}
    with_option: tuple[str, Mapping[int, str]] | None = None

    def endings(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Headings, each with its exit codes and their meanings; a second one for `with_option`."""
        codes = [each for each in EXIT_CODES if self.codes.issuperset(each.codes)]
        yield "Exit codes", [(each.shown, self.own.get(each.codes[0], each.meaning)) for each in codes]
        if self.with_option is not None:
            option, meanings = self.with_option
            yield f"Exit codes with {option}", [(str(code), text) for code, text in meanings.items()]


def _ends_with(*codes: int) -> frozenset[int]:
    """These codes, and those that every command can end with."""
    return frozenset((0, 1, 2, *codes, 130, 143))


_PASS: Final = (3, 4, 5, 6, 7, 8, 11)

HELP_TEXTS: Final[Mapping[str, HelpText]] = {
    "": HelpText(
        (
            Example("ctisync demo", "see it work: no network, no services, a few seconds"),
            Example("ctisync doctor", "before the first pass: check everything that it needs"),
            Example("ctisync sync", "bring the content in step with the feed"),
            Example("ctisync status", "what is stored, how old it is, and problems"),
            Example("ctisync help sync", "one command: its options, examples and exit codes"),
        ),
        frozenset(code for each in EXIT_CODES for code in each.codes),
    ),
    "sync": HelpText(
        (
            Example("ctisync sync", "the first pass loads the snapshot, the next ones apply changes"),
            Example(
                "ctisync sync -q --tolerate-cooldown",
                "for cron: a successful pass prints nothing, and a cool-down of the feed is no error",
            ),
            Example("ctisync sync --metrics ctisync.prom", "with metrics of the pass for Prometheus"),
            Example("ctisync sync --dry-run", "print what it would do: steps, offsets, bytes; write nothing"),
        ),
        _ends_with(*_PASS),
    ),
    "update": HelpText(
        (
            Example("ctisync update", "apply new changes; exit with 10 if the store has no content"),
            Example("ctisync update -q --consumer vd_4.8.0", "only one of several consumers"),
        ),
        _ends_with(*_PASS, 10),
    ),
    "init-snapshot": HelpText(
        (
            Example(
                "ctisync init-snapshot",
                "load the feed's snapshot again; readers keep the old content until the swap",
            ),
            Example(
                "ctisync init-snapshot --from 1901695_1746459961.zip",
                "without a network: load a snapshot file; its name contains the offset",
            ),
            Example(
                "ctisync init-snapshot --from snapshot.ndjson --offset 1901695",
                "the same if the name has no offset; gzip or zstd compression is fine",
            ),
            Example(
                "ctisync init-snapshot --from - --offset 1901695 < snapshot.ndjson",
                "from standard input, for example from a program that downloads it",
            ),
        ),
        _ends_with(*_PASS),
    ),
    "status": HelpText(
        (
            Example("ctisync status", "what is stored, and what to type if there is a problem"),
            Example("ctisync status --remote", "also ask the feed for its last offset"),
            Example("ctisync status --json", "for programs"),
            Example(
                "ctisync status --check --warn-age 6h --crit-age 2d",
                "for monitoring: one line; WARNING if out of step for six hours",
            ),
        ),
        _ends_with(3, 5, 6, 7),
        with_option=("--check", CHECK),
    ),
    "export": HelpText(
        (
            Example("ctisync export --output cve.ndjson", "to a file, which is written atomically"),
            Example("ctisync export | gzip > cve.ndjson.gz", "for another program"),
        ),
        _ends_with(3, 7, 10),
    ),
    "show": HelpText(
        (
            Example("ctisync show CVE-2024-3094", "what is affected, how severe it is, references"),
            Example("ctisync show 2024-3094 --json", "print the whole record as JSON, as it is stored"),
        ),
        _ends_with(3, 7, 10),
        own={2: "a mistake in the command line, or an unknown record"},
    ),
    "history": HelpText(
        (
            Example("ctisync history", "the last 20 passes: result, duration, offsets behind"),
            Example("ctisync history --last 100 --json", "for programs"),
            Example(
                "ctisync history --html history.html", "a self-contained page with charts, to view or mail"
            ),
        ),
        _ends_with(3, 7),
    ),
    "log": HelpText(
        (
            Example("ctisync log", "the records that the last passes changed"),
            Example("ctisync log CVE-2024-3094", "the changes of one record"),
            Example(
                "ctisync log --since 24h --resource 'CVE-2024-*'", "the changes of a day, of these records"
            ),
            Example("ctisync log --last 1000 --json", "for programs: one object per line"),
        ),
        _ends_with(3, 7),
        own={2: "a mistake in the command line, or neither content nor history has that record"},
    ),
    "verify": HelpText(
        (
            Example("ctisync verify", "check state, generations, offsets and records"),
            Example("ctisync verify --deep", "also decode each record"),
            Example("ctisync verify --against 1901695_1746459961.zip", "compare with a snapshot file"),
        ),
        _ends_with(3, 4, 5, 6, 7, 9, 10),
        own={
            4: "another process is downloading the same --against address",
            5: "the --against address is temporarily unreachable",
            6: "the --against snapshot cannot be used",
            9: "there are differences",
        },
    ),
    "doctor": HelpText(
        (
            Example("ctisync doctor", "check settings, folders, free disk space, clock, feed and store"),
            Example("ctisync doctor -q", "print only the problems"),
            Example("ctisync doctor --json", "for programs"),
        ),
        _ends_with(3),
        own={
            0: "OK: a pass has everything that it needs",
            1: "WARNING: a pass works, but check the line; or a bug in ctisync",
            2: "CRITICAL: a pass would fail; or a mistake in the command line",
            3: "UNKNOWN: the settings are invalid, so ctisync checked nothing else",
        },
    ),
    "forget": HelpText(
        (
            Example(
                "ctisync forget --consumer vd_1.0.0/vd_4.7.0 --dry-run",
                "show what would be removed",
            ),
            Example("ctisync forget --consumer vd_1.0.0/vd_4.7.0", "show the same, ask, and remove it"),
            Example("ctisync forget --consumer vd_1.0.0/vd_4.7.0 --yes", "for scripts: do not ask"),
        ),
        _ends_with(3, 4, 7),
        own={
            0: "removed, or never stored",
            2: "a mistake in the command line, or you did not answer y",
            4: "a pass over this consumer is running",
        },
    ),
    "plans": HelpText(
        (
            Example("ctisync plans", "the consumers of each plan, to paste into the settings"),
            Example("ctisync plans --json", "for programs"),
        ),
        _ends_with(3, 5, 6),
    ),
    "diff": HelpText(
        (
            Example("ctisync diff old.ndjson new.ndjson", "the differences between two exports"),
            Example("ctisync diff old.ndjson - < new.ndjson", "read the newer one from standard input"),
            Example("ctisync diff old.ndjson new.ndjson --json", "for programs: one line per record"),
            Example("ctisync diff old.ndjson new.ndjson --exit-code", "for scripts", code=9),
        ),
        _ends_with(9),
        own={9: "with --exit-code: there are differences"},
    ),
    "completion": HelpText(
        (
            Example(
                "ctisync completion bash > ~/.local/share/bash-completion/completions/ctisync",
                "bash; start a new shell to use it",
            ),
            Example("ctisync completion zsh > ~/.zfunc/_ctisync", "zsh, if ~/.zfunc is in its fpath"),
            Example("ctisync completion fish > ~/.config/fish/completions/ctisync.fish", "fish"),
        ),
        _ends_with(),
    ),
    "demo": HelpText(
        (
            Example("ctisync demo", "load a snapshot, then apply changes; leaves no files"),
            Example("ctisync demo --keep ctisync-demo", "keep the database"),
        ),
        _ends_with(4, 7),
    ),
    "examples": HelpText(
        (
            Example("ctisync examples", "list them"),
            Example("ctisync examples crontab", "print one"),
            Example("ctisync examples --output ctisync-examples", "copy all of them into a folder"),
        ),
        _ends_with(),
    ),
    "help": HelpText(
        (
            Example("ctisync help sync", "the same as ctisync sync --help"),
            Example("ctisync help config show", "a command of a group"),
            Example(
                "ctisync help --man",
                'the path of the manual, if man ctisync does not find it: man "$(ctisync help --man)"',
            ),
        ),
        _ends_with(),
        own={2: "a mistake in the command line, or an unknown command"},
    ),
    "config": HelpText(
        (
            Example(
                "ctisync config init --output ~/.config/ctisync/config.toml",
                "create a settings file: all settings, explained, as comments",
            ),
            Example("ctisync config check", "check them"),
            Example("ctisync config show", "show each value and its source"),
        ),
        _ends_with(3),
    ),
    "config show": HelpText(
        (
            Example("ctisync config show", "all settings; secrets stay hidden"),
            Example("ctisync config show store", "one section"),
            Example("ctisync config show cti.url --json", "one setting, for programs"),
            Example("ctisync config show 'consumers[0].index'", "an entry of a list"),
        ),
        _ends_with(3),
        own={2: "a mistake in the command line, or an unknown setting"},
    ),
    "config get": HelpText(
        (
            Example("ctisync config get store.url", "the value alone: no quotes, no source"),
            Example("ctisync config get 'consumers[0].index'", "an entry of a list"),
        ),
        _ends_with(3),
        own={2: "a mistake in the command line, an unknown setting, or a secret"},
    ),
    "config check": HelpText(
        (
            Example("ctisync config check", "report all mistakes and likely mistakes"),
            Example("ctisync config check --config new.toml", "check a file before you install it"),
        ),
        _ends_with(3),
    ),
    "config init": HelpText(
        (
            Example(
                "ctisync config init --output ~/.config/ctisync/config.toml",
                "create it; ctisync overwrites no file",
            ),
            Example("ctisync config init", "print it"),
        ),
        _ends_with(),
    ),
    "config schema": HelpText(
        (Example("ctisync config schema > ctisync.schema.json", "for editors that support JSON Schema"),),
        _ends_with(),
    ),
}
"""By the name of the command, as in "config show"; "" is `ctisync` without a command."""


def plain(text: str) -> str:
    """The text without its backticks."""
    return text.replace("`", "")
