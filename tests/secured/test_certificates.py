"""A certificate that ends soon is told while there is time; whom the node does not let in is told why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from tests.cli.conftest import Ctisync
from tests.support.authority import Authority, KeyPair
from tests.support.secured_node import SecuredNode


def shown(command: Ctisync, pair: KeyPair) -> dict[str, str]:
    """The command's settings, with that certificate in place of the password."""
    kept = {name: value for name, value in command.environ.items() if "STORE" not in name or "URL" in name}
    kept["CTISYNC_STORE__CA_FILE"] = command.environ["CTISYNC_STORE__CA_FILE"]
    return kept | {
        "CTISYNC_STORE__CLIENT_CERT": str(pair.certificate),
        "CTISYNC_STORE__CLIENT_KEY": str(pair.key),
    }


def test_a_certificate_that_ends_within_a_month_is_a_warning_before_passes_fail(
    ctisync: Ctisync, node: SecuredNode
) -> None:
    ctisync.run("sync", "-q")
    assert ctisync.run("status", "--check").returncode == 0
    node.holder("late", "ctisync")
    ends = datetime.now(UTC) + timedelta(days=20, hours=5)
    pair = node.authority.issue("late", ends=ends)
    ctisync.environ = shown(ctisync, pair)

    checked = ctisync.run("status", "--check")
    assert (checked.returncode, checked.stdout[:17]) == (1, "CTISYNC WARNING -")
    message = f"the client certificate {pair.certificate} expires on {ends:%Y-%m-%d}, in 20 days"
    assert message in checked.stdout
    checks = json.loads(ctisync.run("doctor", "--json").stdout)["checks"]
    healths = {each["said"]: each["health"] for each in checks if each["check"] == "store-certificate"}
    assert healths[message] == "warning"
    assert sorted(healths.values()) == ["ok", "warning"], "the node's own is valid for longer"
    assert ctisync.run("status").stderr == ""


def test_a_client_certificate_of_another_authority_is_named(ctisync: Ctisync, node: SecuredNode) -> None:
    stranger = Authority(ctisync.home / "stranger").issue("ctisync")
    ctisync.environ = shown(ctisync, stranger)
    ended = ctisync.run("sync", "-q")
    assert ended.returncode == 3
    assert f"refuses the client certificate {stranger.certificate}" in ended.stderr
    assert f"openssl x509 -noout -issuer -dates -in {stranger.certificate}" in ended.stderr


def test_a_certificate_whose_name_has_no_role_may_nothing_and_the_role_is_named(
    ctisync: Ctisync, node: SecuredNode
) -> None:
    ctisync.environ = shown(ctisync, node.authority.issue("unknown-to-roles"))
    ended = ctisync.run("sync", "-q")
    assert ended.returncode == 3
    assert "name=unknown-to-roles" in ended.stderr
    assert "ctisync examples opensearch --output roles" in ended.stderr


def test_plain_http_to_the_node_says_https(ctisync: Ctisync, node: SecuredNode) -> None:
    ctisync.environ["CTISYNC_STORE__URL"] = node.url.replace("https:", "http:")
    ended = ctisync.run("sync", "-q")
    assert ended.returncode == 3
    assert "uses TLS, but store.url begins with http://" in ended.stderr
    assert f"set store.url to {node.url}" in ended.stderr
