"""The address of a consumer: what it names, and what is no such address."""

import pytest

from ctisync.core.links import Address, parse_consumer_url

BASE = "https://cti.example/api/v1"


@pytest.mark.parametrize("base", [BASE, "http://127.0.0.1:8080", "https://[::1]/catalog/contexts/a"])
@pytest.mark.parametrize("end", ["", "/"])
def test_an_address_names_base_context_and_consumer(base: str, end: str) -> None:
    url = f"{base}/catalog/contexts/vd_1.0.0/consumers/public-iocs-5{end}"
    assert parse_consumer_url(url) == Address(base, "vd_1.0.0", "public-iocs-5")


@pytest.mark.parametrize(
    "url",
    [
        None,
        5,
        "",
        BASE,
        "cti.example/catalog/contexts/a/consumers/b",
        "ftp://cti.example/catalog/contexts/a/consumers/b",
        "https:///catalog/contexts/a",
        f"{BASE}/catalog/contexts/a",
        f"{BASE}/catalog/contexts/a/consumers/",
        f"{BASE}/catalog/contexts//consumers/b",
        f"{BASE}/catalog/contexts/../consumers/b",
        f"{BASE}/catalog/contexts/a%2Fb/consumers/c",
        f"{BASE}/catalog/contexts/a/consumers/b/changes",
        f"{BASE}/catalog/contexts/a/consumers/b?verify=1",
        f"{BASE}/catalog/contexts/a/consumers/b#c",
        f"{BASE}/?/catalog/contexts/a/consumers/b",
        f"{BASE}/catalog/contexts/a/consumers/b\n",
        f"{BASE} /catalog/contexts/a/consumers/b",
        f"{BASE}$(x)/catalog/contexts/a/consumers/b",
        f'{BASE}"/catalog/contexts/a/consumers/b',
    ],
)
def test_another_address_names_none(url: object) -> None:
    assert parse_consumer_url(url) is None
