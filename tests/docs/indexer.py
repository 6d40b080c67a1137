"""A Wazuh indexer as the tests have one: a real OpenSearch, behind a server that keeps what it is asked, may
refuse as the security plugin does, and takes commands as the Command Manager does."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from tests.docs.privileges import pattern
from tests.support.http_proxy import Answer, HttpProxy, Intercept, Received, http_proxy
from tests.support.opensearch_node import OpenSearchNode

_COMMANDS: Final = "/_plugins/_command_manager/commands"
_WHO: Final = "/_plugins/_security/authinfo"
_JSON: Final = {"Content-Type": "application/json"}


@contextmanager
def indexer(node: OpenSearchNode, permitted: Callable[[str], bool] = lambda _: True) -> Iterator[HttpProxy]:
    """`permitted` tells of a request, as the table names it, whether the user may."""
    with http_proxy(node.url) as opened:
        opened.intercept = _answers(permitted)
        yield opened


def endpoints(requests: Collection[Received]) -> set[str]:
    """What came, as the table names it."""
    return {pattern(request.method, request.target) for request in requests}


def _answers(permitted: Callable[[str], bool]) -> Intercept:
    def answer(request: Received) -> Answer | None:
        if not permitted(pattern(request.method, request.target)):
            reason = f"no permissions for [{request.method} {request.target}]"
            return _answer(403, {"error": {"type": "security_exception", "reason": reason}, "status": 403})
        if request.target == _WHO:
            return _answer(200, {"user_name": "ctisync", "roles": ["ctisync"]})
        if request.target == _COMMANDS:
            if request.method == "POST":
                return _answer(200, {"_index": "wazuh-commands", "orders": [{"_id": "1"}], "result": "OK"})
            return _answer(405, {"error": "Incorrect HTTP method"})
        return None

    return answer


def _answer(status: int, document: object) -> Answer:
    return Answer(status, json.dumps(document).encode(), _JSON)
