"""What the page shows of a mirror folder: not complete, damaged, older, of another history, not trusted."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from ctisync.core.manifest import HEAD, SIGNATURE, encoded, head_of, manifest_of
from ctisync.signatures import SigningKey
from tests.docs.situations import situation
from tests.docs.stage import Printed, Stage
from tests.mirror.parts import MINISIGN, PUBLIC
from tests.mirror.test_hostile import place_manifest
from tests.support.feed_history import churn, populate
from tests.support.web_folder import WebFolder

MIRROR: Final = "/srv/cti"
COPY: Final = "/media/stick/cti"
CONSUMER: Final = "vd_1.0.0/vd_4.8.0"


def mirror_of(stage: Stage) -> Path:
    folder = stage.home / "srv"
    stage.names[str(folder)] = MIRROR
    return folder


def copy_of(stage: Stage) -> Path:
    """The folder on a stick, which is the feed from now on."""
    copy = stage.home / "stick"
    stage.names[str(copy)] = COPY
    stage.environ["CTISYNC_CTI__URL"] = copy.as_uri()
    return copy


def publish(stage: Stage, **environ: str) -> None:
    environ = {"CTISYNC_CTI__URL": stage.feed.url, "CTISYNC_MIRROR__SNAPSHOT_AGE": "0", **environ}
    assert stage.run("mirror", "-q", str(mirror_of(stage)), **environ) == Printed(0, "")


def carry(stage: Stage) -> Path:
    """The copy has now what the mirror has. Returns the folder of the consumer."""
    copy = copy_of(stage)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(mirror_of(stage), copy, ignore=shutil.ignore_patterns(".ctisync"))
    return copy / CONSUMER


def follow(stage: Stage) -> Path:
    """A content that is in step with a copy of the mirror; the newest copy has 30 changes more."""
    publish(stage)
    carry(stage)
    assert stage.passes() == 0
    churn(stage.feed.history, 30)
    publish(stage)
    return carry(stage)


@situation("mirror-incomplete")
def _(stage: Stage) -> Printed:
    for path in follow(stage).glob("c-*"):
        path.unlink()
    return stage.run("sync", "-q")


@situation("mirror-web")
def _(stage: Stage) -> Printed:
    for path in follow(stage).glob("c-*"):
        path.unlink()
    with WebFolder(copy_of(stage)) as server:
        stage.names[server.url] = "https://mirror.example/cti"
        return stage.run("sync", "-q", CTISYNC_CTI__URL=f"mirror+{server.url}")


@situation("mirror-damaged")
def _(stage: Stage) -> Printed:
    for path in follow(stage).glob("c-*"):
        path.write_bytes(bytes(path.stat().st_size))
    return stage.run("sync", "-q")


@situation("mirror-older")
def _(stage: Stage) -> Printed:
    publish(stage)
    old = carry(stage).parents[1]
    old = old.rename(stage.home / "old")
    follow(stage)
    assert stage.passes() == 0
    shutil.rmtree(copy_of(stage))
    old.rename(copy_of(stage))
    return stage.run("sync", "-q")


@situation("mirror-history")
def _(stage: Stage) -> Printed:
    follow(stage)
    assert stage.passes() == 0
    stage.feed.history.edit(stage.feed.history.last_offset, inserted_at="2026-11-30T00:00:00Z")
    shutil.rmtree(mirror_of(stage))
    publish(stage)
    carry(stage)
    return stage.run("sync", "-q")


@situation("mirror-gap")
def _(stage: Stage) -> Printed:
    follow(stage)
    churn(stage.feed.history, 2500, seed=2)
    stage.feed.publish_snapshot()
    publish(stage, CTISYNC_MIRROR__KEEP_SNAPSHOTS="1", CTISYNC_MIRROR__KEEP_CHANGES="0")
    carry(stage)
    return stage.run("update", "-q")


@situation("mirror-went-back")
def _(stage: Stage) -> Printed:
    publish(stage)
    stage.feed.reset()
    populate(stage.feed.history, 5)
    stage.feed.publish_snapshot()
    return stage.run("mirror", "-q", str(mirror_of(stage)))


def bundle_of(stage: Stage, since: str) -> Path:
    """A bundle of what the mirror has, in the folder of the situation."""
    file = stage.home / "next.tar"
    stage.names[str(file)] = "/media/stick/next.tar"
    call = ("bundle", str(mirror_of(stage)), "--since", since, "--output", str(file), "-q")
    assert stage.run(*call) == Printed(0, "")
    return file


@situation("bundle-gap")
def _(stage: Stage) -> Printed:
    follow(stage)
    churn(stage.feed.history, 2500, seed=2)
    publish(stage)
    return stage.run("import", "-q", str(bundle_of(stage, "1903000")))


@situation("bundle-damaged")
def _(stage: Stage) -> Printed:
    follow(stage)
    file = bundle_of(stage, "1901695")
    file.write_bytes(file.read_bytes()[:-2000])
    return stage.run("import", "-q", str(file))


def signed(stage: Stage, *, key: str = "plain.key") -> Path:
    """A copy of a mirror that this key has signed, and a reader that trusts the usual one."""
    stage.environ["CTISYNC_CTI__TRUSTED_KEYS"] = f'["{PUBLIC}"]'
    folder = mirror_of(stage)
    options = ("-q", str(folder), f"--sign-key={MINISIGN / key}")
    keys = {"CTISYNC_CTI__TRUSTED_KEYS": "[]", "CTISYNC_CTI__URL": stage.feed.url}
    assert stage.run("mirror", *options, **keys) == Printed(0, "")
    return carry(stage)


@situation("mirror-unsigned")
def _(stage: Stage) -> Printed:
    for path in signed(stage).glob("*.minisig"):
        path.unlink()
    return stage.run("sync", "-q")


@situation("mirror-other-key")
def _(stage: Stage) -> Printed:
    signed(stage)
    other = (MINISIGN / "password.pub").read_text().splitlines()[1]
    return stage.run("sync", "-q", CTISYNC_CTI__TRUSTED_KEYS=f'["{other}"]')


@situation("mirror-signature")
def _(stage: Stage) -> Printed:
    for path in signed(stage).glob("*.minisig"):
        shutil.copy(MINISIGN / "content.minisig", path)
    return stage.run("sync", "-q")


@situation("mirror-serial")
def _(stage: Stage) -> Printed:
    old = signed(stage).parents[1].rename(stage.home / "old")
    signed(stage)
    assert stage.passes() == 0
    shutil.rmtree(copy_of(stage))
    old.rename(copy_of(stage))
    return stage.run("sync", "-q")


@situation("mirror-age")
def _(stage: Stage) -> Printed:
    folder = signed(stage)
    head = head_of((folder / HEAD).read_bytes())
    now = manifest_of((folder / head.manifest.name).read_bytes(), CONSUMER)
    old = replace(now, made_at=now.made_at - timedelta(days=8))
    name = place_manifest(folder, old)
    signature = SigningKey(MINISIGN / "plain.key").signature(encoded(old), name, old.made_at)
    (folder / f"{name}{SIGNATURE}").write_bytes(signature)
    return stage.run("sync", "-q", CTISYNC_CTI__MAX_MANIFEST_AGE="604800")
