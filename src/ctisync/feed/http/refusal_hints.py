"""What to do if a server of the feed refuses a request: the hints by status."""

from typing import Final

PROXY_HINT: Final = "the proxy requires a password: add it to HTTPS_PROXY, or add the host to NO_PROXY"

BAD_LOGIN: Final = "set cti.token or cti.token_file (environment CTISYNC_CTI__TOKEN) to a valid token"
NO_SUBSCRIPTION: Final = "this consumer needs a subscription, or cti.token is not allowed to read it"
_OF_WAZUH_5: Final = "a consumer of Wazuh 5 that is not public also needs cti.token_exchange_url"

API_HINTS: Final = {
    401: f"{BAD_LOGIN}; {_OF_WAZUH_5}",
    403: f"{NO_SUBSCRIPTION}; {_OF_WAZUH_5}",
    404: "check cti.url, and the context and consumer in consumers (usually vd_1.0.0 and vd_4.8.0)",
    407: PROXY_HINT,
}

SIGNED_HINTS: Final = {
    **API_HINTS,
    401: BAD_LOGIN,
    403: "the link was signed just now: check that the clock of this host is right; " + NO_SUBSCRIPTION,
}

_NO_SNAPSHOT: Final = (
    "run the same command later, or load another copy: ctisync init-snapshot --from FILE_OR_URL"
)

SNAPSHOT_HINTS: Final = {401: _NO_SNAPSHOT, 403: _NO_SNAPSHOT, 404: _NO_SNAPSHOT, 407: PROXY_HINT}
