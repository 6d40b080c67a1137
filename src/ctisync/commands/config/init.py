"""`config init`: a settings file to begin with, which is never written over another one."""

from pathlib import Path

from ctisync.errors import UsageError


def write(text: str, file: Path) -> None:
    """Its folder is made when it is missing. Raises UsageError, also for a file that is there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(
            f"cannot write to {file}: {error.strerror}", hint="ctisync config init --output ANOTHER_FILE"
        ) from error
