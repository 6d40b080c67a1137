"""What `sync`, `update` and `init-snapshot` share: a pass for each consumer, or its dry run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ctisync.commands.call import Call
from ctisync.errors import UsageError
from ctisync.escaping import quoted
from ctisync.system.files import own_path
from ctisync.system.process import print_result

if TYPE_CHECKING:
    from ctisync.commands.package import Given
    from ctisync.commands.passes import Run
    from ctisync.core.steps import Policy


def sync_or_foretell(call: Call, policy: "Policy", metrics: Path | None, *, dry_run: bool) -> int:
    """A pass for each consumer as `policy` allows it, or its dry run; returns the exit code."""
    if dry_run:
        from ctisync.commands.dry_run import dry_run as foretell

        return foretell(_run_of(call, policy, metrics, dry_run=True), call.consumers, print_result)
    from ctisync.commands.sync import sync

    return sync(_run_of(call, policy, metrics), call.consumers)


def load_or_foretell(
    call: Call, source: str, offset: int | None, metrics: Path | None, *, replace: bool, dry_run: bool
) -> int:
    """The same for given snapshots (`--from`)."""
    from ctisync.core.steps import Policy

    policy = Policy(mode="init-snapshot", replace=replace)
    if dry_run:
        from ctisync.commands.dry_run import dry_load

        run = _run_of(call, policy, metrics, dry_run=True)
        return dry_load(run, _given(call, source, offset), offset, print_result)
    from ctisync.commands.init_snapshot import load_from

    run = _run_of(call, policy, metrics, option=" --from")
    return load_from(run, _given(call, source, offset), offset)


def _given(call: Call, source: str, offset: int | None) -> "list[Given]":
    """The snapshots to load. An offset that you pass counts more than a manifest, which is then not read."""
    from ctisync.commands.package import Given, given

    if offset is None:
        log = call.console
        if loads := given(source, call.consumers, named=call.named, log=log, option="--from"):
            return loads
    elif os.path.isdir(path := own_path(Path(source), "--from")):  # noqa: PTH112  # for any name
        raise UsageError(
            f"--offset is the offset of one snapshot, and {path} is a folder",
            hint=f"ctisync init-snapshot --from {quoted(path)}",
        )
    return [Given(call.only_consumer("--from loads"), source)]


def _run_of(
    call: Call, policy: "Policy", metrics: Path | None, *, dry_run: bool = False, option: str = ""
) -> "Run":
    """What the passes of this call have in common. Other passes and `status` show its command with `option`.
    Raises UsageError for a dry run with metrics."""
    from ctisync.commands.passes import Run

    command = f"ctisync {policy.mode}"
    if dry_run and metrics is not None:
        raise UsageError("--dry-run and --metrics cannot be combined", hint=f"{command} --dry-run")
    return Run(
        settings=call.settings,
        command=command + option,
        policy=policy,
        clock=call.clock,
        console=call.console,
        metrics=metrics,
    )
