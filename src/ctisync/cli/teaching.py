"""What `--help` teaches beside the options: what to type, and how the command can end.

The one source of it: the help, docs/commands.md, the manual page and the README's table of exit codes are
made of what stands here (`make man`). It is loaded when a help is shown, not before.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple


class ExitCode(NamedTuple):
    """What it means, and what to do about it; words in backticks are typed, or are names."""

    codes: tuple[int, ...]
    meaning: str
    to_do: str

    @property
    def shown(self) -> str:
        return ", ".join(map(str, self.codes))


EXIT_CODES: Final = (
    ExitCode((0,), "done, or nothing to do", ""),
    ExitCode((1,), "a bug in ctisync", "report it with what `-v` shows"),
    ExitCode(
        (2,),
        "the command line makes no sense, or a file that it names cannot be read or written",
        "`ctisync COMMAND --help`",
    ),
    ExitCode(
        (3,),
        "settings, or a refusal that only a person can lift (401, 403, 404, TLS, another program's index)",
        "do what the message says",
    ),
    ExitCode((4,), "another pass is running", "nothing; or look at the process that the message names"),
    ExitCode((5,), "the feed is not reachable for now", "nothing: the next pass tries again"),
    ExitCode((6,), "the feed's data cannot be used, or a change cannot be applied", "`ctisync status`"),
    ExitCode(
        (7,),
        "the store is not reachable, refuses writes, or is full",
        "mend the store; the next pass goes on",
    ),
    ExitCode(
        (8,),
        "the content is current, but the update command was not accepted",
        "nothing: the next pass sends it again",
    ),
    ExitCode((9,), "`ctisync verify` found differences", "what it says beside each check"),
    ExitCode((10,), "the store holds no content yet", "`ctisync sync`"),
    ExitCode((11,), "the pass was good, a hook after it was not", "try the hook by hand"),
    ExitCode((130, 143), "stopped by Ctrl-C or by TERM", "nothing: the next pass goes on from there"),
)

CHECK: Final = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}
"""As monitoring plugins have them."""


class Example(NamedTuple):
    """What is typed, in one line of a shell, and why; `code` is how it ends when all is well."""

    typed: str
    why: str
    code: int = 0


class Taught(NamedTuple):
    """One command. `codes` are the exit codes that it can give; `own` has what some of them mean here alone,
    and `with_option` is an option that gives them other meanings, and those."""

    examples: tuple[Example, ...]
    codes: frozenset[int]
    own: Mapping[int, str] = {}
    with_option: tuple[str, Mapping[int, str]] | None = None

    def endings(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """A heading, and below it exit codes with their meanings; more than once for a `with_option`."""
        known = [each for each in EXIT_CODES if self.codes.issuperset(each.codes)]
        yield "Exit codes", [(each.shown, self.own.get(each.codes[0], each.meaning)) for each in known]
        if self.with_option is not None:
            option, meanings = self.with_option
            yield f"Exit codes with {option}", [(str(code), text) for code, text in meanings.items()]


def _ends_with(*codes: int) -> frozenset[int]:
    """With these, and with what every command can end with."""
    return frozenset((0, 1, 2, *codes, 130, 143))


_PASS: Final = (3, 4, 5, 6, 7, 8, 11)

COMMANDS: Final[Mapping[str, Taught]] = {
    "": Taught(
        (
            Example("ctisync demo", "watch it work: no network, no services, some seconds"),
            Example("ctisync doctor", "before the first pass: is all there that it needs?"),
            Example("ctisync sync", "bring the content in step with the feed"),
            Example("ctisync status", "what is stored, how old it is, what is wrong if anything is"),
            Example("ctisync help sync", "one command: its options, examples and exit codes"),
        ),
        frozenset(code for each in EXIT_CODES for code in each.codes),
    ),
    "sync": Taught(
        (
            Example("ctisync sync", "the first pass loads the snapshot, the next ones apply changes"),
            Example(
                "ctisync sync -q --tolerate-cooldown",
                "for cron: a good pass prints nothing, and a feed that wants to be left alone is no error",
            ),
            Example("ctisync sync --metrics ctisync.prom", "with figures of the pass for Prometheus"),
            Example("ctisync sync --dry-run", "what it would do: steps, offsets, bytes; nothing is written"),
        ),
        _ends_with(*_PASS),
    ),
    "update": Taught(
        (
            Example("ctisync update", "apply what is new; a store without content is exit code 10"),
            Example("ctisync update -q --consumer vd_4.8.0", "for one of several consumers"),
        ),
        _ends_with(*_PASS, 10),
    ),
    "init-snapshot": Taught(
        (
            Example(
                "ctisync init-snapshot", "start again from the feed's snapshot; readers notice the swap only"
            ),
            Example(
                "ctisync init-snapshot --from 1901695_1746459961.zip",
                "without a network: a snapshot that somebody brought, whose name tells its offset",
            ),
            Example(
                "ctisync init-snapshot --from snapshot.ndjson --offset 1901695",
                "the same where the name does not tell it; it may be packed with gzip or zstd",
            ),
            Example(
                "ctisync init-snapshot --from - --offset 1901695 < snapshot.ndjson",
                "from standard input, such as what another program unpacks or fetches",
            ),
        ),
        _ends_with(*_PASS),
    ),
    "status": Taught(
        (
            Example("ctisync status", "what is stored, and what to type if something is wrong"),
            Example("ctisync status --remote", "asks the feed too how far it is"),
            Example("ctisync status --json", "for programs"),
            Example(
                "ctisync status --check --warn-age 6h --crit-age 2d",
                "for monitoring: one line; a warning when not in step for six hours",
            ),
        ),
        _ends_with(3, 5, 6, 7),
        with_option=("--check", CHECK),
    ),
    "export": Taught(
        (
            Example("ctisync export --output cve.ndjson", "a file that is written whole or not at all"),
            Example("ctisync export | gzip > cve.ndjson.gz", "for another program"),
        ),
        _ends_with(3, 7, 10),
    ),
    "show": Taught(
        (
            Example("ctisync show CVE-2024-3094", "what is affected, how severe it is, where to read on"),
            Example("ctisync show 2024-3094 --json", "all of it, as it is stored; of several, one by one"),
        ),
        _ends_with(3, 7, 10),
        own={2: "the command line makes no sense, or there is no such record"},
    ),
    "history": Taught(
        (
            Example("ctisync history", "the last 20 passes: how long they took, how far behind they ended"),
            Example("ctisync history --last 100 --json", "for programs"),
            Example("ctisync history --html history.html", "a page with charts, to look at or to mail"),
        ),
        _ends_with(3, 7),
    ),
    "log": Taught(
        (
            Example("ctisync log", "which records the last passes have changed"),
            Example("ctisync log CVE-2024-3094", "what became of one of them"),
            Example("ctisync log --last 1000 --json", "for programs: a line each"),
        ),
        _ends_with(3, 7),
        own={2: "the command line makes no sense, or nothing is known of such a record"},
    ),
    "verify": Taught(
        (
            Example("ctisync verify", "whether state, generations, offsets and lines are in order"),
            Example("ctisync verify --deep", "decodes each record too"),
            Example(
                "ctisync verify --against 1901695_1746459961.zip", "compares with a snapshot that is here"
            ),
        ),
        _ends_with(3, 4, 5, 6, 7, 9, 10),
        own={
            4: "the same --against address is being downloaded",
            5: "the --against address is not reachable for now",
            6: "the --against snapshot cannot be used",
            9: "something differs",
        },
    ),
    "doctor": Taught(
        (
            Example("ctisync doctor", "settings, folders, room, clock, feed, store: a line each"),
            Example("ctisync doctor -q", "only what is not in order"),
            Example("ctisync doctor --json", "for programs"),
        ),
        _ends_with(3),
        own={
            0: "OK: a pass finds all that it needs",
            1: "WARNING: it works, but look at the line; or a bug in ctisync",
            2: "CRITICAL: a pass would fail; or the command line makes no sense",
            3: "UNKNOWN: the settings cannot be used, so that nothing else was looked at",
        },
    ),
    "forget": Taught(
        (
            Example(
                "ctisync forget --consumer vd_1.0.0/vd_4.7.0 --dry-run",
                "what is stored of it; removes nothing",
            ),
            Example("ctisync forget --consumer vd_1.0.0/vd_4.7.0", "shows the same, asks, and removes it"),
            Example("ctisync forget --consumer vd_1.0.0/vd_4.7.0 --yes", "for scripts: does not ask"),
        ),
        _ends_with(3, 4, 7),
        own={
            0: "nothing of it is stored any more, or ever was",
            2: "the command line makes no sense, or you did not say y",
            4: "a pass is at work on it",
        },
    ),
    "diff": Taught(
        (
            Example("ctisync diff old.ndjson new.ndjson", "what has changed between two exports"),
            Example("ctisync diff old.ndjson - < new.ndjson", "the new one from standard input"),
            Example("ctisync diff old.ndjson new.ndjson --json", "for programs: a line a record"),
            Example("ctisync diff old.ndjson new.ndjson --exit-code", "for scripts", code=9),
        ),
        _ends_with(9),
        own={9: "with --exit-code: there are differences"},
    ),
    "completion": Taught(
        (
            Example(
                "ctisync completion bash > ~/.local/share/bash-completion/completions/ctisync",
                "bash; a new shell has it",
            ),
            Example("ctisync completion zsh > ~/.zfunc/_ctisync", "zsh, when ~/.zfunc is in its fpath"),
            Example("ctisync completion fish > ~/.config/fish/completions/ctisync.fish", "fish"),
        ),
        _ends_with(),
    ),
    "demo": Taught(
        (
            Example("ctisync demo", "a snapshot, then changes; nothing is left behind"),
            Example("ctisync demo --keep ctisync-demo", "keeps the database, to look into it"),
        ),
        _ends_with(4, 7),
    ),
    "examples": Taught(
        (
            Example("ctisync examples", "which there are"),
            Example("ctisync examples crontab", "prints one"),
            Example("ctisync examples --output ctisync-examples", "copies all of them into a folder"),
        ),
        _ends_with(),
    ),
    "help": Taught(
        (
            Example("ctisync help sync", "as ctisync sync --help does"),
            Example("ctisync help config show", "of a command within a command"),
            Example(
                "ctisync help --man",
                'where the manual lies, if man ctisync does not find it: man "$(ctisync help --man)"',
            ),
        ),
        _ends_with(),
        own={2: "the command line makes no sense, or there is no such command"},
    ),
    "config": Taught(
        (
            Example(
                "ctisync config init --output ~/.config/ctisync/config.toml",
                "a file to begin with: all settings, explained; it sets nothing yet",
            ),
            Example("ctisync config check", "can they be used?"),
            Example("ctisync config show", "what is set, and where"),
        ),
        _ends_with(3),
    ),
    "config show": Taught(
        (
            Example("ctisync config show", "all settings; secrets are not shown"),
            Example("ctisync config show store", "those of one section"),
            Example("ctisync config show cti.url --json", "one, for programs"),
            Example("ctisync config show 'consumers[0].index'", "one of a list"),
        ),
        _ends_with(3),
        own={2: "the command line makes no sense, or there is no such setting"},
    ),
    "config get": Taught(
        (
            Example("ctisync config get store.url", "the value alone: no quotes, no place"),
            Example("ctisync config get 'consumers[0].index'", "one of a list"),
        ),
        _ends_with(3),
        own={2: "the command line makes no sense, or there is no such setting, or it is a secret"},
    ),
    "config check": Taught(
        (
            Example("ctisync config check", "all that is wrong with them, and what is hardly meant"),
            Example("ctisync config check --config new.toml", "a file, before it takes its place"),
        ),
        _ends_with(3),
    ),
    "config init": Taught(
        (
            Example("ctisync config init --output ~/.config/ctisync/config.toml", "overwrites nothing"),
            Example("ctisync config init", "prints it"),
        ),
        _ends_with(),
    ),
    "config schema": Taught(
        (Example("ctisync config schema > ctisync.schema.json", "for an editor that knows JSON Schema"),),
        _ends_with(),
    ),
}
"""By what is typed after `ctisync`; "" is `ctisync` alone."""


def plain(text: str) -> str:
    return text.replace("`", "")


def write(path: str, formatter: Any) -> None:
    """The end of a command's help, into Typer's formatter; `path` is as Typer has it: `ctisync config show`.
    What stands in an example is written as it is typed, however narrow the terminal."""
    taught = COMMANDS.get(path.partition(" ")[2])
    if taught is None:
        return
    with formatter.section("Examples"):
        for example in taught.examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example.typed}\n")
            with formatter.indentation(), formatter.indentation():
                formatter.write_text(example.why)
    for heading, rows in taught.endings():
        with formatter.section(heading):
            formatter.write_dl([(codes, plain(meaning)) for codes, meaning in rows])
