"""The OpenSearch store with the default settings, but for those that a test names."""

import math
from collections.abc import Sequence
from typing import Any

from ctisync.backends import Access, StoreSettings
from ctisync.ports import Clock
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.urls import Secret


def opensearch_at(
    urls: Sequence[str],
    clock: Clock,
    *,
    host_lock: str | None = None,
    wait: float = math.inf,
    password: str | None = None,
    **settings: Any,
) -> OpenSearchStore:
    """`settings`: those of `StoreSettings`; `wait`: as in `Access`."""
    access = Access(host_lock=host_lock, read_only=False, within=math.inf, wait=wait)
    secret = None if password is None else Secret(password)
    return OpenSearchStore(urls, StoreSettings(password=secret, **settings), clock, access)
