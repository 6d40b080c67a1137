"""The address of a consumer in the CTI API."""

import re
from typing import Final, NamedTuple

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""A pattern for the names of contexts and consumers."""

_ADDRESS: Final = re.compile(
    rf"(https?://[\w.:/%~\[\]@-]+)/catalog/contexts/({NAME})/consumers/({NAME})/?", re.ASCII
)


class Address(NamedTuple):
    """`base`: the base URL of the API, as in `cti.url`."""

    base: str
    context: str
    consumer: str


def parse_consumer_url(url: object) -> Address | None:
    """The parts of a consumer's whole address; None for anything else, also for an address with a query."""
    match = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
    return match and Address(*match.groups())
