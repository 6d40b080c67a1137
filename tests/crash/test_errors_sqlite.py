"""T2 on SQLite: any effect fails, once or for good. The exit code says so, and the next pass ends right.

| what fails              | with                      | once              | for good |
|-------------------------|---------------------------|-------------------|----------|
| the feed                | reset, time-out, 429, 503 | tried again: done | 5        |
| the Command Manager     | reset, time-out, 429, 503 | done, or 8        | 8        |
| a statement of SQLite   | EIO, ENOSPC               | 7                 | 7        |
| a file (lock, spool)    | EIO, ENOSPC               | 7                 | 7        |
| a statement for history | EIO, ENOSPC               | done              | done     |

"Done" is how the story ends undisturbed. Cleaning up is best effort: a pass may also be done when what
failed there is left to the next one; whenever a pass says that it is done, its content is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.crash.passes import Ended, Kept, SqlitePasses
from tests.crash.stories import STORIES, Story
from tests.crash.sweep import shown, sweep
from tests.support.faults import Effect, Fault, How, When
from tests.support.faults_sql import CLOSE
from tests.support.figures import figure
from tests.support.long import LONG, some

# Hundreds of passes a test, each with its own time limit (`doomed.HANGS`).
pytestmark = pytest.mark.timeout(900)

FEED, STORE, COMMAND = 5, 7, 8
CODES: Final = {"feed": FEED, "commands": COMMAND, "database": STORE, "files": STORE}

# What changes nothing, as no request to the feed does, so that it makes no difference whether it fails before
# or after it is done ...
_ONLY_READ: Final = ("SELECT", "PRAGMA", "BEGIN", "read", "open folder", "open alerts")
# ... and what else needs no space.
_NEEDS_NO_SPACE: Final = (*_ONLY_READ, "flock", "unlink", "fsync folder", "ROLLBACK")

# What is left to the next pass when it fails, or is not needed: a folder that is there already, and what was
# alerted while the store could not remember it.
_BEST_EFFORT: Final = ("unlink part", "unlink note", "ftruncate lock", "mkdir folder", "open alerts")


# "blocked" has no effect that these have not.
@pytest.mark.parametrize(
    "story", [story for story in STORIES if story.name != "blocked"], ids=lambda story: story.name
)
def test_an_error_at_any_effect_has_its_exit_code_and_the_next_pass_ends_right(
    story: Story, tmp_path: Path
) -> None:
    errors, problems = sweep(story, tmp_path, every_error, wrong_after_an_error)
    assert not problems, shown(problems)
    figure(
        f"T2 sqlite, {story.name}: {errors} errors: 0 wrong exit codes, 0 tracebacks, "
        "0 initialisations for what is transient, 0 lost"
    )


def every_error(effects: Sequence[Effect]) -> Sequence[Fault]:
    faults = [
        Fault(at, when, how, lasting)
        for at, effect in enumerate(effects, start=1)
        for how in errors_of(effect)
        for when, lasting in ways_of(effect, how)
    ]
    return some(faults, 100)


def ways_of(effect: Effect, how: How) -> list[tuple[When, bool]]:
    """Before and after, and from then on for good. A disk that is full once is that only in a long run: the
    code is that of any other error of the disk."""
    once: list[tuple[When, bool]] = [("before", False), ("after", False)]
    if effect.place == "feed" or effect.name.startswith(_ONLY_READ):
        once = once[:1]
    if how == "ENOSPC" and not LONG:
        once = []
    return [*once, ("before", True)]


def errors_of(effect: Effect) -> tuple[How, ...]:
    """Those that this effect can meet."""
    if effect.place in ("feed", "commands"):
        return ("reset", "timeout") if effect.name.endswith(" body") else ("reset", "timeout", "429", "503")
    if effect.name == CLOSE:
        return ()
    return ("EIO",) if effect.name.startswith(_NEEDS_NO_SPACE) else ("EIO", "ENOSPC")


def allowed(story: Story, effect: Effect, fault: Fault) -> set[int]:
    """The exit codes that tell the truth."""
    done = story.exit_code
    if effect.place == "history":
        return {done}
    failed = CODES[effect.place]
    match effect.place:
        case "feed":
            return {failed} if fault.lasting else {done}
        case "commands" if done != 0:  # what the feed's data is worth comes before the command
            return {done}
        case "commands":
            return {failed} if fault.lasting else {failed, done}
        case "database" if not fault.lasting:
            return {failed, done}
    return {failed, done} if effect.name in _BEST_EFFORT else {failed}


def wrong_after_an_error(passes: SqlitePasses, effect: Effect, fault: Fault, undisturbed: Kept) -> list[str]:
    story = passes.story
    passes.begin()
    failed = passes.run(fault)
    wrong = wrong_words(failed)
    if failed.code not in (right := allowed(story, effect, fault)):
        wrong.append(f"it ends with {failed.code} instead of {right}: {failed.stderr}")
    if failed.code in (story.exit_code, COMMAND) and not passes.holds(passes.last_offset):
        wrong.append(f"it ends with {failed.code}, and the content is another one")
    if not passes.is_whole():
        wrong.append("readers then find another content than that of the stored offset")
    clean = passes.run()
    wrong += wrong_words(clean)
    if clean.code != story.exit_code:
        wrong.append(f"the next pass ends with {clean.code}: {clean.stderr}")
    kept = passes.kept()
    if failed.code == story.exit_code:  # what it could not clean up waits for a pass that has to write
        kept = kept._replace(generations=undisturbed.generations, rows=undisturbed.rows)
    if kept != undisturbed:
        wrong.append(f"the next pass leaves something else: {kept.unlike(undisturbed)}")
    if passes.last_offset not in passes.commands():
        wrong.append(f"no command with offset {passes.last_offset} was accepted: {passes.commands()}")
    if story.name == "update" and passes.snapshots():
        wrong.append("it was initialised again")
    return wrong


def wrong_words(ended: Ended) -> list[str]:
    return [
        f"it says {words!r}: {ended.stderr}"
        for words in ("Traceback", "a bug in ctisync")
        if words in ended.stderr
    ]
