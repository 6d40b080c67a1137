"""Every setting with its type, default and meaning.

`ctisync config init`, `ctisync config schema` and docs/settings.md show the descriptions.
"""

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from ctisync.backends import Backend, StoreSettings, parse_store_url
from ctisync.core.limits import Limits
from ctisync.core.model import Consumer
from ctisync.core.trust import Trust
from ctisync.urls import Secret

if TYPE_CHECKING:
    from ctisync.core.manifest import Keep

MOST_PASSES: Final = 10_000
"""Maximum length of a history: what OpenSearch returns in one search (`index.max_result_window`)."""

Seconds = Annotated[float, Meta(gt=0, le=86_400)]

LongSeconds = Annotated[float, Meta(ge=0, le=31_536_000)]
"""Up to a year."""


class CtiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The feed.

    url: Base URL of the CTI API; or a mirror: `file:///DIR`, or `mirror+https://HOST/PATH` on a web server.
    token: Bearer token; ctisync sends it only to the host of `cti.url`, or, if it is set, of
        `cti.token_exchange_url`.
    token_file: File that contains the token.
    token_exchange_url: URL at which ctisync exchanges the token for signed links, if a consumer is not
        public; not set: ctisync sends the token with each request.
    headers: Table of further headers, each a text or `{ file = PATH }`; ctisync sends them only to the hosts
        of `cti.url` and `cti.token_exchange_url`, and shows no value.
    ca_file: For the feed: PEM file with the certificate authorities to trust; not set: those of the system.
    retry_budget: Retry budget: seconds that a pass spends in total on failed requests and on waiting to retry
        them.
    cooldown: Cool-down: seconds without a request once the retry budget is spent, if a server was reached and
        has not sent `Retry-After`; 0: no cool-down, even if the feed asks for one.
    allowed_hosts: Other hosts that the link to a snapshot may point to: `host` or `*.domain`, with or without
        `:port`.
    load_while_downloading: Load records while the snapshot is still being downloaded; false: download all of
        it first.
    trusted_keys: Public keys of minisign, each beginning with `RW`; one of them must have signed a mirror.
        Empty: ctisync checks no signature.
    max_manifest_age: Seconds after which ctisync refuses the manifest of a mirror; not set: never.
    """

    url: str = "https://cti.wazuh.com/api/v1"
    token: Secret | None = None
    token_file: Path | None = None
    token_exchange_url: str | None = None
    headers: dict[str, Secret] = {}
    ca_file: Path | None = None
    retry_budget: Seconds = 300.0
    cooldown: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    allowed_hosts: tuple[str, ...] = ()
    load_while_downloading: bool = True
    trusted_keys: tuple[str, ...] = ()
    max_manifest_age: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None

    @property
    def trust(self) -> Trust:
        """Whom the reader of a mirror trusts."""
        age = self.max_manifest_age
        return Trust(self.trusted_keys, None if age is None else timedelta(seconds=age))


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer to follow, and the name under which readers find its content.

    context: Context in the CTI API.
    consumer: Consumer within that context.
    index: Name under which readers find the content.
    resources: Shell-style patterns; ctisync keeps the records whose name matches one of them.
    consumer_url: Whole URL of the consumer, below `cti.url`, instead of `context` and `consumer`: as `ctisync
        plans` prints it.
    """

    context: str = "vd_1.0.0"
    consumer: str = "vd_4.8.0"
    index: str = "wazuh-cve"
    resources: tuple[str, ...] = ("*",)
    consumer_url: str | None = None


class CommandManagerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Command Manager, which gets a command after new content.

    enabled: Send the update command; not set: yes if the store is OpenSearch or `url` is set.
    url: URL of the Command Manager; not set: that of the store.
    version: Version that the command names.
    target_id: Target that the command names.
    timeout: Seconds for sending a command, in total.
    username: User name for Basic authentication; not set: that of the store, if both have the same origin.
    password: Password for that user name.
    password_file: File that contains the password.
    ca_file: PEM file with the certificate authorities to trust; not set: that of the store, if both have the
        same origin.
    client_cert: PEM file with the client certificate; not set: that of the store, if both have the same
        origin.
    client_key: PEM file with its private key; not set: the key is in the certificate file.
    """

    enabled: bool | None = None
    url: str | None = None
    version: str = "5.0.0"
    target_id: str = "vulnerability-detector"
    timeout: Seconds = 30.0
    username: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


class HookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands that ctisync runs after a pass: a program and its arguments, without a shell.

    on_update: Command to run after the content for readers has changed.
    on_error: Command to run if the exit code is not 0, once per incident and exit code.
    on_stale: Command to run if the content has been out of step for longer than `stale_after`, once per
        incident.
    on_recovered: Command to run once an incident is over that `on_error` or `on_stale` reported.
    on_match: Command to run for each watch that records match, once per pass; it reads the records as JSON
        from standard input.
    again_after: Seconds after which `on_error`, `on_stale` and the ping `/fail` report the same incident
        again; 0: after each pass.
    stale_after: Seconds after which the content is stale, counted from when it was last known to be in step.
    timeout: Seconds for each hook; ctisync then stops it.
    """

    on_update: tuple[str, ...] = ()
    on_error: tuple[str, ...] = ()
    on_stale: tuple[str, ...] = ()
    on_recovered: tuple[str, ...] = ()
    on_match: tuple[str, ...] = ()
    again_after: LongSeconds = 86_400.0
    stale_after: Annotated[float, Meta(gt=0, le=31_536_000)] = 86_400.0
    timeout: Seconds = 60.0


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The index of `ctisync search` and `ctisync match`.

    eager: Bring the index up to date at the end of each pass that changed the content; false: the next search
        does it.
    """

    eager: bool = False


class MirrorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `ctisync mirror` keeps in its folder.

    snapshot_age: Seconds after which the newest snapshot of the folder is replaced by a newer one of the
        feed; 0: by each newer one.
    keep_snapshots: Number of snapshots that stay in the folder.
    keep_changes: Seconds for which changes stay, by their time in the feed; those after the oldest kept
        snapshot always do.
    """

    snapshot_age: LongSeconds = 604_800.0
    keep_snapshots: Annotated[int, Meta(ge=1, le=100)] = 2
    keep_changes: LongSeconds = 7_776_000.0

    @property
    def keep(self) -> "Keep":
        """The same for the rules."""
        from ctisync.core.manifest import Keep

        age, changes = timedelta(seconds=self.snapshot_age), timedelta(seconds=self.keep_changes)
        return Keep(age, self.keep_snapshots, changes)


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A watch: after each pass, ctisync reports the records that are new or changed and match it, to the log
    and to `hooks.on_match`. Set `name` and one or more conditions; a record must meet all of them. Of a list,
    one entry is enough.

    name: Name of the watch; another name is another watch, which begins anew.
    words: Words that a record has, all of them: `"two words"` in quotes for a phrase, `log4j*` for a begin.
    vendor: Vendors.
    product: Products or packages.
    version: Version of a product that is affected; needs `product`.
    source: Source of the product: `debian`, `redhat_9`, `nvd` (the default with `version`).
    os: Platform of the product, `NAME:VERSION`, and so its own source: `debian:12`, `rhel:9`.
    cwe: Numbers of weaknesses: `79`.
    severity: Severities: `none`, `low`, `medium`, `high`, `critical`.
    min_severity: Lowest severity.
    min_score: Lowest CVSS score, 0 to 10.
    exploit: Only records with a reference to an exploit.
    published_since: Date, or a duration before each pass: only records that were published from then on.
    state: `published` or `rejected`.
    """

    name: str = ""
    words: str = ""
    vendor: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    version: str | None = None
    source: str | None = None
    os: str | None = None
    cwe: tuple[int, ...] = ()
    severity: tuple[str, ...] = ()
    min_severity: str | None = None
    min_score: float | None = None
    exploit: bool = False
    published_since: str | None = None
    state: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of ctisync.

    consumers: Consumers to follow.
    watch: Watches: records to report after a pass.
    ping_url: Monitoring URL to ping: `/start` when a run starts, the URL itself on success, `/fail` on
        failure.
    ping_url_file: File that contains the `ping_url`.
    history: Number of passes per consumer that the store keeps in its history; 0: no history.
    on_feed_reset: What `sync` does if the feed's last offset is lower than the stored one; `refuse`: stop;
        `init`: load the snapshot again.
    reinit_interval: Minimum seconds between two initialisations after a change that cannot be applied. A
        snapshot that contains the change is loaded at once.
    state_dir: Folder of this host for locks, downloads and the SQLite file; not set: `$STATE_DIRECTORY`, or
        else your state folder.
    """

    # As `load` returns them, `*_file` secrets are read and the folders are filled in.

    cti: CtiSettings = CtiSettings()
    consumers: tuple[ConsumerSettings, ...] = (ConsumerSettings(),)
    store: StoreSettings = StoreSettings()
    command_manager: CommandManagerSettings = CommandManagerSettings()
    limits: Limits = Limits()
    hooks: HookSettings = HookSettings()
    search: SearchSettings = SearchSettings()
    mirror: MirrorSettings = MirrorSettings()
    watch: tuple[WatchSettings, ...] = ()
    ping_url: Secret | None = None
    ping_url_file: Path | None = None
    history: Annotated[int, Meta(ge=0, le=MOST_PASSES)] = 1000
    on_feed_reset: Literal["refuse", "init"] = "refuse"
    reinit_interval: LongSeconds = 86_400.0
    # A factory and an extra schema: a Path is no default in JSON Schema.
    state_dir: Annotated[Path, Meta(extra_json_schema={"default": ""})] = msgspec.field(default_factory=Path)

    @property
    def backend(self) -> Backend:
        """The kind of store, and where it is. Raises ConfigurationError for an invalid `store.url`."""
        return parse_store_url(self.store.url, "store.url")

    @property
    def spool_folder(self) -> Path:
        """The folder of locks and downloads: that of a store on this host, or else the state folder."""
        local = self.backend.local
        return self.state_dir if local is None else local.path.parent

    @property
    def followed(self) -> tuple[Consumer, ...]:
        """The configured consumers, in the order of the settings."""
        return tuple(Consumer(one.context, one.consumer, one.index, one.resources) for one in self.consumers)

    @property
    def command_manager_urls(self) -> tuple[str, ...]:
        """The URLs of the Command Manager, to be tried in turn; empty if ctisync sends no update commands."""
        manager = self.command_manager
        if manager.enabled is False:
            return ()
        return self.backend.urls if manager.url is None else (manager.url,)

    @property
    def secrets(self) -> tuple[str, ...]:
        """All texts that ctisync must never show: secrets as they are set, and logins as they are sent
        (RFC 7617). Of `ping_url`, what lets in whoever has it."""
        logins = [
            (section.username, section.password.reveal())
            for section in (self.store, self.command_manager)
            if section.password is not None
        ]
        token = () if self.cti.token is None else (self.cti.token.reveal(),)
        headers = (header.reveal() for header in self.cti.headers.values())
        sent = (base64.b64encode(f"{user}:{password}".encode()).decode() for user, password in logins)
        ping = () if self.ping_url is None else _keys(self.ping_url.reveal())
        return (*token, *headers, *ping, *(password for _, password in logins), *sent)

    @property
    def public(self) -> tuple[str, ...]:
        """Texts to show even if a secret is a part of them: the values of all other settings, and the hosts
        of their URLs. A word of a hook that contains a whole secret is none."""
        unsafe = [secret for secret in self.secrets if secret]
        words = [word for word in _texts(self.hooks) if not any(secret in word for secret in unsafe)]
        values = [*words, *_texts(msgspec.structs.replace(self, hooks=HookSettings()))]
        hosts = [host for value in values for host in _HOSTS.findall(value)]
        return (*values, *hosts, *(host.partition(":")[0] for host in hosts))


class SetValue(msgspec.Struct, frozen=True):
    """The value of a setting, and its source: `config.toml: cti.url` or `CTISYNC_CTI__URL`.

    `file`: the file that contains the value itself, if one does.
    """

    value: Any
    origin: str
    file: Path | None = None


class LoadedSettings(msgspec.Struct, frozen=True):
    """The settings, and where their values come from.

    `sources`: what was set, by dotted name; a secret that a `*_file` setting names is there under its own
    name, too. `files`: the settings files that ctisync looked for.
    """

    settings: Settings
    sources: dict[str, SetValue]
    files: tuple[Path, ...]


_HOSTS: Final = re.compile(r"(?:https?://|,)([\w.-]+(?::\d+)?)")


def _texts(value: Any) -> Iterator[str]:
    """All texts and paths in a value, except secrets."""
    match value:
        case str() | Path():
            yield str(value)
        case tuple():
            for each in value:
                yield from _texts(each)
        case msgspec.Struct():
            yield from _texts(msgspec.structs.astuple(value))


_NAME: Final = re.compile("[a-z_-]{1,12}|.{1,7}")
"""A part of an address that is more likely a name, such as `services` or `v2`, than a key."""


def _keys(url: str) -> tuple[str, ...]:
    """The parts of an address that let in whoever has it: a login, and the parts of path and query that are
    long and no plain words; if there is none, path and query as a whole. Never the scheme or the host."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    rest = parts._replace(scheme="", netloc="").geturl().strip("/")
    keys = [part for part in re.split("[/?#&=]", rest) if not _NAME.fullmatch(part)]
    return (login.partition(":")[2] or login, *(keys or [rest]))
