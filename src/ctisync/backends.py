"""The kinds of store. All that differs by kind is in a `Backend` and in the `ports.Store` that it opens.

`KINDS` registers them by the beginning of their URLs. The module of a kind is imported when a URL names it,
so that a command loads no other store.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from ctisync.errors import ConfigurationError
from ctisync.ports import Clock, Store
from ctisync.urls import Secret, redacted, refuse_credentials


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where ctisync stores the content, and how it logs in.

    url: `sqlite:///relative`, `sqlite:////absolute` or `http(s)://host:9200[,host2:9200]`; not set:
        `ctisync.db` in the state folder.
    username: User name for Basic authentication; ctisync sends it only to the store.
    password: Password for that user name.
    password_file: File that contains the password.
    ca_file: For the store: PEM file with the certificate authorities to trust; not set: those of the system.
    client_cert: PEM file with the client certificate for the store.
    client_key: PEM file with its private key; not set: the key is in the certificate file.
    shards: Number of primary shards of the content index.
    replicas: Number of replicas of the content index.
    compression: Compression of records in a SQLite file, for records written from now on; `none` stores plain
        text, eight times as large, which you can read with SQL alone.
    codec: Codec of the OpenSearch index, from the next load on; `best_compression` saves disk space.
    senders: Maximum number of bulks that a load sends to OpenSearch in parallel; fewer while nodes are busy.
    bulk_bytes: Maximum size of one bulk that a load sends to OpenSearch, in bytes. An update sends one bulk
        at a time, of up to `store.senders` times this size.
    facts_index: Keep a second OpenSearch index with fields for dashboards, under the alias `INDEX-facts`.
    """

    url: str = ""
    username: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    shards: Annotated[int, Meta(ge=1, le=1024)] = 1
    replicas: Annotated[int, Meta(ge=0, le=1000)] = 0
    compression: Literal["zstd", "none"] = "zstd"
    codec: Literal["default", "best_compression"] = "default"
    senders: Annotated[int, Meta(ge=1, le=32)] = 4
    bulk_bytes: Annotated[int, Meta(ge=100_000, le=100_000_000)] = 3_000_000
    facts_index: bool = False


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller uses a store. `host_lock`: the id of the lock that it holds (`locks.host_lock`), None if
    it only reads. `read_only`: reading does not even migrate the stored state. `within`: seconds for
    everything. `wait`: seconds for one wait, such as for an answer or another program's lock."""

    host_lock: str | None
    read_only: bool
    within: float
    wait: float


class LocalFiles(Protocol):
    """The part of a store that is on this host. Locks and downloads are beside it."""

    @property
    def path(self) -> Path:
        """The file or folder, absolute; it need not exist, its folder must."""

    def free_space(self, *, read_only: bool = False) -> int:
        """Bytes that a new content can use. `read_only`: as in `Access`. Raises StoreUnavailable if that is
        unknown, ConfigurationError if the file is not the store's."""

    def bytes_per_byte(self, options: StoreSettings) -> float:
        """Bytes that the store needs per byte of records, with a margin."""


class Backend(Protocol):
    """A kind of store at one URL. Nothing of it is opened before `open`."""

    @property
    def kind(self) -> str:
        """As in "with a SQLite store"."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The origins (scheme, host, port) to which the credentials of the store are sent; none for a store
        on this host. The Command Manager is there unless it has a URL of its own."""

    @property
    def local(self) -> LocalFiles | None:
        """None for a store on servers, which then also stores itself who writes to it."""

    def open(self, options: StoreSettings, clock: Clock, access: Access) -> Store:
        """The store. Imports its libraries."""


class Kind(NamedTuple):
    """`module`: has a function `parse` with the arguments of `parse_store_url`. `form`: of the URLs, for
    messages."""

    module: str
    form: str


_SQLITE: Final = Kind("ctisync.stores.sqlite.backend", "sqlite:///relative, sqlite:////absolute")
_OPENSEARCH: Final = Kind("ctisync.stores.opensearch.backend", "http(s)://host:9200[,host2:9200]")

KINDS: Final = {"sqlite:": _SQLITE, "http://": _OPENSEARCH, "https://": _OPENSEARCH}


def parse_store_url(url: str, where: str) -> Backend:
    """The store with this URL. Raises ConfigurationError; `where` is the source of the URL."""
    for beginning, kind in KINDS.items():
        if url.startswith(beginning):
            backend: Backend = import_module(kind.module).parse(url, where)
            return backend
    refuse_credentials(url, where, "store.username and store.password_file")
    *others, last = dict.fromkeys(kind.form for kind in KINDS.values())
    url_forms = f"{', '.join(others)} or {last}"
    raise ConfigurationError(f"{where}: {redacted(url)} is not a store URL", hint=f"write {url_forms}")
