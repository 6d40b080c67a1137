"""Mistakes in settings: each is told with its place, what is expected, and the nearest valid name."""

import re
from pathlib import Path

import pytest

from ctisync.backends import Backend
from ctisync.errors import ConfigurationError
from ctisync.settings import Settings, load_settings
from ctisync.stores.opensearch.backend import OpenSearchBackend
from ctisync.stores.sqlite.backend import SqliteBackend


def from_file(text: str, tmp_path: Path) -> Settings:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return load_settings(path, {"STATE_DIRECTORY": "/s"}, system_file=tmp_path / "none").settings


def from_variables(tmp_path: Path, **environ: str) -> Settings:
    environ = {"STATE_DIRECTORY": "/s", "XDG_CONFIG_HOME": str(tmp_path), **environ}
    return load_settings(None, environ, system_file=tmp_path / "none").settings


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[cti]\nurll = 'x'", "unknown setting cti.urll; the nearest is cti.url", "rename it to cti.url"),
        ("[ctii]\nurl = 'x'", "unknown setting ctii; the nearest is cti", "rename it to cti"),
        ("url = 'x'", "unknown setting url; the nearest is cti.url", "rename it to cti.url"),
        ("[[consumers]]\ncontxt = 'a'", "consumers[0]: unknown setting contxt", "rename it to context"),
        ("[cti]\nzzz = 1", "unknown setting cti.zzz", "valid here: cti.allowed_hosts"),
        ("cti = 3", "cti: expected a table", "write [cti] as a line"),
        ("[store]\nshards = '3'", "store.shards: expected a whole number, at least 1 and at most 1024", None),
        ("[store]\nshards = 0", "store.shards: expected a whole number, at least 1", None),
        ("[store]\nreplicas = -1", "store.replicas: expected a whole number, at least 0", None),
        ("[cti]\ntoken = 12345", "cti.token: expected a text", None),
        ("[cti]\nheaders = 'x'", "cti.headers: expected a table of texts", None),
        ("[cti.headers]\na = 5", "cti.headers.a: expected a text or a file", 'NAME = "…" or NAME = { file'),
        ("[cti.headers]\na = {b = 'c'}", "cti.headers.a: expected a text or a file", None),
        ("[cti.headers]\na = {file = '/none'}", "cti.headers.a: cannot read /none", "ls -l /none"),
        ("[cti.headers]\na = {file = '/dev/null'}", "cti.headers.a: the file is empty", None),
        ("[cti.headers]\n'a b' = 'x'", "'a b' is not the name of a header", "write a name such as wazuh-tag"),
        ("[cti.headers]\nHost = 'x'", "Host is a header that ctisync sets itself", "remove it"),
        ("[cti.headers]\nuser-agent = 'x'", "user-agent is a header that ctisync sets itself", None),
        ("[cti.headers]\na = 'x '", "cti.headers.a: the value begins or ends with a space, or", None),
        ('[cti.headers]\na = "x\\ny"', "cti.headers.a: the value begins or ends with a space, or", "remove"),
        ("[cti.headers]\na = 'é'", "or others than ASCII", None),
        ("[cti.headers]\na = 'x'\nA = 'y'", "the header a occurs 2 times", "keep one of them"),
        ("[cti]\nretry_budget = nan", "cti.retry_budget: expected a number, more than 0", None),
        ("[command_manager]\nenabled = 'yes'", "command_manager.enabled: expected true or false", None),
        ("on_feed_reset = 'ask'", 'on_feed_reset: expected "refuse" or "init"', None),
        ('[cti]\nca_file = "a\\u0000"', "cti.ca_file: contains a NUL character", "remove it"),
        ('[cti]\ntoken = "a\\u0000"', "cti.token: contains a NUL character", "remove it"),
        ('[hooks]\non_error = ["\\u0000"]', "hooks.on_error[0]: contains a NUL character", "remove it"),
        ("consumers = 'x'", "consumers: expected a list, each entry a table with context, consumer", None),
        ("consumers = [3]", "consumers[0]: expected a table with context", None),
        ("[[consumers]]\nresources = 'CVE-*'", "consumers[0].resources: expected a list, each entry a", None),
        ("[[consumers]]\nresources = [1]", "consumers[0].resources[0]: expected a text", None),
        ("a = ", "is not valid TOML", "edit "),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_names_file_and_setting(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_file(text, tmp_path)

    assert str(tmp_path / "c.toml") in caught.value.message
    assert message in caught.value.message
    assert (hint or "") in (caught.value.hint or "")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CTISYNC_CTI__URLL", "x", "unknown variable CTISYNC_CTI__URLL; the nearest is CTISYNC_CTI__URL"),
        ("CTISYNC_CTI_URL", "x", "unknown variable CTISYNC_CTI_URL; the nearest is CTISYNC_CTI__URL"),
        ("CTISYNC_STORE__SHARDS", "many", "CTISYNC_STORE__SHARDS: expected a whole number"),
        ("CTISYNC_COMMAND_MANAGER__ENABLED", "on", "MANAGER__ENABLED: expected true or false"),
        ("CTISYNC_CONSUMERS", '[{"index": ', "CTISYNC_CONSUMERS is not valid JSON"),
        ("CTISYNC_CONSUMERS", "{}", "CTISYNC_CONSUMERS: expected a list"),
        ("CTISYNC_CONSUMERS", '[{"indx": "a"}]', "CTISYNC_CONSUMERS[0]: unknown setting indx"),
        ("CTISYNC_CONSUMERS", "[]", "CTISYNC_CONSUMERS: no consumer to follow"),
        ("CTISYNC_CONSUMERS", '[{"index": "Wazuh"}]', "'Wazuh' cannot be the index of vd_1.0.0/vd_4.8.0"),
        ("CTISYNC_CONSUMERS", '[{"index": "cve*"}]', "'cve*' cannot be the index"),
        ("CTISYNC_CONSUMERS", '[{"index": "_cve"}]', "'_cve' cannot be the index"),
        ("CTISYNC_CONSUMERS", '[{"index": "wazuh-context"}]', "'wazuh-context' cannot be the index"),
        ("CTISYNC_CONSUMERS", '[{"consumer": "../x"}]', "'../x' is not a valid context or consumer name"),
        ("CTISYNC_CONSUMERS", '[{"resources": []}]', "has an empty resources setting"),
        ("CTISYNC_CONSUMERS", '[{"index": "a"}, {"index": "b"}]', "vd_1.0.0/vd_4.8.0 occurs 2 times"),
        ("CTISYNC_CONSUMERS", '[{"consumer": "a"}, {"consumer": "b"}]', "index wazuh-cve occurs 2 times"),
        ("CTISYNC_STORE__URL", "postgres://h/db", "'postgres://h/db' is not a store URL"),
        ("CTISYNC_STORE__URL", "sqlite://a/b.db", "'sqlite://a/b.db' names no file"),
        ("CTISYNC_STORE__URL", "sqlite:///", "'sqlite:///' names no file"),
        ("CTISYNC_STORE__URL", "sqlite:///:memory:", "names no file"),
        ("CTISYNC_STORE__URL", "sqlite:///~nobody-of-this-name/x.db", "a user that does not exist"),
        ("CTISYNC_STORE__URL", "https://", "'' is not a host with a port"),
        ("CTISYNC_STORE__URL", "https://h:9200/path", "is not a host with a port"),
        ("CTISYNC_STORE__URL", "https://h:port", "is not a URL"),
        ("CTISYNC_CTI__URL", "cti.wazuh.com", "'cti.wazuh.com' is not an http(s) URL with a host"),
        ("CTISYNC_CTI__URL", "ftp://h", "is not an http(s) URL with a host"),
        ("CTISYNC_CTI__URL", "http://", "CTISYNC_CTI__URL: 'http://' is not an http(s) URL with a host"),
        ("CTISYNC_CTI__URL", "http://host:port/", "CTISYNC_CTI__URL: 'http://host:port/' is not a URL"),
        ("CTISYNC_CTI__URL", "http://[1", "CTISYNC_CTI__URL: 'http://[1' is not a URL"),
        ("CTISYNC_CTI__COOLDOWN", "-1", "CTISYNC_CTI__COOLDOWN: expected a number, at least 0"),
        ("CTISYNC_CTI__COOLDOWN", "nan", "CTISYNC_CTI__COOLDOWN: expected a number, at least 0"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", "a.example.com", "CTISYNC_CTI__ALLOWED_HOSTS is not valid JSON"),
        (
            "CTISYNC_CTI__ALLOWED_HOSTS",
            '["https://a.example.com"]',
            "ALLOWED_HOSTS: 'https://a.example.com' is no",
        ),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '["a.example.com/x"]', "'a.example.com/x' is not a host name"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '["*"]', "'*' is not a host name"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '["a.*.com"]', "'a.*.com' is not a host name"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '["a:99999"]', "'a:99999' is not a host name"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '["me@a"]', "'***@a' is not a host name"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '["[:::1]"]', "'[:::1]' is not a host name"),
        ("CTISYNC_CTI__ALLOWED_HOSTS", '[""]', "'' is not a host name"),
        ("CTISYNC_LIMITS__LINE_BYTES", "0", "LIMITS__LINE_BYTES: expected a whole number, at least 1"),
        ("CTISYNC_LIMITS__LINE_BYTES", "64 MiB", "CTISYNC_LIMITS__LINE_BYTES: expected a whole number"),
        ("CTISYNC_LIMITS__JSON_DEPTH", "801", "expected a whole number, at least 1 and at most 800"),
        ("CTISYNC_LIMITS__PASS_SECONDS", "-1", "CTISYNC_LIMITS__PASS_SECONDS: expected a number, at least 0"),
        ("CTISYNC_LIMITS__MIN_RATE", "inf", "CTISYNC_LIMITS__MIN_RATE: expected a number, at least 0"),
        ("CTISYNC_LIMITS__BYTES", "1", "the nearest is CTISYNC_LIMITS__"),
        ("CTISYNC_STORE__FACTS_INDEX", "true", "FACTS_INDEX: a SQLite store has no facts index"),
        ("CTISYNC_COMMAND_MANAGER__URL", "h:9200", "'h:9200' is not an http(s) URL"),
        ("CTISYNC_COMMAND_MANAGER__ENABLED", "true", "with a SQLite store, command_manager.url is required"),
        ("CTISYNC_STORE__CA_FILE", "/no/such/ca.pem", "CTISYNC_STORE__CA_FILE: cannot read /no/such/ca.pem"),
        ("CTISYNC_CTI__TOKEN_FILE", "/no/such/token", "CTISYNC_CTI__TOKEN_FILE: cannot read /no/such/token"),
        ("CTISYNC_STORE__PASSWORD", "\udcff", "CTISYNC_STORE__PASSWORD is not UTF-8 text"),
        ("CTISYNC_CONSUMERS", '["\udcff"]', "CTISYNC_CONSUMERS is not UTF-8 text"),
        ("CTISYNC_STORE__PASSWORD", "x", "CTISYNC_STORE__PASSWORD: a password needs a username"),
        ("CTISYNC_STORE__CLIENT_KEY", __file__, "CTISYNC_STORE__CLIENT_KEY: a client key needs"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_variable_names_it(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_variables(tmp_path, **{name: value})

    assert message in caught.value.message


@pytest.mark.parametrize("name", ["CTISYNC_STORE__URL", "CTISYNC_CTI__URL", "CTISYNC_COMMAND_MANAGER__URL"])
@pytest.mark.parametrize(
    "url", ["https://me:canary@host:9200", "me:canary@host:9200", "https://host/?key=canary"]
)
def test_a_secret_in_a_url_is_refused_without_showing_it(tmp_path: Path, name: str, url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_variables(tmp_path, **{name: url})

    assert "canary" not in f"{caught.value.message} {caught.value.hint}"


def test_the_message_about_a_store_in_an_unknown_home_has_its_url_and_the_form_of_another(
    tmp_path: Path,
) -> None:
    url = "sqlite:///~nobody-of-this-name/x.db"
    with pytest.raises(ConfigurationError) as caught:
        from_variables(tmp_path, CTISYNC_STORE__URL=f"{url}#canary")
    begin = "begins with the home folder of a user that does not exist"
    assert caught.value.message == f"CTISYNC_STORE__URL: '{url}' {begin}"
    assert caught.value.hint == "write the absolute path: sqlite:////var/lib/ctisync/ctisync.db"


def test_no_mistake_around_a_secret_shows_its_value(tmp_path: Path) -> None:
    for text in (
        "[cti]\ntoken = ['canary']",
        "[cti]\ntokn = 'canary'",
        "[cti]\ntoken = 'canary'\ntoken_file = 'x'",
    ):
        with pytest.raises(ConfigurationError) as caught:
            from_file(text, tmp_path)
        assert "canary" not in f"{caught.value.message} {caught.value.hint}"


def test_the_message_about_a_secret_set_twice_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "ctisync").mkdir()
    (tmp_path / "ctisync" / "config.toml").write_text("[cti]\ntoken = 'a'")

    with pytest.raises(ConfigurationError) as caught:
        from_variables(tmp_path, CTISYNC_CTI__TOKEN_FILE=__file__)

    assert "config.toml: cti.token and by CTISYNC_CTI__TOKEN_FILE" in caught.value.message


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    with pytest.raises(ConfigurationError, match="CTISYNC_CTI__TOKEN_FILE: the file is empty"):
        from_variables(tmp_path, CTISYNC_CTI__TOKEN_FILE=str(tmp_path / "token"))


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        ("sqlite:////var/lib/x.db", SqliteBackend(Path("/var/lib/x.db"))),
        ("sqlite:///x.db", SqliteBackend(Path.cwd() / "x.db")),
        ("sqlite:////var/a@b/x.db", SqliteBackend(Path("/var/a@b/x.db"))),
        ("http://h", OpenSearchBackend(("http://h:9200",))),
        ("https://h:443", OpenSearchBackend(("https://h:443",))),
        ("https://h:9200,h2:9201", OpenSearchBackend(("https://h:9200", "https://h2:9201"))),
        ("https://[::1]:9200", OpenSearchBackend(("https://[::1]:9200",))),
    ],
)
def test_a_store_url_means_one_store(tmp_path: Path, url: str, backend: Backend) -> None:
    assert from_variables(tmp_path, CTISYNC_STORE__URL=url).backend == backend


EXCHANGE = "https://console.example/api/v1/platform/environments/token/exchange"


@pytest.mark.parametrize(
    ("environ", "message", "hint"),
    [
        ({"URL": EXCHANGE}, "there is no token to exchange", "set cti.token_file too"),
        ({"URL": "console", "TOKEN": "x"}, "is not an http(s) URL with a host", "write https://host"),
        ({"URL": "https://me:secret@console", "TOKEN": "x"}, "contains a user name", "set cti.token_file"),
        ({"URL": EXCHANGE + "?a=b", "TOKEN": "x"}, "is not an http(s) URL with a host", "write https://host"),
    ],
)
def test_an_exchange_needs_a_token_and_an_address(
    tmp_path: Path, environ: dict[str, str], message: str, hint: str
) -> None:
    names = {"URL": "CTISYNC_CTI__TOKEN_EXCHANGE_URL", "TOKEN": "CTISYNC_CTI__TOKEN"}
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        from_variables(tmp_path, **{names[key]: value for key, value in environ.items()})
    assert names["URL"] in caught.value.message
    assert hint in str(caught.value.hint)
    assert "secret" not in caught.value.message


def test_a_token_that_cannot_be_read_is_one_mistake_and_no_missing_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_variables(
            tmp_path, CTISYNC_CTI__TOKEN_EXCHANGE_URL=EXCHANGE, CTISYNC_CTI__TOKEN_FILE=str(tmp_path / "none")
        )
    assert "no token to exchange" not in caught.value.message
    assert "more mistake" not in caught.value.message


DEEP, LONG = "[" * 3000, "9" * 5000


@pytest.mark.parametrize(
    "text", [f"x = {DEEP}{DEEP.replace('[', ']')}", "x = " + "{a=" * 3000, f"history = {LONG}"], ids=len
)
def test_what_a_reader_of_toml_cannot_bear_is_a_mistake_in_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"c\.toml is not valid TOML: ") as caught:
        from_file(text, tmp_path)
    assert caught.value.hint == f"edit {tmp_path / 'c.toml'}"


@pytest.mark.parametrize("text", ["[" * 5000, '[{"a":' * 3000, f"[{LONG}"], ids=len)
def test_what_a_reader_of_json_cannot_bear_is_a_mistake_in_the_variable(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="CTISYNC_CONSUMERS is not valid JSON: ") as caught:
        from_variables(tmp_path, CTISYNC_CONSUMERS=text)
    assert caught.value.hint == "unset CTISYNC_CONSUMERS"


@pytest.mark.parametrize("name", ["CTISYNC_HISTORY", "CTISYNC_CTI__RETRY_BUDGET", "CTISYNC_STORE__SHARDS"])
def test_a_number_of_5000_digits_is_no_number(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: expected a"):
        from_variables(tmp_path, **{name: LONG})


@pytest.mark.parametrize(
    ("consumers", "message"),
    [
        ('[{"index": "a"}, {"consumer": "b", "index": "a-facts"}]', "another consumer has it as its index"),
        (f'[{{"index": "{"a" * 250}"}}]', "it is too long"),
    ],
)
def test_the_alias_of_a_facts_index_must_be_free(tmp_path: Path, consumers: str, message: str) -> None:
    """Else two consumers would show their contents under one name."""
    environ = {"CTISYNC_STORE__URL": "http://h:9200", "CTISYNC_CONSUMERS": consumers}
    from_variables(tmp_path, **environ)
    with pytest.raises(ConfigurationError, match=message):
        from_variables(tmp_path, **environ, CTISYNC_STORE__FACTS_INDEX="true")
