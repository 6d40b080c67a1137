"""What to do if a server of the feed refuses a request: the hints by status."""

from typing import Final

from ctisync.core.model import Consumer

PROXY_HINT: Final = "the proxy requires a password: add it to HTTPS_PROXY, or add the host to NO_PROXY"

BAD_LOGIN: Final = "set cti.token or cti.token_file (environment CTISYNC_CTI__TOKEN) to a valid token"
NO_SUBSCRIPTION: Final = "this consumer needs a subscription, or cti.token is not allowed to read it"
_OF_WAZUH_5: Final = "a consumer of Wazuh 5 that is not public also needs cti.token_exchange_url"

_DEFAULT: Final = Consumer()


def api_hints(consumer: Consumer) -> dict[int, str]:
    """For a request of the API about this consumer."""
    usual = f" (usually {_DEFAULT})" if consumer.context == _DEFAULT.context else ""
    return {
        401: f"{BAD_LOGIN}; {_OF_WAZUH_5}",
        403: f"{NO_SUBSCRIPTION}; {_OF_WAZUH_5}",
        404: f"check cti.url, and context and consumer in consumers: the feed has no {consumer}{usual}",
        407: PROXY_HINT,
    }


def signed_hints(consumer: Consumer) -> dict[int, str]:
    """The same for a signed link."""
    just_now = f"the link was signed just now: check that the clock of this host is right; {NO_SUBSCRIPTION}"
    return {**api_hints(consumer), 401: BAD_LOGIN, 403: just_now}


_NO_SNAPSHOT: Final = (
    "run the same command later, or load another copy: ctisync init-snapshot --from FILE_OR_URL"
)

SNAPSHOT_HINTS: Final = {401: _NO_SNAPSHOT, 403: _NO_SNAPSHOT, 404: _NO_SNAPSHOT, 407: PROXY_HINT}
