"""What is public stays readable beside any secret, and what is secret of an address is its keys alone."""

from pathlib import Path
from typing import Final

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ctisync.backends import StoreSettings
from ctisync.console.masking import Mask
from ctisync.settings import Settings, load_settings
from ctisync.settings.model import (
    CommandManagerSettings,
    ConsumerSettings,
    CtiSettings,
    HookSettings,
)
from ctisync.urls import Secret
from tests.cli.conftest import Ctisync

PARTS: Final = (
    *("https://", "http://", "indexer.example", ":9200", "/api/v1", "/ping/", "0f2c7a-key"),
    *("wazuh", "cti.", "-cve", "admin", "ctisync", "com"),
)

texts = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join)
secrets = st.one_of(st.none(), texts.map(Secret))
made = st.builds(
    Settings,
    cti=st.builds(CtiSettings, url=texts, token=secrets, allowed_hosts=st.tuples(texts)),
    consumers=st.tuples(st.builds(ConsumerSettings, context=texts, consumer=texts, index=texts)),
    store=st.builds(
        StoreSettings,
        url=texts,
        username=texts,
        password=secrets,
        ca_file=texts.map(Path),
        bulk_bytes=st.just(7),
    ),
    command_manager=st.builds(CommandManagerSettings, url=texts, username=texts, password=secrets),
    hooks=st.builds(HookSettings, on_error=st.tuples(texts)),
    ping_url=st.one_of(st.none(), texts.map(lambda text: Secret(f"https://indexer.example/{text}"))),
    state_dir=texts.map(Path),
)


@settings(max_examples=400)
@given(made)
def test_no_public_value_is_altered_by_the_secret_of_another_setting(made: Settings) -> None:
    mask = Mask(made.secrets, made.public)
    shown = [
        made.cti.url,
        *made.cti.allowed_hosts,
        made.consumers[0].context,
        made.consumers[0].consumer,
        made.consumers[0].index,
        made.store.url,
        made.store.username,
        str(made.store.ca_file),
        made.command_manager.url,
        made.command_manager.username,
        str(made.state_dir),
        *(
            word
            for word in made.hooks.on_error
            if not any(secret in word for secret in made.secrets if secret)
        ),
    ]
    for value in shown:
        assert mask(f"curl {value} (see {value})") == f"curl {value} (see {value})"


@pytest.mark.parametrize(
    ("url", "shows", "hides"),
    [
        ("https://hc-ping.com/0f2c7a11-aaaa", "https://hc-ping.com/***/start", "0f2c7a11-aaaa"),
        ("https://h/services/T0A1B2C3/x9y8z7w6", "https://h/services/***/***/start", "x9y8z7w6"),
        ("https://kuma:1/api/push/abcdEFGH12", "https://kuma:1/api/push/***/start", "abcdEFGH12"),
        ("https://h/a1b2/c3d4/e5f6", "https://h/***/start", "a1b2/c3d4/e5f6"),
        ("https://h/ping/abcdefghijkl", "https://h/***/start", "abcdefghijkl"),
        ("https://me:s3cret@h/ping", "https://me:***@h/ping/start", "s3cret"),
        ("https://h/ping", "https://h/ping/start", "nothing"),
    ],
)
def test_of_a_ping_url_the_keys_are_hidden_and_never_scheme_or_host(url: str, shows: str, hides: str) -> None:
    made = Settings(ping_url=Secret(url))
    mask = Mask(made.secrets, made.public)

    assert mask(f"{url}/start failed") == f"{shows} failed"
    assert hides not in mask(f"the server got {url.partition('://')[2]}")


def test_a_short_password_is_hidden_as_it_is_sent_and_leaves_ordinary_words_alone(tmp_path: Path) -> None:
    environ = {"CTISYNC_STORE__USERNAME": "wazuh", "CTISYNC_STORE__PASSWORD": "wazuh"}
    loaded = load_settings(None, {**environ, "HOME": str(tmp_path)}, system_file=tmp_path / "none").settings
    mask = Mask(loaded.secrets, loaded.public)

    assert mask("not for wazuh:wazuh, Basic d2F6dWg6d2F6dWg=") == "not for wazuh:***, Basic ***"
    assert mask("http://wazuh:wazuh@proxy, wazuh%3Awazuh%40") == "http://wazuh:***@proxy, wazuh%3A***%40"
    for plain in ("ctisync: index wazuh-cve, host:wazuh-cve", "https://cti.wazuh.com"):
        assert mask(plain) == plain


def test_a_key_in_the_word_of_a_hook_is_hidden(tmp_path: Path) -> None:
    ctisync = Ctisync(tmp_path)
    ctisync.environ |= {
        "CTISYNC_PING_URL": "https://hc-ping.com/0f2c7a11-aaaa",
        "CTISYNC_HOOKS__ON_ERROR": '["curl", "https://hc-ping.com/0f2c7a11-aaaa/fail"]',
    }
    assert ctisync.run("config", "get", "hooks.on_error").stdout == "curl\nhttps://hc-ping.com/***/fail\n"


def test_a_ping_url_leaves_the_other_urls_readable(tmp_path: Path) -> None:
    ctisync = Ctisync(tmp_path)
    ctisync.environ |= {
        "CTISYNC_PING_URL": "https://indexer.example/ping/0f2c7a11-aaaa",
        "CTISYNC_STORE__URL": "https://indexer.example:1",
    }
    assert ctisync.run("config", "get", "cti.url").stdout == "https://cti.wazuh.com/api/v1\n"
    shown = ctisync.run("config", "show").stdout
    assert 'store.url = "https://indexer.example:1"' in shown
    assert "0f2c7a11" not in shown
    failed = ctisync.run("sync").stderr
    assert "https://indexer.example:1" in failed
    assert "***" not in failed
