"""`ctisync watch test`: what a watch would report. It sends nothing and stores nothing but the index."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Annotated, Final

import msgspec
import typer

from ctisync import hints
from ctisync.cli.app import HelpGroup, app
from ctisync.cli.invocation import CLOCK, CommonOptions, Invocation, JsonOption, command
from ctisync.commands.hits import Answer, print_table, read_hits
from ctisync.commands.records import opened_contents
from ctisync.core.model import Consumer
from ctisync.core.scanner import TABLES, scanner_of
from ctisync.core.state import ConsumerState, WatchCursor
from ctisync.core.watches import Collector, Watch, for_hook
from ctisync.core.words import moment
from ctisync.errors import DONE, UsageError
from ctisync.escaping import quoted
from ctisync.ports import Inspection
from ctisync.search.query import search
from ctisync.settings.watches import watches_of
from ctisync.system.process import print_json, print_result
from ctisync.wiring import opened_store

_ROWS: Final = 20

watch = HelpGroup(help="Test the watches of the settings.")
app.add_typer(watch, name="watch")


@command("test", group=watch)
def try_watch(
    options: CommonOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the watch in the settings.")],
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="Came into the feed from then on: 24h, 2026-11-24."),
    ] = "30d",
    as_json: JsonOption = False,
) -> int:
    """Show which records a watch matches, as hooks.on_match gets them with --json. Sends nothing."""
    invocation, now = options.invocation(), CLOCK.now()
    chosen = _chosen(watches_of(invocation.settings.watch, "watch", now), name)
    chosen = Watch(
        name, msgspec.structs.replace(chosen.conditions, changed_since=moment(since, now, "--since"))
    )
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        contents = opened_contents(invocation, store, opened)
        answers = [_answer(invocation, chosen, consumer, content) for consumer, content in contents.items()]
        if as_json:
            for answer in answers:
                print_json(_for_hook(chosen, answer))
        else:
            total = sum(answer.hits.total for answer in answers)
            rows = islice((hit for answer in answers for hit in read_hits(answer)), _ROWS)
            print_table(list(rows), total, answers)
            for answer in answers:
                print_result(_progress(answer.consumer, _cursor(answer.content.state, name)))
    return DONE


def _chosen(watches: Iterable[Watch], name: str) -> Watch:
    by_name = {each.name: each for each in watches}
    if name in by_name:
        return by_name[name]
    if not by_name:
        hint = "ctisync config init (prints the settings of a [[watch]] to add to your settings file)"
        raise UsageError("the settings have no watch", hint=hint)
    raise UsageError(
        f"there is no watch {name}; the settings have {', '.join(by_name)}",
        hint=hints.command("watch test", quoted(next(iter(by_name)))),
    )


def _answer(invocation: Invocation, watch: Watch, consumer: Consumer, content: Inspection) -> Answer:
    conditions = watch.on_platform(scanner_of(content.lookup(TABLES))).conditions
    question = partial(search, conditions=conditions, order="changed")
    return Answer(consumer, content, conditions, invocation.index_of(consumer, content).ask(question), {})


def _cursor(state: ConsumerState, name: str) -> WatchCursor | None:
    return next((cursor for cursor in state.watches if cursor.watch == name), None)


def _for_hook(watch: Watch, answer: Answer) -> str:
    """As the hook gets them, as if the watch had begun before all of them."""
    state = answer.content.state
    cursor = _cursor(state, watch.name)
    ledger = b"" if cursor is None else cursor.ledger
    collector = Collector(watch, str(answer.consumer), WatchCursor(watch.name, -1, ledger), state.offset)
    for hit in read_hits(answer):
        collector.add(hit.facts)
    return for_hook(watch.name, str(answer.consumer), collector.due().notices).decode()


def _progress(consumer: Consumer, cursor: WatchCursor | None) -> str:
    if cursor is None:
        return f"{consumer}: the watch begins with the next pass"
    return f"{consumer}: passes have reported up to offset {cursor.offset:,}"
