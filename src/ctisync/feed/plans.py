"""The plans of the console, asked for once: the public ones, and with the token the environment's own."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from ctisync.core.catalog import Plan, plans_in
from ctisync.core.json_text import Excess, check, decode
from ctisync.core.limits import Limits
from ctisync.errors import FeedRefused, FeedUnreachable
from ctisync.feed.http.budget import PassLimits, RetryLater, which_server
from ctisync.feed.http.replies import ASK_FOR_JSON, BAD_LOGIN, PROXY_HINT, decoded
from ctisync.feed.http.transport import FeedTransport
from ctisync.feed.http.url_policy import shown
from ctisync.ports import Clock

_EXCHANGE: Final = "/platform/environments/token/exchange"
_LONGEST_REPLY: Final = 1 << 20
_WITHIN: Final = 30.0
"""Seconds for both requests."""
_READ: Final = 10.0
"""Seconds to receive the next bytes."""


class ConsoleApi(NamedTuple):
    """The API with the plans: that of `exchange_url`, or without one that of `base_url`."""

    base_url: str
    exchange_url: str | None
    token: str | None
    ca_file: Path | None
    headers: Mapping[str, str]
    clock: Clock

    @property
    def url(self) -> str:
        return (self.exchange_url or self.base_url).rstrip("/").removesuffix(_EXCHANGE)

    @property
    def setting(self) -> str:
        return "cti.url" if self.exchange_url is None else "cti.token_exchange_url"

    def plans(self) -> list[Plan]:
        """All plans, the environment's own first. Raises FeedUnreachable, FeedRefused, AccessRefused, and
        ConfigurationError for a token or proxy that cannot be used."""
        limits = PassLimits(self.clock, Limits(pass_seconds=_WITHIN))
        transport = FeedTransport(
            self.url, self.token, self.ca_file, limits, headers=self.headers, setting=self.setting, read=_READ
        )
        with closing(transport):
            public = self._plans(transport, "/catalog/plans", own=False)
            if self.token is None:
                return public
            own = self._plans(transport, "/platform/environments/me", own=True)
            return own + [each for each in public if each.name not in {one.name for one in own}]

    def _plans(self, transport: FeedTransport, path: str, *, own: bool) -> list[Plan]:
        url = self.url + path
        other = f"set cti.token_exchange_url to that of your console, or check {self.setting}"
        hints = {401: BAD_LOGIN, 403: BAD_LOGIN, 404: other, 407: PROXY_HINT}
        try:
            with transport.open(url, ASK_FOR_JSON, keep_alive=True) as reply:
                if reply.status != 200:
                    transport.refuse(reply, hints, quoting=True)
                encoding = reply.headers.get("content-encoding", "")
                body = b"".join(decoded(reply.chunks, encoding, _LONGEST_REPLY))
            check(body, 20, 20_000)
            return plans_in(decode(body), own=own)
        except RetryLater as failure:
            hint = f"check {self.setting} and the server there, then run the same command again"
            raise FeedUnreachable(failure.reason, hint=hint) from None
        except (ValueError, Excess):
            raise FeedRefused(
                f"the reply of {shown(url)} is not JSON", hint=which_server(self.setting)
            ) from None
