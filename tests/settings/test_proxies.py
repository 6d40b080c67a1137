"""The passwords of proxies, which are set for all programs of a host."""

import base64

import pytest

from ctisync.settings.sources import proxy_secrets


def sent(login: str) -> str:
    return base64.b64encode(login.encode()).decode()


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("http://proxy:3128", set()),
        ("", set()),
        ("http://me:canary@proxy:3128", {"canary", sent("me:canary")}),
        ("http://me:c%40nary@proxy:3128", {"c%40nary", "c@nary", sent("me:c@nary")}),
        ("http://m%65:can%C3%A4ry@proxy", {"can%C3%A4ry", "canäry", sent("me:canäry")}),
        ("http://canary@proxy:3128", {"canary", sent("canary:")}),
        ("HTTP://me:can@ary://b@proxy:3128", {"can@ary://b", sent("me:can@ary://b")}),
        ("me:canary@proxy:3128", {"canary", sent("me:canary")}),
        ("http://me:can#ary@proxy", {"can#ary", sent("me:can#ary")}),
        ("http://me:can\udcffary@proxy", {"can\udcffary", base64.b64encode(b"me:can\xffary").decode()}),
    ],
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_secrets_in_a_proxys_variable_are_masked(name: str, value: str, secrets: set[str]) -> None:
    assert set(proxy_secrets({name: value})) == secrets


def test_other_variables_are_left_alone() -> None:
    assert list(proxy_secrets({"MAIL": "me:canary@host", "PROXY_HINT": "http://me:canary@host"})) == []
