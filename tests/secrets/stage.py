"""The command with a canary in every secret, the servers that it talks to, and all that it leaves behind."""

import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote, urlsplit

from tests.cli.conftest import DEADLINE, Ctisync
from tests.secrets import canaries
from tests.secrets.canaries import Canary, leaks_in
from tests.secrets.settings import SECRETS, Form, configure
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_exchange import EXCHANGE
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.http_proxy import Answer, HttpProxy, http_proxy
from tests.support.opensearch_node import OpenSearchNode

USER: Final = "wazuh-admin"
MANAGERS_USER: Final = "content-manager"

LINK: Final = canaries.word("the signature in a snapshot's link")
TYPED: Final = canaries.word("the signature in an address that a person typed")
SIGNATURE: Final = canaries.word("the signature of a link that the token was exchanged for")
COOKIE: Final = canaries.word("the cookie of a server")
LOGIN: Final = canaries.word("the password in an address")
PROXY: Final = canaries.password("the proxy's password")
KEY: Final = canaries.word("the client's private key")

ALL: Final = (*SECRETS.values(), LINK, TYPED, SIGNATURE, COOKIE, LOGIN, PROXY, KEY)

RECEIVERS: Final = {
    "cti.token": "feed",
    "cti.headers": "feed",
    "store.password": "store",
    "command_manager.password": "manager",
    "ping_url": "ping",
}
"""Who may be told a secret: nobody else."""

SIGNED: Final = {"feed": [LINK], "elsewhere": [TYPED]}
"""Whose addresses are signed, by what."""


class Ended(NamedTuple):
    """How a command ended, and all that it has left where others can read it."""

    code: int
    stdout: bytes
    stderr: bytes
    places: dict[str, bytes]

    def leaks(self, but: Collection[Canary] = ()) -> list[str]:
        """Each canary that is found, with the place. The environment of the process is its owner's own."""
        canaries = [canary for canary in ALL if canary not in but]
        return [
            f"{place}: {what}"
            for place, content in self.places.items()
            for what in leaks_in(canaries, content)
        ]


class Stage:
    """One consumer on SQLite, or on `node` behind a proxy; all servers want their secrets."""

    def __init__(self, folder: Path, form: Form, node: OpenSearchNode | None = None) -> None:
        self._opened = ExitStack()
        self.folder = folder
        self.node = node
        self.home = folder / "home"
        (self.home / "tmp").mkdir(parents=True)
        self.feed = self._opened.enter_context(FeedSimulator())
        self.feed.required_token = SECRETS["cti.token"].text
        populate(self.feed.history, 20)
        self.manager = self._opened.enter_context(CommandManagerStandIn())
        password = SECRETS["command_manager.password"].text
        self.servers = {
            "feed": self._proxy(self.feed.origin),
            "manager": self._proxy(self.manager.url, f"{MANAGERS_USER}:{password}"),
            "elsewhere": self._proxy(self.feed.origin),
            "ping": self._proxy(None),
        }
        self.servers["ping"].intercept = lambda _: Answer()
        for each in self.servers.values():
            each.cookie = COOKIE.text
        self.ctisync = Ctisync(self.home)
        self.environ = self.ctisync.environ
        self.environ |= {
            "TMPDIR": str(self.home / "tmp"),
            "CTISYNC_STATE_DIR": str(self.home / "state"),
            # So that why it was not reachable is remembered in the state.
            "CTISYNC_CTI__COOLDOWN": "600",
            "CTISYNC_CTI__URL": f"{self.servers['feed'].url}/api/v1",
            "CTISYNC_STORE__USERNAME": USER,
            "CTISYNC_COMMAND_MANAGER__URL": self.servers["manager"].url,
            "CTISYNC_COMMAND_MANAGER__USERNAME": MANAGERS_USER,
            **configure(form, folder / "given", self.servers["ping"].url),
        }
        if node is not None:
            credentials = f"{USER}:{SECRETS['store.password'].text}"
            self.servers["store"] = self._proxy(node.url, credentials)
            self.environ["CTISYNC_STORE__URL"] = self.servers["store"].url
        self.publish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def _proxy(self, upstream: str | None, credentials: str | None = None) -> HttpProxy:
        return self._opened.enter_context(http_proxy(upstream, credentials))

    def also(self, context: Any) -> Any:
        """Enter a context until the stage is closed."""
        return self._opened.enter_context(context)

    def publish(self) -> None:
        """A snapshot of now, whose link is signed, and a few changes after it."""
        path = urlsplit(self.feed.publish_snapshot()).path
        self.feed.info["last_snapshot_link"] = f"{self.servers['feed'].url}{path}?signature={LINK.text}"
        churn(self.feed.history, 10, seed=len(self.feed.files))

    @property
    def snapshot_file(self) -> str:
        """A snapshot that is here."""
        name, content = self._snapshot
        path = self.folder / "given" / Path(name).name
        path.write_bytes(content)
        return str(path)

    @property
    def snapshot_url(self) -> str:
        """An address that a person has been given, with what proves it."""
        return f"{self.servers['elsewhere'].url}{self._snapshot[0]}?signature={TYPED.text}"

    @property
    def _snapshot(self) -> tuple[str, bytes]:
        path, file = list(self.feed.files.items())[-1]
        return path, file.body

    def private(self) -> HttpProxy:
        """The consumer is not public: the console, to whom alone the token may go, signs links to it."""
        console = self.servers["console"] = self._proxy(self.feed.origin)
        console.cookie = COOKIE.text
        self.feed.required_token = None
        self.feed.exchanged_token = SECRETS["cti.token"].text
        self.feed.signs = lambda number: f"{number}-{SIGNATURE.text}"
        self.environ["CTISYNC_CTI__TOKEN_EXCHANGE_URL"] = console.url + EXCHANGE
        return console

    def closed_store(self) -> HttpProxy:
        """An OpenSearch behind a proxy that lets nobody in; what it answers, the test decides."""
        self.servers["store"] = self._proxy(self.feed.origin, f"{USER}:{SECRETS['store.password'].text}")
        self.environ["CTISYNC_STORE__URL"] = self.servers["store"].url
        return self.servers["store"]

    def proxied(self) -> HttpProxy:
        """Everything for the feed goes through a proxy that wants a password."""
        proxy = self.servers["proxy"] = self._proxy(None, f"{USER}:{PROXY.text}")
        host = proxy.url.removeprefix("http://")
        self.environ["HTTP_PROXY"] = f"http://{USER}:{quote(PROXY.text, safe='')}@{host}"
        return proxy

    def run(self, *arguments: str, program: str | None = None) -> Ended:
        """`ctisync ARGUMENTS`, or a Python program that gets them; watched while it runs."""
        with _watched_command_lines() as command_lines:
            if program is None:
                ended = self.ctisync.run_raw(*arguments)
            else:
                ended = subprocess.run(
                    [sys.executable, str(self._program(program)), *arguments],
                    env=self.environ,
                    cwd=self.home,
                    capture_output=True,
                    timeout=DEADLINE,
                    check=False,
                )
        stdout, stderr = ended.stdout, ended.stderr
        places = {
            "standard output": stdout,
            "standard error": stderr,
            "command lines": b"\n".join(command_lines),
        }
        for path in sorted(self.home.rglob("*")):
            places[f"the name of {path.name}"] = str(path).encode()
            if path.is_file():
                places[str(path.relative_to(self.home))] = path.read_bytes()
        if self.node is not None:
            places |= _everything_in(self.node)
        return Ended(ended.returncode, stdout, stderr, places)

    def _program(self, text: str) -> Path:
        """In a file: what a program has on its command line everybody can see."""
        path = self.folder / "given" / "program.py"
        path.write_text(text)
        return path

    def strays(self, **allowed: Collection[Canary]) -> list[str]:
        """What servers were told that is none of their business. `allowed` is more than its own."""
        leaks = []
        for name, each in self.servers.items():
            own = {canary for setting, canary in SECRETS.items() if RECEIVERS[setting] == name}
            own |= {*SIGNED.get(name, ()), *allowed.get(name, ())}
            foreign = [canary for canary in ALL if canary not in own]
            content = b"\n".join(map(bytes, each.received))
            leaks += [f"{name}: {what}" for what in leaks_in(foreign, content)]
        return leaks

    def has_requests(self, name: str) -> bool:
        """Whether the server got the secret that is its own."""
        own = [canary for setting, canary in SECRETS.items() if RECEIVERS[setting] == name]
        return bool(leaks_in(own, b"\n".join(map(bytes, self.servers[name].received))))


@contextmanager
def _watched_command_lines() -> Iterator[set[bytes]]:
    """The command line of every process of this machine that runs meanwhile."""
    command_lines: set[bytes] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.03):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    command_lines.add(path.read_bytes())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield command_lines
    finally:
        done.set()
        watching.join()


def _everything_in(node: OpenSearchNode) -> dict[str, bytes]:
    node.request("POST", "/_refresh")
    paths = {
        "the cluster's state": "/_cluster/state/metadata",
        "the state document": "/wazuh-context/_search",
        "all documents": "/*/_search?expand_wildcards=all&size=500&_source=true",
    }
    return {name: node.client.get(path).content for name, path in paths.items()}
