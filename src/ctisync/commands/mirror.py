"""`ctisync mirror`: one pass that publishes the feed in a folder, from which other hosts follow it."""

from pathlib import Path
from typing import Annotated, Final

import typer

from ctisync import hints
from ctisync.cli.invocation import CommonOptions, DryRunOption, Invocation, NowOption, command
from ctisync.core.model import Consumer
from ctisync.core.steps import cooldown_end
from ctisync.core.words import bytes_as_text, counted
from ctisync.errors import CtisyncError, FeedUnreachable, UsageError, worst
from ctisync.escaping import quoted
from ctisync.mirror.publish import Plan, Publisher
from ctisync.signatures import SigningKey, create_key
from ctisync.system.files import absolute, expand_home
from ctisync.system.process import only_ctisync_errors, print_result
from ctisync.wiring import opened_publisher

_BYTES_A_CHANGE: Final = 202
"""Of the real feed, on average, compressed."""


@command()
def mirror(
    options: CommonOptions,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of the mirror; created if it is missing.")
    ] = None,
    sign_key: Annotated[
        Path | None,
        typer.Option("--sign-key", metavar="FILE", help="Sign the mirror with this secret key of minisign."),
    ] = None,
    new_key: Annotated[
        Path | None,
        typer.Option(
            "--new-key", metavar="FILE", help="Only make a key: FILE, and FILE.pub for cti.trusted_keys."
        ),
    ] = None,
    now: NowOption = False,
    dry_run: DryRunOption = False,
) -> int:
    """Publish the feed in a folder, from which other hosts follow it: cti.url = "file:///DIR"."""
    if (folder is None) == (new_key is None):
        raise UsageError(
            "mirror takes DIR, or --new-key FILE without DIR", hint=hints.command("mirror", "--help")
        )
    if new_key is not None:
        print_result(create_key(absolute(expand_home(new_key, "--new-key"), "--new-key", UsageError)))
        return 0
    assert folder is not None
    invocation = options.invocation().for_passes("sync", now=now)
    root = absolute(expand_home(folder, "DIR"), "DIR", UsageError)
    key = None if sign_key is None else SigningKey(expand_home(sign_key, "--sign-key"))
    codes = []
    for consumer in invocation.consumers:
        try:
            with only_ctisync_errors():
                _mirror(invocation, root, consumer, key, dry_run=dry_run)
        except CtisyncError as error:
            error.message = error.about(consumer)
            invocation.console.error(error)
            codes.append(error.exit_code)
    return worst(codes)


def _mirror(
    invocation: Invocation, root: Path, consumer: Consumer, key: SigningKey | None, *, dry_run: bool
) -> None:
    clock, console, policy = invocation.clock, invocation.console, invocation.policy
    with opened_publisher(
        invocation.settings, root, consumer, clock, console, writes=not dry_run
    ) as publisher:
        if key is not None:
            if not isinstance(publisher, Publisher):
                raise UsageError(
                    "--sign-key: cti.url is a mirror, whose signature ctisync mirror copies",
                    hint="leave it out",
                )
            publisher.key = key
        cooldown = policy.cooldown_of(publisher.notes.feed, clock.now())
        if cooldown is not None:
            raise FeedUnreachable(
                f"cool-down of the feed until {cooldown_end(cooldown)}: {cooldown.reason}",
                hint="run the same command after that, or at once: "
                + hints.command("mirror", f"{quoted(root)} --now"),
            )
        if dry_run:
            print_result(_plan(consumer, publisher.plan()))
            return
        try:
            publisher.run()
        except FeedUnreachable as error:
            if error.cooldown is not None and policy.cooldowns:
                publisher.begin_cooldown(error.cooldown, error.message, policy.server)
            raise


def _plan(consumer: Consumer, plan: Plan) -> str:
    begin = "is empty" if plan.published is None else f"is at offset {plan.published:,}"
    lines = [f"{consumer}: the mirror {begin}; a pass would now"]
    if plan.snapshot is not None:
        size = "unknown size" if plan.bytes is None else bytes_as_text(plan.bytes)
        lines.append(f"  add the snapshot of offset {plan.snapshot.offset:,}, of {size}")
    after, to = plan.changes.after, plan.changes.to
    if to > after:
        about = bytes_as_text(_BYTES_A_CHANGE * (to - after))
        lines.append(
            f"  add the changes of {counted(to - after, 'offset')}, {after + 1:,} to {to:,}, about {about}"
        )
    lines.append("  publish when the feed last answered")
    return "\n".join(lines)
