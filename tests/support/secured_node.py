"""An OpenSearch with its security plugin, within a `with` block: TLS, users, roles, client certificates.

It is set up like a Wazuh indexer, with three differences: no user has a right at first (by default, the
plugin allows each user everything on the index with the user's name), client certificates are accepted, and
the hash of a password, which each test needs several times, takes a 256th of the work.
"""

from __future__ import annotations

import json
import secrets
import shutil
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import httpx

from tests.support import opensearch_process as process
from tests.support.authority import Authority, KeyPair, distinguished_name
from tests.support.opensearch_download import class_path, security_plugin
from tests.support.opensearch_node import CLUSTER_SETTINGS, OpenSearchNode, answers

VERSION: Final = "2.19.1"

_EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "opensearch"
_SECURITY: Final = "/_plugins/_security/api"
_SETTINGS: Final = """\
discovery.type: single-node
network.host: 127.0.0.1
plugins.security.ssl.transport.pemcert_filepath: certs/node.pem
plugins.security.ssl.transport.pemkey_filepath: certs/node-key.pem
plugins.security.ssl.transport.pemtrustedcas_filepath: certs/ca.pem
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.http.enabled: true
plugins.security.ssl.http.clientauth_mode: OPTIONAL
plugins.security.ssl.http.pemcert_filepath: certs/node.pem
plugins.security.ssl.http.pemkey_filepath: certs/node-key.pem
plugins.security.ssl.http.pemtrustedcas_filepath: certs/ca.pem
plugins.security.authcz.admin_dn: ["{admin}"]
plugins.security.nodes_dn: ["{node}"]
plugins.security.system_indices.enabled: true
plugins.security.check_snapshot_restore_write_privileges: true
plugins.security.enable_snapshot_restore_privilege: true
plugins.security.allow_default_init_securityindex: true
plugins.security.password.hashing.bcrypt.rounds: 4
"""

# The plugin's own files stay for all else; these have demo users and the rights that everybody has.
_CONFIGURED: Final = {
    "internal_users.yml": "_meta: {type: internalusers, config_version: 2}\n",
    "roles_mapping.yml": "_meta: {type: rolesmapping, config_version: 2}\n",
    "config.yml": """\
_meta: {type: config, config_version: 2}
config:
  dynamic:
    http: {anonymous_auth_enabled: false, xff: {enabled: false}}
    authc:
      clientcert:
        http_enabled: true
        order: 1
        http_authenticator: {type: clientcert, challenge: false, config: {username_attribute: cn}}
        authentication_backend: {type: noop}
      basic_internal:
        http_enabled: true
        order: 4
        http_authenticator: {type: basic, challenge: true}
        authentication_backend: {type: intern}
    authz: {}
""",
}


@dataclass(frozen=True, slots=True)
class SecuredNode(OpenSearchNode):
    """`client` and `request` use the certificate of the administrator, who may do everything.

    `authority` signs more certificates; the common name is the name of the user.
    """

    authority: Authority
    admin: KeyPair

    # What the plugin keeps users and roles in.
    wiped: ClassVar[str] = "*,-.opendistro_security"

    def put_role(self, name: str, role: Mapping[str, Any] | None = None) -> None:
        """Create or replace a role (default: the example of that name); it takes effect at once."""
        self.request("PUT", f"{_SECURITY}/roles/{name}", role or example_role(name))

    def user(self, name: str, *roles: str) -> dict[str, str]:
        """Create or replace a user with exactly these roles; returns the settings to log in as that user."""
        password = secrets.token_urlsafe(24)
        body = {"password": password, "opendistro_security_roles": roles}
        self.request("PUT", f"{_SECURITY}/internalusers/{name}", body)
        file = self.authority.folder / f"{name}.password"
        file.touch(0o600)
        file.write_text(password)
        return self._settings(username=name, password_file=file)

    def holder(self, name: str, role: str) -> dict[str, str]:
        """Give a role to the user of a certificate with that name; returns the settings to log in as that
        user."""
        self.request("PUT", f"{_SECURITY}/rolesmapping/{role}", {"users": [name]})
        shown = self.authority.issue(name)
        return self._settings(client_cert=shown.certificate, client_key=shown.key)

    def delete_user(self, name: str) -> None:
        self.request("DELETE", f"{_SECURITY}/internalusers/{name}")

    def _settings(self, **access: object) -> dict[str, str]:
        """The settings as environment variables of ctisync."""
        settings = {"url": self.url, "ca_file": self.authority.file, **access}
        return {f"CTISYNC_STORE__{name.upper()}": str(value) for name, value in settings.items()}


def example_role(name: str) -> Any:
    """A role from the examples of ctisync."""
    return json.loads((_EXAMPLES / f"{name}.json").read_text())


@contextmanager
def start_secured_node(settings: str = "") -> Iterator[SecuredNode]:
    """Start an OpenSearch with the security plugin; after the block, stop it and remove its data.

    `settings`: more lines for `opensearch.yml`. Raises OpenSearchUnavailableError as `start_node` does.
    """
    plugin = security_plugin(VERSION)
    jars = [*class_path(VERSION), *sorted(plugin.glob("*.jar"))]
    with ExitStack() as ends:
        folder = process.new_folder()
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        authority = Authority(folder / "certs")
        admin = authority.issue("admin")
        _configure(folder / "node_1" / "config", plugin, authority, settings)
        cluster = f"ctisync-{uuid.uuid4().hex[:12]}"
        [port] = ends.enter_context(process.reserved_ports(1))
        command = process.command(
            VERSION, jars, folder, cluster, [port],
            "-pluginTypes", "org.opensearch.security.OpenSearchSecurityPlugin",
        )  # fmt: skip
        ends.callback(process.stop, process.launch(command, folder))
        url = f"https://127.0.0.1:{port}"
        client = ends.enter_context(
            httpx.Client(base_url=url, verify=_as(authority, admin), trust_env=False, timeout=60)
        )
        node = SecuredNode(url, VERSION, (url,), client, authority, admin)
        process.await_start(lambda: _is_up(node, cluster), f"OpenSearch {VERSION} at {url}", folder)
        node.request("PUT", "/_cluster/settings", {"persistent": CLUSTER_SETTINGS})
        yield node


def _configure(folder: Path, plugin: Path, authority: Authority, settings: str) -> None:
    """Write the configuration of the node, its certificates, and the first users and roles of the plugin."""
    node = authority.issue("node-1")
    shutil.copytree(plugin / "config", folder / "opensearch-security")
    for name, text in _CONFIGURED.items():
        (folder / "opensearch-security" / name).write_text(text)
    shown = folder / "certs"
    shown.mkdir()
    shutil.copy(authority.file, shown / "ca.pem")
    shutil.copy(node.certificate, shown / "node.pem")
    shutil.copy(node.key, shown / "node-key.pem")
    names = {"admin": distinguished_name("admin"), "node": distinguished_name("node-1")}
    (folder / "opensearch.yml").write_text(_SETTINGS.format(**names) + settings)


def _as(authority: Authority, who: KeyPair) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(who.certificate, who.key)
    return context


def _is_up(node: SecuredNode, cluster: str) -> bool:
    """Whether the plugin has created its index, without which it refuses every user."""
    try:
        health = node.request("GET", "/_plugins/_security/health?mode=strict")
    except (httpx.HTTPError, ValueError):
        return False
    return health["status"] == "UP" and answers(node, cluster)
