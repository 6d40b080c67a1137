"""Hosts that follow a signed mirror: each command in its own process."""

import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from ctisync.core.manifest import HEAD, encoded, head_of, manifest_of
from ctisync.core.model import MAX_OFFSET
from ctisync.signatures import SigningKey
from tests.mirror.conftest import CONSUMER, Far
from tests.mirror.test_bundles import bundle, import_
from tests.mirror.test_following import status
from tests.mirror.test_hostile import place_manifest
from tests.support.feed_history import churn


class Signed:
    """`far` publishes with `key`, and its reader trusts the keys of `trusts`."""

    def __init__(self, far: Far, home: Path) -> None:
        self.far = far
        self.home = home
        self.sign("first")
        self.trusts("first")

    def new(self, name: str) -> str:
        """Makes a key, and returns the public one."""
        made = self.far.near.run("mirror", "--new-key", str(self.home / name))
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def sign(self, name: str) -> None:
        self.key = self.home / name
        if not self.key.exists():
            self.new(name)

    def trusts(self, *names: str) -> None:
        keys = [(self.home / f"{name}.pub").read_text().splitlines()[1] for name in names]
        self.far.far.environ["CTISYNC_CTI__TRUSTED_KEYS"] = json.dumps(keys)

    def publish(self) -> None:
        """More changes come, and are mirrored and carried."""
        churn(self.far.feed.history, 5)
        ended = self.far.mirror("--sign-key", str(self.key))
        assert ended.returncode == 0, ended.stderr
        self.far.carry()

    def follows(self) -> None:
        ended = self.far.far.run("sync")
        assert ended.returncode == 0, ended.stderr
        state = json.loads(self.far.far.run("status", "--json").stdout)["consumers"][0]
        assert state["offset"] == self.far.feed.history.last_offset

    def refuses(self, why: str, *options: str) -> None:
        """With 6, and the content stays."""
        before = self.far.far.run("export").stdout
        ended = self.far.far.run(*(options or ("sync",)))
        assert (ended.returncode, why in ended.stderr) == (6, True), ended.stderr
        assert "  try: " in ended.stderr
        assert self.far.far.run("export").stdout == before


@pytest.fixture
def signed(far: Far, tmp_path: Path) -> Signed:
    return Signed(far, tmp_path)


def test_an_older_copy_is_refused_even_if_a_person_asks_and_the_newest_one_heals(signed: Signed) -> None:
    signed.publish()
    signed.follows()
    older = signed.far.copy.with_name("older")
    shutil.copytree(signed.far.copy, older)
    signed.publish()
    newest = signed.far.copy.with_name("newest")
    signed.follows()
    shutil.copytree(signed.far.copy, newest)
    shutil.rmtree(signed.far.copy)
    shutil.copytree(older, signed.far.copy)
    for command in ("sync", "update", "init-snapshot"):
        signed.refuses("it is older", command)
    shutil.rmtree(signed.far.copy)
    shutil.copytree(newest, signed.far.copy)
    signed.follows()


def test_keys_are_changed_while_hosts_follow(signed: Signed) -> None:
    signed.publish()
    signed.follows()
    signed.new("second")
    signed.trusts("first", "second")
    signed.publish()
    signed.follows()
    signed.sign("second")
    signed.publish()
    signed.follows()
    signed.trusts("second")
    signed.follows()
    signed.sign("first")
    signed.publish()
    signed.refuses("not one of cti.trusted_keys")


def test_a_thief_with_a_huge_serial_locks_nobody_out_once_the_key_is_dropped(signed: Signed) -> None:
    far = signed.far
    signed.publish()
    signed.follows()
    head = head_of((far.place / HEAD).read_bytes())
    stolen = manifest_of((far.place / head.manifest.name).read_bytes(), CONSUMER)
    stolen = replace(stolen, serial=MAX_OFFSET)
    name = place_manifest(far.place, stolen)
    signature = SigningKey(signed.key).signature(encoded(stolen), name, stolen.made_at)
    (far.place / f"{name}.minisig").write_bytes(signature)
    signed.follows()
    signed.publish()
    signed.refuses(f"serial {MAX_OFFSET}")
    signed.new("second")
    signed.trusts("second")
    signed.sign("second")
    signed.publish()
    signed.follows()


def test_an_unsigned_mirror_is_followed_without_keys_and_refused_with_them(signed: Signed) -> None:
    far = signed.far
    del far.far.environ["CTISYNC_CTI__TRUSTED_KEYS"]
    churn(far.feed.history, 5)
    assert far.mirror().returncode == 0
    far.carry()
    signed.follows()
    signed.trusts("first")
    signed.refuses("it is not signed")
    assert "it is not signed" in far.far.run("doctor").stdout
    signed.publish()
    signed.follows()


def test_a_mirror_that_is_too_old_is_refused_and_the_next_one_heals(signed: Signed) -> None:
    signed.publish()
    signed.follows()
    signed.far.far.environ["CTISYNC_CTI__MAX_MANIFEST_AGE"] = "0.001"
    signed.refuses("older than cti.max_manifest_age")
    signed.far.far.environ["CTISYNC_CTI__MAX_MANIFEST_AGE"] = "3600"
    signed.publish()
    signed.follows()


def test_keys_for_the_api_itself_are_a_mistake_in_the_settings(signed: Signed) -> None:
    ended = signed.far.far.run("sync", CTISYNC_CTI__URL=signed.far.feed.url)
    assert ended.returncode == 3
    assert "the CTI API, which signs nothing" in ended.stderr


def test_a_bundle_is_imported_if_it_is_signed_whatever_the_feed_of_the_host_is(signed: Signed) -> None:
    far = signed.far
    far.far.environ["CTISYNC_CTI__URL"] = far.feed.url
    signed.publish()
    import_(far, bundle(far, "none"))
    older = bundle(far, status(far)["offset"]).rename(signed.home / "older.tar")
    signed.publish()
    import_(far, bundle(far, status(far)["offset"]))
    signed.refuses("it is older", "import", str(older))
    assert far.mirror().returncode == 0
    signed.refuses("it is not signed", "import", str(bundle(far, status(far)["offset"])))


def test_a_key_that_is_none_is_a_mistake_in_the_settings(signed: Signed) -> None:
    ended = signed.far.far.run("sync", CTISYNC_CTI__TRUSTED_KEYS='["mirror.pub"]')
    assert ended.returncode == 3
    assert "'mirror.pub' is not a public key of minisign" in ended.stderr


def test_the_command_line_takes_a_folder_or_a_new_key(signed: Signed) -> None:
    near, folder = signed.far.near, str(signed.far.folder)
    for arguments in ((), (folder, "--new-key", str(signed.home / "third"))):
        assert near.run("mirror", *arguments).returncode == 2
    assert not (signed.home / "third").exists()
    again = near.run("mirror", "--new-key", str(signed.key))
    assert again.returncode == 2
    assert "File exists" in again.stderr
    copied = signed.far.copy.as_uri()
    relay = near.run("mirror", folder, "--sign-key", str(signed.key), CTISYNC_CTI__URL=copied)
    assert relay.returncode == 2
    assert "whose signature ctisync mirror copies" in relay.stderr
    shutil.rmtree(signed.far.folder)
    missing = near.run("mirror", folder, "--sign-key", str(signed.home / "none"))
    assert missing.returncode == 2
    assert f"ctisync mirror --new-key {signed.home / 'none'}" in missing.stderr
    assert not (signed.far.folder / CONSUMER).exists()
