"""`backends.Backend` for OpenSearch."""

from typing import ClassVar, Final

import msgspec

from ctisync.backends import Access, StoreSettings
from ctisync.errors import ConfigurationError
from ctisync.ports import Clock, Store
from ctisync.urls import origin_of, redacted, refuse_credentials, split

DEFAULT_PORT: Final = 9200


def parse(url: str, where: str) -> "OpenSearchBackend":
    """See `backends.parse_store_url`. The default port is 9200, for http and https."""
    refuse_credentials(url, where, "store.username and store.password_file")
    scheme, _, hosts = url.partition("://")
    return OpenSearchBackend(tuple(_origin(scheme, host, where) for host in hosts.split(",")))


def _origin(scheme: str, host: str, where: str) -> str:
    url = f"{scheme}://{host}"
    parts = split(url, where)
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{where}: {redacted(host)} is not a host with a port",
            hint=f"write {scheme}://host:9200[,host2:9200]",
        )
    return origin_of(url, DEFAULT_PORT)


class OpenSearchBackend(msgspec.Struct, frozen=True):
    urls: tuple[str, ...]

    kind: ClassVar[str] = "OpenSearch"
    local: ClassVar[None] = None

    def open(self, options: StoreSettings, clock: Clock, access: Access) -> Store:
        from ctisync.stores.opensearch.store import OpenSearchStore

        return OpenSearchStore(self.urls, options, clock, access)
