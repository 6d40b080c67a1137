"""`backends.Backend` for OpenSearch."""

from typing import Final

import msgspec

from ctisync.backends import Access, StoreSettings
from ctisync.errors import ConfigurationError
from ctisync.ports import Clock, Store
from ctisync.urls import origin_of, redacted, refuse_credentials, split

DEFAULT_PORT: Final = 9200

_TIMEOUT: Final = 60.0
"""Seconds for a request."""


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

    @property
    def kind(self) -> str:
        return "OpenSearch"

    @property
    def local(self) -> None:
        return None

    def open(self, options: StoreSettings, clock: Clock, access: Access) -> Store:
        from ctisync.stores.opensearch.bulk import Pace
        from ctisync.stores.opensearch.generations import Layout
        from ctisync.stores.opensearch.store import OpenSearchStore

        return OpenSearchStore(
            self.urls,
            clock,
            host_lock=access.host_lock,
            username=options.username,
            password=None if options.password is None else options.password.reveal(),
            ca_file=options.ca_file,
            client_cert=options.client_cert,
            client_key=options.client_key,
            layout=Layout(options.shards, options.replicas, options.codec),
            pace=Pace(options.senders, options.bulk_bytes),
            timeout=min(_TIMEOUT, access.wait),
            within=access.within,
        )
