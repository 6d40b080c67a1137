"""`sync`, `update`, and `init-snapshot` from the feed: a pass for each consumer in turn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctisync.commands.passes import Run, run_passes
from ctisync.core.model import Consumer

if TYPE_CHECKING:
    from ctisync.core.pass_report import Ended
    from ctisync.feed.client import CtiFeed
    from ctisync.sync.parts import Parts


def sync(run: Run, consumers: Sequence[Consumer]) -> int:
    """Run a pass within `run.policy` for each consumer; returns the exit code of `run_passes`."""

    def one_pass(parts: "Parts", _feed: "CtiFeed") -> "Ended":
        from ctisync.sync.run_pass import run_pass

        return run_pass(parts)

    return run_passes(run, consumers, one_pass)
