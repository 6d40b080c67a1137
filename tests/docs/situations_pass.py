"""A pass on this host, whatever feed and store: done, in the wrong words or settings, not alone, stopped."""

import signal
import ssl
import subprocess
import sys
import time

import trustme

from ctisync.core.model import Consumer
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.docs.situations import shown_by, situation
from tests.docs.stage import FEED, Printed, Stage
from tests.support import feed_failures as failures
from tests.support.feed_history import populate
from tests.support.lying_feed import LyingFeed

ONLY_OF_2026 = '[{"resources": ["CVE-2026-*"]}]'
A_BUG = (
    "import sys; from ctisync import cli; import ctisync.commands.sync; "
    "cli.app.command('sync')(lambda: 1 / 0); sys.exit(cli.main())"
)

shown_by("status-empty", "status")
shown_by("empty-update", "update", "-q")
shown_by("empty-export", "export", "-q")
shown_by("usage-option", "sync", "--offset", "1901695")
shown_by("usage-from", "init-snapshot", "--from", "1901695_1746459961.zip")
shown_by("no-record-fits", "sync", "-q", CTISYNC_CONSUMERS='[{"resources": ["cve-*"]}]')
shown_by("feed-404", "sync", "-q", CTISYNC_CONSUMERS='[{"consumer": "vd_4.9.0"}]')


@situation("dry-run")
def _(stage: Stage) -> Printed:
    stage.follow(35)
    return stage.run("sync", "-q", "--dry-run")


@situation("hook")
def _(stage: Stage) -> Printed:
    return stage.run("sync", "-q", CTISYNC_HOOKS__ON_UPDATE='["/bin/false"]')


@situation("hook-missing")
def _(stage: Stage) -> Printed:
    return stage.run("sync", "-q", CTISYNC_HOOKS__ON_UPDATE='["/usr/local/bin/tell-scanner"]')


@situation("hook-slow")
def _(stage: Stage) -> Printed:
    hook = '["sleep", "60"]'
    return stage.run("sync", "-q", CTISYNC_HOOKS__ON_UPDATE=hook, CTISYNC_HOOKS__TIMEOUT="1")


@situation("hook-match")
def _(stage: Stage) -> Printed:
    settings = {
        "CTISYNC_WATCH": '[{"name": "our edge", "words": "CVE*"}]',
        "CTISYNC_HOOKS__ON_MATCH": '["/bin/false"]',
    }
    assert stage.run("sync", "-q", **settings).code == 0
    populate(stage.feed.history, 1, first=5000)
    return stage.run("sync", "-q", **settings)


@situation("status-ready")
def _(stage: Stage) -> Printed:
    stage.follow()
    populate(stage.feed.history, 120, first=5000)
    stage.feed.fail("changes", failures.status(503), times=None)
    assert stage.passes(CTISYNC_CTI__COOLDOWN="0", CTISYNC_CTI__RETRY_BUDGET="0.1") == 5
    return stage.run("status")


@situation("status-loading")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.feed.history.poison("CVE-2003-10003")
    assert stage.passes("update") == 6
    return stage.run("status")


@situation("check")
def _(stage: Stage) -> Printed:
    nothing = stage.run("status", "--check")
    stage.follow()
    good = stage.run("status", "--check")
    differs = stage.run("status", "--check", CTISYNC_CONSUMERS=ONLY_OF_2026)
    stage.database.write_text("no database" * 100)
    unreadable = stage.run("status", "--check")
    assert [each.code for each in (good, differs, nothing, unreadable)] == [0, 1, 2, 3]
    return Printed(0, good.text + differs.text + nothing.text + unreadable.text)


@situation("log")
def _(stage: Stage) -> Printed:
    stage.follow()
    forms = [stage.run("sync", "--log-format", form).last(1).text for form in ("text", "json", "journal")]
    return Printed(0, "\n".join(forms))


@situation("no-snapshot")
def _(stage: Stage) -> Printed:
    stage.feed.info.update(last_snapshot_link=None, last_snapshot_offset=None)
    return stage.run("sync").last(1)


@situation("nothing-known")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.feed.info["last_offset"] = None
    return stage.run("sync", "-q")


@situation("bug")
def _(stage: Stage) -> Printed:
    ended = subprocess.run(
        [sys.executable, "-c", A_BUG, "sync"], env=stage.environ, capture_output=True, text=True, check=False
    )
    return Printed(ended.returncode, ended.stderr)


@situation("settings-name")
def _(stage: Stage) -> Printed:
    file = stage.settings / "config.toml"
    file.write_text('[stroe]\nurl = "https://indexer.example:9200"\n')
    return stage.run("sync", "--config", str(file))


@situation("settings-file")
def _(stage: Stage) -> Printed:
    return stage.run("sync", CTISYNC_CTI__TOKEN_FILE=str(stage.settings / "token"))


@situation("settings-changed")
def _(stage: Stage) -> Printed:
    stage.follow()
    return stage.run("sync", "-q", CTISYNC_CONSUMERS=ONLY_OF_2026)


@situation("occupied")
def _(stage: Stage) -> Printed:
    stage.follow()
    return stage.run("sync", "-q", CTISYNC_CONSUMERS='[{"context": "vd_2.0.0"}]')


@situation("feed-401")
def _(stage: Stage) -> Printed:
    stage.feed.required_token = "another"
    return stage.run("sync", "-q")


@situation("feed-403")
def _(stage: Stage) -> Printed:
    stage.feed.fail("info", failures.refusal(403, "Forbidden"))
    return stage.run("sync", "-q")


@situation("feed-tls")
def _(stage: Stage) -> Printed:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with LyingFeed(stage.feed, {}, tls=context) as feed:
        url = feed.url.replace("127.0.0.1", "localhost")
        origin = url.removesuffix("/api/v1")
        stage.names[origin] = FEED
        stage.names[origin.removeprefix("https://")] = "cti.wazuh.com:443"
        stage.names["-servername localhost"] = "-servername cti.wazuh.com"
        return stage.run("sync", "-q", CTISYNC_CTI__URL=url)


@situation("another-pass")
def _(stage: Stage) -> Printed:
    stage.follow()
    with host_lock(lock_beside(stage.database, Consumer()), SystemClock(), "ctisync sync"):
        return stage.run("sync").last(2)


@situation("verify-differs")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.alter_database("UPDATE records SET offset = 1901700 WHERE name = 'CVE-2004-10004'")
    return stage.run("verify").last(2)


@situation("records-match")
def _(stage: Stage) -> Printed:
    stage.follow()
    return stage.run("search", "CVE-2004-10004", "--names", "--exit-code")


@situation("stopped")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.fail("changes", failures.stall(60))
    running = stage.ctisync.start("sync", "-q")
    while not stage.feed.requests_for("changes"):
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate(timeout=120)
    return Printed(running.returncode, stderr.decode())


@situation("doctor")
def _(stage: Stage) -> Printed:
    stage.feed.required_token = "another"
    return stage.run("doctor", "-q")
