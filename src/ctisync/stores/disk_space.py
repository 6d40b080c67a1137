"""The free disk space of a folder, and whether it can be written to."""

import os
import shutil
from pathlib import Path

from ctisync.core.health import CheckResult, failed, ok, warning
from ctisync.errors import StoreUnavailable
from ctisync.escaping import quoted
from ctisync.system.folders import folder_risk
from ctisync.system.mounts import network_disk_risk


def free_in(folder: Path) -> int:
    """Free bytes on a folder's disk. Raises StoreUnavailable if they cannot be read."""
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise StoreUnavailable(
            f"cannot read the free disk space of {folder}: {error.strerror}",
            hint=f"ls -ld {quoted(folder)}",
        ) from error


def diagnose_folder(folder: Path, *, is_made: bool) -> CheckResult:
    """Whether locks, downloads and a database can be written there, and by this user only; nothing is
    written. `is_made`: a pass creates the folder if it is missing. A network disk is a warning."""
    there = nearest(folder)
    hint = f"ls -ld {quoted(there)}; set state_dir, or run ctisync as the folder's owner"
    if there != folder and not is_made:
        return failed("folder", f"{folder} does not exist", f"mkdir -p {quoted(folder)}")
    if not there.is_dir():
        return failed("folder", f"{there} is not a folder", hint)
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        what = "cannot be written to"
        if there != folder:
            what = f"cannot be created: {there} cannot be written to"
        return failed("folder", f"{folder} {what}", hint)
    if (fault := folder_risk(folder)) is not None:
        return failed("folder", *fault)
    if (risk := network_disk_risk(there)) is not None:
        return warning("folder", *risk)
    state = "can be written to" if there == folder else "does not exist yet; the first pass creates it"
    return ok("folder", f"{folder} {state}")


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))
