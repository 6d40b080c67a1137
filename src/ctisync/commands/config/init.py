"""`config init`: a template for a settings file. It never overwrites a file."""

from pathlib import Path

from ctisync.errors import UsageError


def write(text: str, file: Path) -> None:
    """Creates a missing folder. Raises UsageError, also if the file exists."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(
            f"cannot write to {file}: {error.strerror}", hint="ctisync config init --output ANOTHER_FILE"
        ) from error
