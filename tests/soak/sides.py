"""One store of a soak: its passes, its readers, who is told of it, and what it has come to so far."""

from pathlib import Path

from tests.soak.feed import MovingFeed
from tests.soak.places import Content, Place
from tests.soak.processes import Sessions
from tests.support.command_manager import CommandManagerStandIn


class Side:
    """Several may share a folder and follow one feed, each with a Command Manager of its own."""

    def __init__(
        self, home: Path, place: Place, feed: MovingFeed, manager: CommandManagerStandIn, budget: str
    ) -> None:
        """`budget`: the seconds that a pass waits for what is transient."""
        self.place = place
        self.manager = manager
        self.sessions = Sessions(
            home,
            {
                "CTISYNC_CTI__URL": feed.url,
                "CTISYNC_CTI__RETRY_BUDGET": budget,
                "CTISYNC_STATE_DIR": str(place.state),
                "CTISYNC_COMMAND_MANAGER__URL": manager.url,
                "CTISYNC_COMMAND_MANAGER__TIMEOUT": "5",
                **place.environ(),
            },
        )
        self.offset = 0
        self.has_content = False
        self.last_command = 0

    def read_content(self) -> Content:
        """As its readers find it."""
        content = self.place.read_content()
        self.offset = content.offset
        return content

    def accepted_offset(self) -> int:
        """The offset of the last command that was accepted."""
        if self.manager.commands:
            self.last_command = int(self.manager.commands[-1].offset)
        return self.last_command

    def forget(self) -> None:
        """What its Command Manager has been told."""
        self.manager.commands.clear()
        self.manager.requests.clear()
