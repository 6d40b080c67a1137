"""Send the update command to the Command Manager. It stays owed until it is accepted."""

from ctisync.core.state import command_accepted, command_needless, command_refused
from ctisync.errors import CommandNotAccepted
from ctisync.ports import Writer
from ctisync.sync.parts import Parts


def send_command(parts: Parts, writer: Writer, offset: int) -> bool:
    """Send the owed command for the content at `offset`. Returns whether it was accepted.

    A refusal is stored and logged, not raised, so that the pass can continue to update the content.
    """
    consumer = parts.consumer
    # Programs that get the command, and hooks, search the content.
    writer.make_searchable()
    if parts.commands is None:
        writer.save_later(command_needless(writer.state))
        return True
    try:
        parts.commands.send_update(consumer.index, offset)
    except CommandNotAccepted as error:
        refused = command_refused(writer.state)
        writer.save(refused)
        parts.log.event(
            "warning",
            "command-not-accepted",
            consumer=str(consumer),
            offset=offset,
            attempts=refused.owed.attempts if refused.owed else None,
            why=error.message,
            hint=error.hint,
        )
        return False
    writer.save(command_accepted(writer.state, offset, parts.clock.now()))
    parts.log.event("info", "command-accepted", consumer=str(consumer), index=consumer.index, offset=offset)
    return True
