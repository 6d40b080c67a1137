"""Tell the Command Manager that the content has changed: owed until it is accepted."""

from ctisync.core.model import Consumer
from ctisync.core.state import command_accepted, command_refused
from ctisync.errors import CommandNotAccepted
from ctisync.ports import CommandManager, Log, Writer


def send_command(
    offset: int, consumer: Consumer, writer: Writer, commands: CommandManager | None, log: Log
) -> bool:
    """Send the owed command for the content indexed at `offset`; whether it was accepted.

    A refusal is remembered and reported, not raised: the content is worth going on with.
    """
    writer.make_searchable()  # whoever gets the command, and a hook, must find the content by search
    if commands is None:
        writer.save(command_accepted(writer.state))
        return True
    try:
        commands.send_update(consumer.index, offset)
    except CommandNotAccepted as error:
        refused = command_refused(writer.state)
        writer.save(refused)
        log.event(
            "warning",
            "command-not-accepted",
            consumer=str(consumer),
            offset=offset,
            attempts=refused.owed.attempts if refused.owed else None,
            why=error.message,
            hint=error.hint,
        )
        return False
    writer.save(command_accepted(writer.state))
    log.event("info", "command-accepted", consumer=str(consumer), index=consumer.index, offset=offset)
    return True
