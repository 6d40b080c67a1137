"""The commands of ctisync in hints: as you type them after this call, with its `--config`, `--consumer`."""

from collections.abc import Iterable
from typing import Final

from ctisync.escaping import quoted

_WITH_CONSUMER: Final = frozenset(
    (
        *("sync", "update", "init-snapshot", "status", "export", "show", "search", "match"),
        "watch test",
        *("mirror", "bundle", "import", "serve"),
        *("verify", "history", "log", "doctor"),
    )
)
ACCEPTED: Final = {
    "--config": _WITH_CONSUMER | {"forget", "plans", "config show", "config get", "config check"},
    "--consumer": _WITH_CONSUMER,
}
"""The commands that accept each option that hints repeat. (The `--consumer` of `forget` is another option: it
names what is removed.)"""

_repeated: Final[dict[str, str]] = {}


def repeat(option: str, values: Iterable[object]) -> None:
    """From now on, commands in hints have this option with these values. A process is one call of the command
    line, which says this before it does anything else."""
    _repeated[option] = " ".join(f"{option} {quoted(value)}" for value in values)


def command(name: str, *options: str) -> str:
    """`ctisync NAME OPTIONS`, with the options of this call that the command accepts, unless one of `options`
    begins with them. `name`: "sync", "config show". An empty text is no option.
    """
    repeated = [
        text
        for option, text in _repeated.items()
        if name in ACCEPTED[option] and not any(each.startswith(f"{option} ") for each in options)
    ]
    return " ".join(filter(None, ("ctisync", name, *repeated, *options)))


def load_anew(*options: str) -> str:
    """The first command loads the snapshot, the second applies the changes after it."""
    return f"{command('init-snapshot', *options)} && {command('sync', *options)}"


def load_mirror(bundle: str | None) -> str:
    """Load the snapshot of another mirror, or of that bundle."""
    if bundle is None:
        return f"{load_anew()} (loads the mirror's snapshot)"
    return f"{command('import', f'{quoted(bundle)} --init')} (loads the bundle's snapshot)"


def carry_more(bundle: str | None, offset: int) -> str:
    """Bring what a content at this offset needs: more than the mirror, or the bundle, has."""
    if bundle is None:
        return f"copy a newer mirror, or: {load_mirror(None)}"
    return f"on the host of the mirror: ctisync bundle DIR --since {offset or 'none'} --output FILE"


def replace(consumer: object, *options: str) -> str:
    """The command that loads a consumer beside another one under its index, and moves the index to it."""
    return command("init-snapshot", f"--consumer {quoted(consumer)} --replace", *options)
