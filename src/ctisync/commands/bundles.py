"""`ctisync bundle`: a part of a mirror folder as one file. `ctisync import`: a pass that has it as feed."""

from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec.structs import replace

from ctisync import hints
from ctisync.cli.invocation import CommonOptions, DryRunOption, MetricsOption, command
from ctisync.commands.passes import run_passes
from ctisync.commands.sync import plan_passes
from ctisync.core.manifest import Manifest, WrongMirror, safe_name
from ctisync.core.model import MAX_OFFSET
from ctisync.core.steps import Mode
from ctisync.errors import DONE, CommandNotAccepted, FeedRefused, HookFailed, UsageError, worst
from ctisync.escaping import quoted
from ctisync.mirror.bundle import Bundler
from ctisync.system.files import STDOUT, absolute, atomic_write, expand_home, named_write_errors, open_any
from ctisync.wiring import mirror_files

_STDIN: Final = Path("-")
_SYNC: Final[tuple[Mode, ...]] = ("sync",)
_INIT: Final[tuple[Mode, ...]] = ("init-snapshot", "sync")
_LOADED: Final = (DONE, CommandNotAccepted.exit_code, HookFailed.exit_code)


@command()
def bundle(
    options: CommonOptions,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the mirror.")],
    since: Annotated[
        str,
        typer.Option(
            metavar="OFFSET|none",
            help="Offset of the content that the bundle is for; none: for a host without a content.",
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="File to write, atomically; -: standard output.")
    ],
) -> int:
    """Pack a part of a mirror folder into one file, for a host without a network."""
    invocation = options.invocation()
    consumer = invocation.only_consumer("bundle packs")
    root = absolute(expand_home(folder, "DIR"), "DIR", UsageError)
    after = _offset(since, root)
    files, folders = mirror_files(root), (safe_name(consumer.context), safe_name(consumer.name))
    try:
        bundler = Bundler(partial(files.opened, folders), consumer)
        _check_changes(bundler.manifest, after, root)
        name = "standard output" if output == STDOUT else output
        errors = named_write_errors(name, hint=_again(root, since))
        with errors, atomic_write(output) as file:
            size = bundler.write(after, file, invocation.console)
            file.flush()
    except WrongMirror as error:
        raise FeedRefused(
            f"the mirror {files.place(folders)} cannot be used: {error}", hint=files.hint
        ) from None
    offset = bundler.manifest.last_offset
    invocation.console.event("info", "bundle-written", consumer=str(consumer), offset=offset, bytes=size)
    return DONE


def _offset(text: str, root: Path) -> int | None:
    if text == "none":
        return None
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_OFFSET:
        return int(text)
    raise UsageError(
        f"--since takes an offset, or none, not {text}",
        hint=f"{_again(root, 'none')}; ctisync status on the other host shows its offset",
    )


def _check_changes(manifest: Manifest, after: int | None, root: Path) -> None:
    """Raises FeedRefused if the mirror does not have the changes after this offset."""
    if after is None or manifest.floor <= after <= manifest.last_offset:
        return
    hint = f"{_again(root, 'none')} (has a snapshot)"
    if after > manifest.last_offset:
        hint = (
            f"{hints.command('mirror', quoted(root))} (adds the newest changes), then the same command again"
        )
    raise FeedRefused(
        f"the mirror {root} has the changes from offset {manifest.floor + 1} to {manifest.last_offset}, "
        f"not those after {after}",
        hint=hint,
    )


def _again(root: Path, since: str) -> str:
    return hints.command("bundle", f"{quoted(root)} --since {since} --output FILE")


@command("import")
def import_(
    options: CommonOptions,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Bundle, as ctisync bundle wrote it; -: standard input.")
    ],
    init: Annotated[
        bool, typer.Option("--init", help="Load the bundle's snapshot first, whatever the content is.")
    ] = False,
    metrics: MetricsOption = None,
    dry_run: DryRunOption = False,
) -> int:
    """Bring the content in step with a bundle of a mirror; needs no network."""
    invocation = options.invocation()
    consumer = invocation.only_consumer("import reads")
    if file == _STDIN and (init or dry_run):
        option = "--init" if init else "--dry-run"
        raise UsageError(
            f"{option} needs a file, not standard input", hint=hints.command("import", f"FILE {option}")
        )
    if dry_run and metrics is not None:
        raise UsageError(
            "--dry-run and --metrics cannot be combined",
            hint=hints.command("import", f"{quoted(file)} --dry-run"),
        )
    url = "bundle:-" if file == _STDIN else _readable(file).as_uri().replace("file", "bundle", 1)
    cti = replace(invocation.settings.cti, url=url)
    invocation = replace(
        invocation, settings=replace(invocation.settings, cti=cti), consumers=(consumer,), subcommand="import"
    )
    shown = "FILE" if file == _STDIN else str(file)
    codes = []
    for mode in _INIT if init else _SYNC:
        passes = invocation.for_passes(mode, metrics)
        passes = replace(passes, policy=replace(passes.policy, bundle=shown))
        codes.append(plan_passes(passes) if dry_run else run_passes(passes))
        if codes[-1] not in _LOADED or dry_run:
            break
    return worst(codes)


def _readable(file: Path) -> Path:
    """The absolute path. Raises UsageError."""
    path = absolute(expand_home(file, "FILE"), "FILE", UsageError)
    try:
        with open_any(path):
            return path
    except OSError as error:
        raise UsageError(
            f"the bundle {path} cannot be read: {error.strerror}", hint=f"ls -l {quoted(path)}"
        ) from None
