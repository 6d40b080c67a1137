"""`plans` as users run it: the consumers of the console's plans, and settings that follow them."""

import json
import tomllib

import pytest

from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.feed_failures import Failure
from tests.support.feed_simulator import OWN_PLAN, PLANS, FeedSimulator, unused_port

TOKEN = "the-token-of-an-environment"


def paths_of(feed: FeedSimulator) -> list[str]:
    return [request.path for request in feed.requests]


def contexts(text: str) -> list[str]:
    return [each["consumer_url"].split("/")[-3] for each in tomllib.loads(text)["consumers"]]


def test_the_public_plan_is_printed_as_settings_that_work(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ended = ctisync.run("plans")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert paths_of(feed) == [PLANS]
    assert contexts(ended.stdout) == ["t1-vulnerabilities-5", "t1-iocs-5", "t1-ruleset-5"]
    path = ctisync.home / "pasted.toml"
    path.write_text(ended.stdout)
    assert ctisync.run("config", "check", "--config", str(path)).returncode == 0
    shown = ctisync.run("config", "get", "consumers[1].consumer", "--config", str(path))
    assert shown.stdout == "public-iocs-5\n"


def test_with_a_token_the_plan_of_the_environment_is_the_one_to_paste(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    feed.required_token = TOKEN
    ended = ctisync.run("plans", CTISYNC_CTI__TOKEN=TOKEN)
    assert ended.returncode == 0, ended.stderr
    assert paths_of(feed) == [PLANS, OWN_PLAN]
    assert contexts(ended.stdout) == ["t0-vulnerabilities-5", "t0-iocs-5", "t0-ruleset-5"]
    assert "# Free (public)" in ended.stdout
    assert ended.stdout.count("Pro Plan") == 1
    assert TOKEN not in ended.stdout


def test_the_console_of_the_exchange_gets_the_request_and_the_token(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    feed.required_token = TOKEN
    ctisync.environ["CTISYNC_CTI__URL"] = "http://127.0.0.1:9/api/v1"
    exchange = {"CTISYNC_CTI__TOKEN": TOKEN, "CTISYNC_CTI__TOKEN_EXCHANGE_URL": feed.exchange_url}
    ended = ctisync.run("plans", **exchange)
    assert ended.returncode == 0, ended.stderr
    assert paths_of(feed) == [PLANS, OWN_PLAN]
    assert f'# needs cti.url = "{feed.url}"' in ended.stdout


def test_programs_get_each_feature_with_its_names(ctisync: Ctisync, feed: FeedSimulator) -> None:
    document = json.loads(ctisync.run("plans", "--json").stdout)
    assert document["console"] == feed.url
    free, pro = document["plans"]
    assert (free["name"], free["is_public"], free["is_own"]) == ("Free", True, False)
    assert (pro["name"], pro["is_public"], pro["is_own"]) == ("Pro Plan", False, False)
    first, *_, last = free["features"]
    assert (first["context"], first["consumer"]) == ("t1-vulnerabilities-5", "public-vulnerabilities-5")
    assert (last["name"], last["context"], last["consumer"]) == ("Help", None, None)


@pytest.mark.parametrize(
    ("failure", "code", "message", "hint"),
    [
        (
            failures.refusal(404, "Not Found"),
            3,
            "answers 404: Not Found",
            "set cti.token_exchange_url to that",
        ),
        (failures.refusal(401, "who"), 3, "answers 401: who", "set cti.token"),
        (failures.status(503), 5, "answers 503", "check cti.url and the server there"),
        (failures.html(), 6, "is not JSON", "check which server answers at cti.url"),
        (failures.body(b"[" * 3000), 6, "is not JSON", "check which server answers"),
        (failures.body(b'{"plans": 5}'), 6, "no list of plans", ""),
        (failures.body(b" " * (1 << 21)), 6, "is larger than 1048576 bytes", ""),
        (failures.redirect("https://login.example/"), 3, "a redirect", "set cti.url"),
    ],
)
def test_a_console_that_lists_no_plan_is_an_error_with_a_hint(
    ctisync: Ctisync, feed: FeedSimulator, failure: Failure, code: int, message: str, hint: str
) -> None:
    feed.fail("other", failure, times=None)
    ended = ctisync.run("plans")
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr
    assert hint in ended.stderr
    assert len(feed.requests) == 1


def test_a_console_that_is_not_there_is_an_error_at_once(ctisync: Ctisync) -> None:
    ended = ctisync.run("plans", CTISYNC_CTI__URL=f"http://127.0.0.1:{unused_port()}/api/v1")
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "cannot be reached" in ended.stderr


CONSUMER = "http://127.0.0.1:1/api/v1/catalog/contexts/t1-iocs-5/consumers/public-iocs-5"


def test_a_consumer_may_be_set_by_its_whole_address(ctisync: Ctisync, feed: FeedSimulator) -> None:
    whole = f"{feed.origin}{feed.consumer_path}"
    ctisync.environ["CTISYNC_CONSUMERS"] = json.dumps([{"consumer_url": whole, "index": "cve"}])
    assert ctisync.run("sync", "-q").returncode == 0
    (one,) = json.loads(ctisync.run("status", "--json").stdout)["consumers"]
    assert (one["context"], one["consumer"]) == (feed.context, feed.consumer)


@pytest.mark.parametrize(
    ("consumer", "message", "hint"),
    [
        ({"consumer_url": CONSUMER}, "is not below cti.url", 'set cti.url = "http://127.0.0.1:1/api/v1"'),
        (
            {"consumer_url": "https://h/x"},
            "is not the URL of a consumer",
            "/catalog/contexts/CONTEXT/consumers/",
        ),
        (
            {"consumer_url": CONSUMER.replace("//", "//me:secret@")},
            "is not the URL of a consumer",
            "write https://",
        ),
    ],
)
def test_an_address_that_is_no_consumer_of_the_feed_is_a_mistake(
    ctisync: Ctisync, feed: FeedSimulator, consumer: dict[str, str], message: str, hint: str
) -> None:
    ended = ctisync.run("config", "check", CTISYNC_CONSUMERS=json.dumps([consumer]))
    assert (ended.returncode, message in ended.stderr, hint in ended.stderr) == (3, True, True), ended.stderr
    assert "secret" not in ended.stderr


def test_an_address_and_other_names_beside_it_are_a_mistake(ctisync: Ctisync, feed: FeedSimulator) -> None:
    one = {"consumer_url": f"{feed.origin}{feed.consumer_path}", "context": "t1-iocs-5"}
    ended = ctisync.run("config", "check", CTISYNC_CONSUMERS=json.dumps([one]))
    assert (ended.returncode, "is of another consumer than context and consumer say" in ended.stderr) == (
        3,
        True,
    )
