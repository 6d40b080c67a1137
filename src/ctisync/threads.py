"""Work beside the main thread, if the system allows another one (`ulimit -u`, systemd's `TasksMax=`)."""

from collections.abc import Callable
from threading import Thread


def beside(work: Callable[[], object], name: str) -> Thread | None:
    """Start `work` on a thread of this name; the process can end before the thread does. None if the system
    allows no further thread: `work` has not started then."""
    thread = Thread(target=work, daemon=True, name=name)
    try:
        thread.start()
    except RuntimeError:  # "can't start new thread"
        return None
    return thread
