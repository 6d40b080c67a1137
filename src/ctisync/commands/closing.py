"""The line that closes a pass for a person at a terminal."""

from ctisync.core.account import Account
from ctisync.core.words import counted, lasting


def closing(account: Account) -> str | None:
    """What the pass did, how long it took and where the content stands. None when something else was told:
    an error, or that the feed has nothing to offer."""
    match account.outcome:
        case "up-to-date" | "initialised":
            return f"{account.consumer}: {_done(account)}; {_stands(account)}."
        case "cooldown":
            return f"{account.consumer}: {account.why}."
        case _:
            return None


def _done(account: Account) -> str:
    parts = ["a snapshot loaded"] if account.initialisations else []
    if account.changes:
        parts.append(f"{counted(account.changes, 'change')} applied")
    return f"{' and '.join(parts)} in {lasting(account.seconds)}" if parts else "nothing new"


def _stands(account: Account) -> str:
    at = f"at offset {account.offset:,}"
    if account.behind:
        return f"{at}, {counted(account.behind, 'offset')} behind the feed"
    return at if account.behind is None else f"up to date {at}"
