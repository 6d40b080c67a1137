"""What the tests of consumers that are not public share."""

import json
from typing import Final

from tests.support import feed_failures as failures
from tests.support.feed_failures import Failure
from tests.support.feed_simulator import FeedSimulator

TOKEN: Final = "s3cret-token"


def replies_of(sim: FeedSimulator) -> list[tuple[str, int]]:
    return [(request.kind, request.status) for request in sim.requests]


def refusing(status: int, code: object, about: object = "no") -> Failure:
    body = json.dumps({"error": code, "error_description": about}).encode()
    return lambda _: failures.Reply(status, body, {"Content-Type": "application/json"})
