"""The real OpenSearch servers that a test needs, and their download."""

from collections.abc import Iterable
from typing import Final

import pytest

from tests.support import secured_node as secured
from tests.support.opensearch_download import OpenSearchUnavailableError, class_path, security_plugin
from tests.support.stores import OPENSEARCH, SECURED

VERSIONS: Final = {"opensearch_2": "2.19.1", "opensearch_3": "3.3.2", "secured_node": secured.VERSION}
"""The fixtures that start a server, each once for all tests, and the version of OpenSearch."""

OWN_SERVER: Final = "own_server"
"""The mark of tests that start servers themselves."""


def servers_of(item: pytest.Item) -> set[str]:
    """The fixtures of servers that the test will use, also those that a fixture of a store asks for only when
    the test runs; and OWN_SERVER."""
    kinds = OPENSEARCH | SECURED
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    own = {OWN_SERVER} if item.get_closest_marker(OWN_SERVER) else set()
    stores = {kinds[kind] for kind in chosen if isinstance(kind, str) and kind in kinds}
    return own | stores | (VERSIONS.keys() & set(getattr(item, "fixturenames", ())))


def fetch(names: Iterable[str]) -> None:
    """Download these servers before the first test runs; ends the run if that fails."""
    try:
        for name in sorted(VERSIONS.keys() & set(names)):
            class_path(VERSIONS[name])
            if name == "secured_node":
                security_plugin(secured.VERSION)
    except OpenSearchUnavailableError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
