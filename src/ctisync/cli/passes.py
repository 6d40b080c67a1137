"""What `sync`, `update` and `init-snapshot` share: a pass for each consumer, or its dry run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ctisync.commands.invocation import Invocation
from ctisync.errors import UsageError
from ctisync.escaping import quoted
from ctisync.system.files import expand_home
from ctisync.system.process import print_result

if TYPE_CHECKING:
    from ctisync.commands.package import SnapshotSource
    from ctisync.core.steps import Policy


def run_or_plan(invocation: Invocation, policy: "Policy", metrics: Path | None, *, dry_run: bool) -> int:
    """A pass for each consumer as `policy` allows it, or its dry run; returns the exit code."""
    invocation = msgspec.structs.replace(invocation, policy=policy, metrics=metrics)
    if dry_run:
        from ctisync.commands.dry_run import plan_passes

        _refuse_metrics(invocation)
        return plan_passes(invocation, print_result)
    from ctisync.commands.sync import sync

    return sync(invocation)


def load_or_plan(
    invocation: Invocation,
    location: str,
    offset: int | None,
    metrics: Path | None,
    *,
    replace: bool,
    dry_run: bool,
) -> int:
    """The same for snapshots that the user passes (`--from`)."""
    from ctisync.core.steps import Policy

    policy = Policy(mode="init-snapshot", replace=replace)
    invocation = msgspec.structs.replace(invocation, policy=policy, metrics=metrics)
    if dry_run:
        from ctisync.commands.dry_run import plan_loads

        _refuse_metrics(invocation)
        return plan_loads(invocation, _sources(invocation, location, offset), offset, print_result)
    from ctisync.commands.init_snapshot import load_from

    invocation = msgspec.structs.replace(invocation, option="--from")
    return load_from(invocation, _sources(invocation, location, offset), offset)


def _sources(invocation: Invocation, location: str, offset: int | None) -> "list[SnapshotSource]":
    """The snapshots to load. An offset that you pass counts more than a manifest, which is then not read."""
    from ctisync.commands.package import SnapshotSource, snapshot_sources

    if offset is None:
        sources = snapshot_sources(
            location,
            invocation.consumers,
            named=invocation.named,
            log=invocation.console,
            option="--from",
        )
        if sources:
            return sources
    elif os.path.isdir(path := expand_home(Path(location), "--from")):  # noqa: PTH112  # for any name
        raise UsageError(
            f"--offset is the offset of one snapshot, and {path} is a folder",
            hint=f"ctisync init-snapshot --from {quoted(path)}",
        )
    return [SnapshotSource(invocation.only_consumer("--from loads"), location)]


def _refuse_metrics(invocation: Invocation) -> None:
    if invocation.metrics is not None:
        raise UsageError("--dry-run and --metrics cannot be combined", hint=f"{invocation.command} --dry-run")
