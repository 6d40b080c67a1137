"""docs/commands.md, from what the program says of its commands itself."""

from collections.abc import Iterator, Sequence

from tests.docs.command_tree import Command, Row, commands, shared

_HEAD = """\
# Commands

All commands on one page, as `ctisync help COMMAND` and `man ctisync` show them. If `man` does not find the
page, for example after pipx, type `man "$(ctisync help --man)"`.

Results go to standard output, logs and progress to standard error.

See also [Exit codes](exit-codes.md), [Settings](settings.md) and [Log events](events.md).
"""


def page() -> str:
    listing = commands()
    common = shared(listing)
    listed = [(each.call, each.about) for each in listing if not each.is_group]
    lines = [_HEAD, *_table(("command", "what it does"), listed)]
    lines += ["", "## Options that several commands take", "", *_table(("option", "meaning"), common)]
    for each in listing:
        lines += ["", *_section(each, common)]
    return "\n".join(lines) + "\n"


def _section(command: Command, common: Sequence[Row]) -> Iterator[str]:
    yield f"## {command.call}"
    yield ""
    yield command.about
    yield ""
    yield f"```text\n{command.usage}\n```"
    own, inherited = command.apart(common)
    if own:
        yield ""
        yield from _table(("argument or option" if command.arguments else "option", "meaning"), own)
    yield ""
    yield f"{'It also takes' if own else 'It takes'} {', '.join(map(_code, inherited))}."
    yield ""
    yield "```sh"
    yield "\n\n".join(f"# {example.why}\n{example.typed}" for example in command.help_text.examples)
    yield "```"
    for heading, rows in command.help_text.endings():
        yield ""
        yield from _table((heading.lower().replace("codes", "code"), "meaning"), rows, code=False)


def _table(head: Row, rows: Sequence[Row], *, code: bool = True) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |"
    yield "|---|---|"
    for first, second in rows:
        yield f"| {_code(first) if code else first} | {_cell(second)} |"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    """A table ends its cells at each bar, also within code."""
    return text.replace("|", "\\|")
