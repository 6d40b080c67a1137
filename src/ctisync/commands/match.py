"""`ctisync match`: which records affect the packages of a host, as Wazuh's scanner will say."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.table import Table

from ctisync.cli.invocation import CommonOptions, Invocation, command, print_document
from ctisync.commands.hits import print_csv
from ctisync.commands.printing import cell, drawn
from ctisync.commands.records import opened_contents, range_as_text
from ctisync.core.conditions import SEVERITIES, at_least
from ctisync.core.facts import Facts, facts_of_record
from ctisync.core.inventory import MOST_BYTES, Inventory, WrongInventory, read_inventory
from ctisync.core.scanner import TABLES, TRANSLATIONS, Platform, scanner_of
from ctisync.core.terms import Options, platform_term
from ctisync.core.words import counted, one_of
from ctisync.errors import DONE, HITS, UsageError
from ctisync.escaping import to_json
from ctisync.ports import Inspection
from ctisync.search.index import Index, batched
from ctisync.search.match import Match, find_matches, names_of_translations
from ctisync.system.files import expand_home
from ctisync.system.process import print_drawn, print_json, print_result, standard_input
from ctisync.wiring import opened_store

_STDIN: Final = Path("-")
_AT_ONCE: Final = 50
"""Records read at once: each can have some MB."""
_WIDEST: Final = 40
_COLUMNS: Final = ("package", "version", "name", "severity", "score", "source", "why")


class _Hit(NamedTuple):
    match: Match
    facts: Facts
    source_of_score: str

    def as_json(self) -> dict[str, Any]:
        """The members of a hit, for programs."""
        match, score = self.match, self.facts.score_of(self.source_of_score)
        return {
            "package": match.package.name,
            "version": match.package.version,
            "name": match.name,
            "severity": None if score is None else score.level,
            "score": None if score is None or score.base is None else float(score.base),
            "source": match.source.name,
            "why": _why(match),
            "sure": match.assessment.affected == "yes",
            "beyond_scanner": match.beyond,
            "title": self.facts.title or self.facts.description,
        }


@command()
def match(
    options: CommonOptions,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Inventory to read; without it or with -, standard input.")
    ] = _STDIN,
    os: Annotated[
        str | None,
        typer.Option(metavar="NAME:VERSION", help="Operating system: debian:12, rhel:9; if FILE has none."),
    ] = None,
    min_severity: Annotated[
        str | None, typer.Option(metavar="LEVEL", help=f"At least: {', '.join(SEVERITIES)}.")
    ] = None,
    in_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_lines: Annotated[bool, typer.Option("--ndjson", help="Print one JSON object per match.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with {HITS} if records match.")
    ] = False,
) -> int:
    """List the records that affect the packages of a host.

    FILE has what one of these prints, or documents of Wazuh's inventory, or CycloneDX JSON:

    dpkg-query -W -f '${Package}\\t${Version}\\t${Maintainer}\\t${db:Status-Abbrev}\\n'

    rpm -qa --qf '%{NAME}\\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\t%{VENDOR}\\n'
    """
    if in_json + as_lines + as_csv > 1:
        raise UsageError("--json, --ndjson and --csv cannot be combined", hint="pass one of them")
    levels = None if min_severity is None else at_least(one_of(min_severity, SEVERITIES, "--min-severity"))
    inventory, platform = _read(file, os)
    hits, in_records = _hits(options.invocation(), inventory, platform)
    rows = [hit.as_json() for hit in hits]
    rows = [row for row in rows if levels is None or row["severity"] in levels]
    counts = _counts(inventory, in_records)
    if in_json:
        print_document({"total": len(rows), "hits": rows, "packages": counts})
    elif as_lines:
        for row in rows:
            print_json(to_json(row))
    elif as_csv:
        print_csv(_COLUMNS, rows)
    else:
        if rows:
            print_drawn(drawn(sys.stdout, lambda console: console.print(_table(rows))))
        print_result(counted(len(rows), "match", "matches") if rows else "no match")
    options.console.event(
        "info",
        "packages-matched",
        read=counts["read"],
        known=counts["known"],
        without_vendor=counts["without_vendor"],
        not_understood=counts["not_understood"],
    )
    return HITS if rows and exit_code else DONE


def _read(file: Path, os: str | None) -> tuple[Inventory, Platform]:
    """The inventory and its platform. Raises UsageError."""
    platform = None if os is None else platform_term(os, Options())
    name = "standard input" if file == _STDIN else str(file)
    try:
        with (
            nullcontext(standard_input())
            if file == _STDIN
            else expand_home(file, "FILE").open("rb") as stream
        ):
            text = stream.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise UsageError(f"{name} has more than {MOST_BYTES:,} bytes", hint="split it by host")
        inventory = read_inventory(text, platform)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", hint="ctisync match --help") from error
    except WrongInventory as error:
        raise UsageError(f"{name}: {error}", hint="ctisync match --help (shows what it reads)") from error
    if inventory.platform is None:
        raise UsageError(f"{name} does not name an operating system", hint="--os debian:12")
    return inventory, inventory.platform


def _hits(invocation: Invocation, inventory: Inventory, platform: Platform) -> tuple[list[_Hit], int]:
    """The hits, worst first, and the number of packages whose name is in a record. Raises EmptyStore."""
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        for consumer, content in opened_contents(invocation, store, opened).items():
            if content.lookup(TABLES[:1]):
                file = invocation.index_of(consumer, content)
                question = partial(_of_index, content=content, inventory=inventory, platform=platform)
                hits, in_records, unread = file.ask(question)
                if unread:
                    invocation.console.event(
                        "warning",
                        "translations-left-out",
                        consumer=str(consumer),
                        records=len(unread),
                        why=f"ctisync cannot read their patterns: {', '.join(unread)}",
                    )
                return hits, in_records
    raise UsageError(
        f"no content has {TABLES[0]}, which says where packages are looked up",
        hint="pass --consumer with a consumer of vulnerabilities",
    )


def _of_index(
    index: Index, content: Inspection, inventory: Inventory, platform: Platform
) -> tuple[list[_Hit], int, list[str]]:
    """As `_hits`; last the names of translations that cannot be read."""
    tables = content.lookup([*TABLES, *names_of_translations(index, TRANSLATIONS)])
    scanner = scanner_of(tables)
    packages = list(inventory.packages)
    if (system := scanner.system(platform)) is not None:
        packages.append(system)
    matches, in_records = find_matches(index, scanner, packages, platform)
    facts: dict[str, Facts] = {}
    for names in batched(dict.fromkeys(match.name for match in matches), _AT_ONCE):
        facts |= {name: facts_of_record(record) for name, record in content.lookup(names).items()}
    hits = [
        _Hit(match, facts[match.name], scanner.source_of_score(match.source, platform))
        for match in matches
        if match.name in facts
        and not _is_solved(facts[match.name], match.package is system, inventory, platform)
    ]
    return sorted(hits, key=_by_score), in_records, scanner.unread(platform)


def _is_solved(facts: Facts, of_system: bool, inventory: Inventory, platform: Platform) -> bool:
    """Whether an installed update of Windows solves it; one of Windows itself without an update counts as
    solved (as for Wazuh's scanner)."""
    if platform.platform != "windows":
        return False
    if of_system and not facts.remediations:
        return True
    return not inventory.hotfixes.isdisjoint(facts.remediations)


def _by_score(hit: _Hit) -> tuple[float, str, str]:
    score = hit.facts.score_of(hit.source_of_score)
    return -float(score.base or 0) if score is not None else 0.0, hit.match.package.name, hit.match.name


def _why(match: Match) -> str:
    """The bound that decides: `< 1:9.2p1-2+deb12u3`."""
    deciding = match.assessment.range
    return "affected, no fixed version" if deciding is None else range_as_text(deciding)


def _counts(inventory: Inventory, in_records: int) -> dict[str, int]:
    without = sum(not each.vendor for each in inventory.packages)
    return {
        "read": len(inventory.packages),
        "known": in_records,
        "without_vendor": without,
        "not_understood": inventory.odd,
    }


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("package", "version"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis", max_width=_WIDEST)
    for heading in _COLUMNS[2:6]:
        table.add_column(heading, no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis")
    for row in rows:
        marks = ("" if row["sure"] else " ?") + (" *" if row["beyond_scanner"] else "")
        texts = ("" if row[name] is None else str(row[name]) for name in _COLUMNS)
        package, version, name, *rest = texts
        table.add_row(cell(package), cell(version), cell(name + marks), *map(cell, rest))
    return table
