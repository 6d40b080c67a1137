"""docs/wazuh-indexer.md, word for word, on a node with the security plugin: what a person types there leads
to a user that may do a pass, and to a content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.docs import page
from tests.docs.privileges import PAGE
from tests.docs.reader import Reader
from tests.support.feed_simulator import FeedSimulator
from tests.support.secured_node import SecuredNode

TYPED = {block.names[0]: block.text for kind in ("sh", "json", "toml") for block in page.blocks(PAGE, kind)}


def test_the_page_leads_from_an_indexer_without_us_to_a_content(
    tmp_path: Path, node: SecuredNode, feed: FeedSimulator
) -> None:
    node.request("DELETE", "/_plugins/_security/api/roles/ctisync")
    person = Reader(tmp_path, feed)
    person.names["https://indexer.example:9200"] = node.url
    person.environ |= {"CURL_CERTIFICATE": str(node.admin.certificate), "CURL_KEY": str(node.admin.key)}
    shutil.copy(node.authority.file, person.place("/etc/ctisync/root-ca.pem"))

    person.types(TYPED["roles"])
    person.types(TYPED["administrator"])
    user = next(block for block in page.blocks(PAGE, "json") if "user" in block.names).text
    (person.home / "user.json").write_text(user)
    person.types(next(block.text for block in page.blocks(PAGE, "sh") if "user" in block.names))
    password = person.place("/etc/ctisync/password")
    password.touch(0o600)
    password.write_text(json.loads(user)["password"])

    settings = TYPED["settings"].replace("/etc/ctisync", str(person.place("/etc/ctisync")))
    settings = settings.replace("https://indexer.example:9200", node.url)
    settings = settings.replace("replicas = 1", "replicas = 0")  # "0 on a single node"
    file = person.home / ".config" / "ctisync" / "config.toml"
    file.parent.mkdir(parents=True)

    file.write_text(settings)
    checked = person.type("ctisync doctor").text
    assert "command_manager.enabled = false" in checked, "doctor says what the page says"

    file.write_text(f"{settings}\n{TYPED['without-command-manager']}")
    for command in page.commands(TYPED["first"]):
        printed = person.type(command)
        assert printed.code == (1 if command == "ctisync doctor" else 0), printed.text
    assert "all requests of a pass are permitted" in person.type("ctisync doctor").text
    assert node.request("GET", "/wazuh-cve/_count")["count"] == len(feed.expected_lines())
