"""TLS and passwords by whole passes of the real command: who gets in, and what a refusal says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.real.followed import Followed
from tests.support.feed_history import churn
from tests.support.http_proxy import HttpProxy, tls_proxy
from tests.support.opensearch_node import OpenSearchNode

USER, PASSWORD = "wazuh-admin", "pässwörd:canary"


@pytest.fixture
def proxy(opensearch_2: OpenSearchNode, followed: Followed, tmp_path: Path) -> Iterator[HttpProxy]:
    opensearch_2.wipe()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "password").write_text(PASSWORD + "\n")
    with tls_proxy(
        opensearch_2.url, authority.issue_cert("localhost"), credentials=f"{USER}:{PASSWORD}"
    ) as proxy:
        followed.ctisync.environ |= {
            "CTISYNC_STORE__URL": f"https://localhost:{proxy.port}",
            "CTISYNC_STORE__CA_FILE": str(tmp_path / "ca.pem"),
            "CTISYNC_STORE__USERNAME": USER,
            "CTISYNC_STORE__PASSWORD_FILE": str(tmp_path / "password"),
        }
        yield proxy


def test_with_the_right_ones_every_pass_gets_in(followed: Followed, proxy: HttpProxy) -> None:
    followed.assert_in_step()
    churn(followed.feed.history, 100)
    followed.assert_in_step()
    assert all("authorization" in request.headers for request in proxy.received)


@pytest.mark.parametrize(
    ("setting", "content", "message"),
    [
        ("CTISYNC_STORE__PASSWORD_FILE", "another-canary", "check store.username and store.password_file"),
        ("CTISYNC_STORE__CA_FILE", None, "store.ca_file"),
    ],
)
def test_a_wrong_password_or_authority_is_3_and_says_which_setting_to_look_at(
    followed: Followed, proxy: HttpProxy, tmp_path: Path, setting: str, content: str | None, message: str
) -> None:
    followed.assert_in_step()
    last = followed.feed.history.last_offset
    churn(followed.feed.history, 100)
    wrong = tmp_path / "wrong"
    if content is None:
        trustme.CA().cert_pem.write_to_path(str(wrong))
    else:
        wrong.write_text(content)

    refused = followed.run("sync", "-v", **{setting: str(wrong)})

    assert refused.returncode == 3
    assert message in refused.stderr
    assert "canary" not in refused.stderr
    assert followed.offset == last
    followed.assert_in_step()
