"""Every setting with its type, default and meaning.

The descriptions are what `ctisync config init`, `ctisync config schema` and the README's table say.
"""

import base64
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer
from ctisync.settings.checks import MOST_PASSES, OpenSearchPlace, Place, parse_store_url
from ctisync.settings.sources import Secret

_TELLING: Final = 8
"""Characters: a shorter path may stand in any text."""

Seconds = Annotated[float, Meta(gt=0, le=86_400)]

_TRUST: Final = "a PEM file with the authorities to trust; not set: the system's."


class CtiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The feed."""

    url: Annotated[str, Meta(description="The CTI API.")] = "https://cti.wazuh.com/api/v1"
    token: Annotated[Secret | None, Meta(description="Sent as Bearer to the URL's host alone.")] = None
    token_file: Annotated[Path | None, Meta(description="A file with the token.")] = None
    ca_file: Annotated[Path | None, Meta(description=f"For the feed, {_TRUST}")] = None
    retry_budget: Annotated[
        Seconds, Meta(description="Seconds that a pass waits, in all, for what is transient.")
    ] = 300.0
    cooldown: Annotated[
        float,
        Meta(ge=0, le=86_400),
        Meta(
            description="Seconds for which the feed is left alone once the `retry_budget` is spent and it "
            "does not say itself; 0: not at all, whatever it says."
        ),
    ] = 600.0
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Other hosts that a snapshot's link may lead to: `host`, `*.domain`, either with "
            "`:port`."
        ),
    ] = ()
    load_while_downloading: Annotated[
        bool,
        Meta(
            description="Records are loaded while their snapshot still comes in; false: once all of it is "
            "here."
        ),
    ] = True


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing to follow, and the name under which readers find it."""

    context: Annotated[str, Meta(description="What is followed: the context in the API.")] = "vd_1.0.0"
    consumer: Annotated[str, Meta(description="What is followed: the consumer in it.")] = "vd_4.8.0"
    index: Annotated[str, Meta(description="The name under which readers find the content.")] = "wazuh-cve"
    resources: Annotated[
        tuple[str, ...],
        Meta(description="Shell-style patterns of the names of the records that are wanted."),
    ] = ("*",)

    def consumer_of_core(self) -> Consumer:
        return Consumer(self.context, self.consumer, self.index, self.resources)


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the content is kept, and how to get in."""

    url: Annotated[
        str,
        Meta(
            description="`sqlite:///relative`, `sqlite:////absolute` or `http(s)://host:9200[,host2:9200]`; "
            "not set: `ctisync.db` in the state folder."
        ),
    ] = ""
    username: Annotated[
        str | None, Meta(description="For Basic authentication, sent to the store alone.")
    ] = None
    password: Annotated[Secret | None, Meta(description="Goes with the username.")] = None
    password_file: Annotated[Path | None, Meta(description="A file with the password.")] = None
    ca_file: Annotated[Path | None, Meta(description=f"For the store, {_TRUST}")] = None
    client_cert: Annotated[
        Path | None, Meta(description="A PEM file with the certificate that is shown to the store.")
    ] = None
    client_key: Annotated[
        Path | None,
        Meta(description="A PEM file with its private key; not set: that stands with the certificate."),
    ] = None
    shards: Annotated[int, Meta(ge=1, le=1024), Meta(description="Shards of the content's index.")] = 1
    replicas: Annotated[int, Meta(ge=0, le=1000), Meta(description="Replicas of the content's index.")] = 0
    compression: Annotated[
        Literal["zstd", "none"],
        Meta(
            description="Of the records in a SQLite file, as they are written from now on; `none` stores "
            "plain text, eight times as large, for who reads with nothing but SQL."
        ),
    ] = "zstd"
    codec: Annotated[
        Literal["default", "best_compression"],
        Meta(description="`best_compression` packs the records of the next load tighter on OpenSearch."),
    ] = "default"
    senders: Annotated[
        int,
        Meta(ge=1, le=32),
        Meta(
            description="The most bulks that a load sends to OpenSearch at once; less while nodes are busy."
        ),
    ] = 4
    bulk_bytes: Annotated[
        int,
        Meta(ge=100_000, le=100_000_000),
        Meta(description="The most bytes that a load sends to OpenSearch in one bulk."),
    ] = 3_000_000


_AS_THE_STORE: Final = "not set: the store's, at the store's own origin only."


class CommandManagerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of new content."""

    enabled: Annotated[
        bool | None,
        Meta(
            description="Whether anybody is told; not set: yes when the store is OpenSearch, or `url` is set."
        ),
    ] = None
    url: Annotated[str | None, Meta(description="Where the Command Manager is; not set: at the store's.")] = (
        None
    )
    version: Annotated[str, Meta(description="As the command says it.")] = "5.0.0"
    target_id: Annotated[str, Meta(description="As the command says it.")] = "vulnerability-detector"
    timeout: Annotated[Seconds, Meta(description="Seconds for a command, in all.")] = 30.0
    username: Annotated[str | None, Meta(description=f"For Basic authentication; {_AS_THE_STORE}")] = None
    password: Annotated[Secret | None, Meta(description="Goes with the username.")] = None
    password_file: Annotated[Path | None, Meta(description="A file with the password.")] = None
    ca_file: Annotated[
        Path | None, Meta(description=f"A PEM file with the authorities to trust; {_AS_THE_STORE}")
    ] = None
    client_cert: Annotated[
        Path | None, Meta(description=f"A PEM file with the certificate that is shown; {_AS_THE_STORE}")
    ] = None
    client_key: Annotated[
        Path | None,
        Meta(description="A PEM file with its private key; not set: that stands with the certificate."),
    ] = None


class HookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is run after a pass: a program and its arguments, without a shell."""

    on_update: Annotated[
        tuple[str, ...], Meta(description="What is run when readers have another content than before.")
    ] = ()
    on_error: Annotated[tuple[str, ...], Meta(description="What is run when the exit code is not 0.")] = ()
    on_stale: Annotated[
        tuple[str, ...],
        Meta(description="What is run when the content has been out of step for longer than `stale_after`."),
    ] = ()
    stale_after: Annotated[
        float,
        Meta(gt=0, le=31_536_000),
        Meta(description="Seconds since the content was last known to be in step, after which it is stale."),
    ] = 86_400.0
    timeout: Annotated[Seconds, Meta(description="Seconds for each hook; then it is ended.")] = 60.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of ctisync."""

    # As `load` returns them, `*_file` secrets are read and the folders are filled in.

    cti: CtiSettings = CtiSettings()
    consumers: Annotated[tuple[ConsumerSettings, ...], Meta(description="What is followed.")] = (
        ConsumerSettings(),
    )
    store: StoreSettings = StoreSettings()
    command_manager: CommandManagerSettings = CommandManagerSettings()
    limits: Limits = Limits()
    hooks: HookSettings = HookSettings()
    ping_url: Annotated[
        Secret | None,
        Meta(description="Is told that a run begins (`/start`) and how it has ended (itself, or `/fail`)."),
    ] = None
    ping_url_file: Annotated[Path | None, Meta(description="A file with the `ping_url`.")] = None
    history: Annotated[
        int,
        Meta(ge=0, le=MOST_PASSES),
        Meta(description="The passes over a consumer that are remembered in the store; 0: none."),
    ] = 1000
    on_feed_reset: Annotated[
        Literal["refuse", "init"],
        Meta(
            description="What `sync` does when the feed's last offset lies below ours; `init`: it starts "
            "again by itself."
        ),
    ] = "refuse"
    reinit_interval: Annotated[
        float,
        Meta(ge=0, le=31_536_000),
        Meta(description="Seconds between two initialisations that a failed change causes."),
    ] = 86_400.0
    # Made, not given: JSON Schema knows no paths.
    state_dir: Annotated[
        Path,
        Meta(
            description="Where this host keeps locks, downloads and the SQLite file; not set: "
            "`$STATE_DIRECTORY`, else your state folder."
        ),
        Meta(extra_json_schema={"default": ""}),
    ] = msgspec.field(default_factory=Path)

    @property
    def place(self) -> Place:
        """Where the store is."""
        return parse_store_url(self.store.url, "store.url")

    @property
    def followed(self) -> tuple[Consumer, ...]:
        return tuple(consumer.consumer_of_core() for consumer in self.consumers)

    @property
    def command_manager_urls(self) -> tuple[str, ...]:
        """Where the Command Manager may be; none when nobody is to be told."""
        wanted, place = self.command_manager, self.place
        if wanted.enabled is False:
            return ()
        if wanted.url is not None:
            return (wanted.url,)
        return place.urls if isinstance(place, OpenSearchPlace) else ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: as it is set, and as a login is sent (RFC 7617)."""
        logins = [
            (section.username, section.password.reveal())
            for section in (self.store, self.command_manager)
            if section.password is not None
        ]
        token = () if self.cti.token is None else (self.cti.token.reveal(),)
        sent = (base64.b64encode(f"{user}:{password}".encode()).decode() for user, password in logins)
        ping = () if self.ping_url is None else _of_an_address(self.ping_url.reveal())
        return (*token, *ping, *(password for _, password in logins), *sent)


def _of_an_address(url: str) -> tuple[str, ...]:
    """An address that is a secret, and what makes it one: a server knows itself by its path alone."""
    path = urlsplit(url).path.strip("/")
    return (url, path) if len(path) >= _TELLING else (url,)
