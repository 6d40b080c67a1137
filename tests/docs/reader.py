"""A person who types what a guide says, on a host of his own: what the guide calls by the names of a whole
system lies in one folder of the test."""

from pathlib import Path
from typing import Final

from tests.docs.shell import path_with, run, tools
from tests.docs.stage import Printed
from tests.support.feed_simulator import FeedSimulator, unused_port

HOME: Final = "/home/me"
PLACES: Final = ("/etc/systemd/system", "/etc/ctisync", "/var/lib/ctisync", "/var/backups", HOME)


class Reader:
    """`feed` is None where there is no network. `names`: real URLs, by those that the guide has for them."""

    def __init__(self, root: Path, feed: FeedSimulator | None) -> None:
        self.root = root
        self.home = self.place(HOME)
        for place in PLACES:
            self.place(place).mkdir(parents=True)
        self.bin = tools(root / "bin", "tests.docs.hurried")
        self.environ = {"HOME": str(self.home), "PATH": path_with(self.bin)}
        self.names: dict[str, str] = {}
        self.reaches(feed)

    def place(self, name: str) -> Path:
        """Where that is on this host."""
        return self.root / name.lstrip("/")

    def reaches(self, feed: FeedSimulator | None) -> None:
        origin = f"http://127.0.0.1:{unused_port()}" if feed is None else feed.origin
        self.names["https://cti.wazuh.com"] = origin
        self.environ["CTISYNC_CTI__URL"] = f"{origin}/api/v1"

    def type(self, script: str) -> Printed:
        """What is printed, with the names that the guide uses."""
        for place in PLACES:
            script = script.replace(place, str(self.place(place)))
        for name, real in self.names.items():
            script = script.replace(name, real)
        ended = run(script, self.environ, self.home)
        printed = ended.stdout + ended.stderr
        for name, real in self.names.items():
            printed = printed.replace(real, name)
        return Printed(ended.returncode, printed.replace(str(self.root), ""))

    def types(self, script: str) -> str:
        """The same, of what must succeed."""
        printed = self.type(script)
        assert printed.code == 0, f"{script}\n{printed.text}"
        return printed.text
