"""Checks of the settings for mirrors."""

from collections.abc import Sequence

from ctisync.core.trust import is_public_key
from ctisync.errors import ConfigurationError


def check_keys(keys: Sequence[str], where: str) -> None:
    """Each must be a public key of minisign. Raises ConfigurationError; `where`: as in `checks`."""
    for key in keys:
        if not is_public_key(key):
            raise ConfigurationError(
                f"{where}: {key!r} is not a public key of minisign",
                hint="write the second line of the .pub file, which begins with RW",
            )
