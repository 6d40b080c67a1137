"""All targets: importing this registers them."""

from typing import Final

from tests.fuzz import (
    on_archives,
    on_files,
    on_json,
    on_links,
    on_patches,
    on_replies,
    on_settings,
    on_states,
    on_wire,
    on_words,
)
from tests.fuzz.target import TARGETS

ROOMS: Final = (
    on_archives,
    on_json,
    on_wire,
    on_links,
    on_replies,
    on_files,
    on_patches,
    on_settings,
    on_states,
    on_words,
)

ALL: Final = tuple(TARGETS)
