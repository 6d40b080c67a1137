"""`sync`, `update`, and `init-snapshot` from the feed: a pass for each consumer in turn."""

from typing import TYPE_CHECKING

from ctisync.commands.invocation import Invocation
from ctisync.commands.passes import run_passes

if TYPE_CHECKING:
    from ctisync.core.pass_report import Ended
    from ctisync.feed.client import CtiFeed
    from ctisync.sync.parts import Parts


def sync(invocation: Invocation) -> int:
    """Run a pass for each consumer; returns the exit code of `run_passes`."""

    def one_pass(parts: "Parts", _feed: "CtiFeed") -> "Ended":
        from ctisync.sync.run_pass import run_pass

        return run_pass(parts)

    return run_passes(invocation, one_pass)
