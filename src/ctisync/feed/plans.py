"""The plans of the console, asked for once: the public ones, and with the token the environment's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from ctisync.core.catalog import Plan, plans_in
from ctisync.core.json_text import Excess, check, decode
from ctisync.errors import FeedRefused, FeedUnreachable
from ctisync.feed.http.budget import PassLimits, RetryLater, which_server
from ctisync.feed.http.replies import ASK_FOR_JSON, BAD_LOGIN, PROXY_HINT, decoded
from ctisync.feed.http.transport import FeedTransport, Timeouts
from ctisync.feed.http.url_policy import shown
from ctisync.ports import Clock

_EXCHANGE: Final = "/platform/environments/token/exchange"
_LONGEST_REPLY: Final = 1 << 20
_WITHIN: Final = 30.0
"""Seconds for both requests."""
_TIMEOUTS: Final = Timeouts(connect=10.0, read=10.0)


class ConsoleApi:
    """The API with the plans: that of `exchange_url`, or without one that of `base_url`."""

    def __init__(
        self,
        base_url: str,
        exchange_url: str | None,
        token: str | None,
        ca_file: Path | None,
        headers: Mapping[str, str],
        clock: Clock,
    ) -> None:
        """Raises ConfigurationError for an address, token or proxy that cannot be used."""
        self.url = (exchange_url or base_url).rstrip("/").removesuffix(_EXCHANGE)
        self.setting = "cti.url" if exchange_url is None else "cti.token_exchange_url"
        self._token = token
        self._ca_file = ca_file
        self._headers = headers
        self._clock = clock

    def plans(self) -> list[Plan]:
        """All plans, the environment's own first. Raises FeedUnreachable, FeedRefused, AccessRefused."""
        usual = PassLimits(self._clock).limits
        limits = PassLimits(self._clock, msgspec.structs.replace(usual, pass_seconds=_WITHIN))
        transport = FeedTransport(
            self.url,
            self._token,
            self._ca_file,
            _TIMEOUTS,
            limits,
            self._clock,
            headers=self._headers,
            setting=self.setting,
        )
        try:
            public = self._plans(transport, "/catalog/plans", own=False)
            if self._token is None:
                return public
            own = self._plans(transport, "/platform/environments/me", own=True)
            return own + [each for each in public if each.name not in {one.name for one in own}]
        finally:
            transport.close()

    def _plans(self, transport: FeedTransport, path: str, *, own: bool) -> list[Plan]:
        url = self.url + path
        other = f"set cti.token_exchange_url to that of your console, or check {self.setting}"
        hints = {401: BAD_LOGIN, 403: BAD_LOGIN, 404: other, 407: PROXY_HINT}
        try:
            with transport.get(url, headers=ASK_FOR_JSON, hints=hints) as reply:
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
