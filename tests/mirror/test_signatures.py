"""Signed mirrors: a reader with trusted keys uses what one of them has signed, and nothing older; the formats
are those of minisign."""

import os
import random
import re
import shutil
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.manifest import HEAD, SIGNATURE, encoded, head_of
from ctisync.core.model import OffsetRange
from ctisync.core.trust import Trust, Untrusted, is_public_key, key_id
from ctisync.errors import FeedRefused, FeedUnreachable, UsageError
from ctisync.signatures import SigningKey, create_key, signer_of
from tests.mirror.parts import CONSUMER, MINISIGN, PUBLIC, Content, Mirror, published, read_all
from tests.mirror.test_hostile import manifest, publish
from tests.support.feed_history import churn
from tests.support.web_folder import WebFolder

CONTENT: Final = (MINISIGN / "content").read_bytes()
OTHER: Final = (MINISIGN / "password.pub").read_text().splitlines()[1]
TRUST: Final = Trust((OTHER, PUBLIC))


def made(name: str) -> bytes:
    return (MINISIGN / f"{name}.minisig").read_bytes()


# The formats.


def test_what_minisign_has_signed_is_signed_by_that_key() -> None:
    for name, key in (("content", PUBLIC), ("comment", PUBLIC), ("other", OTHER)):
        assert signer_of(CONTENT, made(name), [OTHER, PUBLIC]) == key


def test_ctisync_signs_the_bytes_that_minisign_does() -> None:
    text = made("content")
    (seconds,) = re.findall(rb"timestamp:(\d+)", text)
    at = datetime.fromtimestamp(int(seconds), UTC)
    assert SigningKey(MINISIGN / "plain.key").signature(CONTENT, "content", at) == text


def test_a_signature_of_other_bytes_of_another_key_or_of_the_legacy_format_is_refused() -> None:
    for content, name, why in (
        (CONTENT + b"\n", "content", "not of these bytes"),
        (CONTENT, "other", f"key {key_id(OTHER)} has signed it, which is not"),
        (CONTENT, "legacy", "legacy format"),
    ):
        with pytest.raises(Untrusted, match=why):
            signer_of(content, made(name), [PUBLIC])


def test_each_byte_of_a_signature_counts_but_for_its_first_comment() -> None:
    text = made("content")
    free = len(text.partition(b"\n")[0])
    for at in range(len(text)):
        for bit in range(8):
            flipped = bytearray(text)
            flipped[at] ^= 1 << bit
            try:
                signer_of(CONTENT, bytes(flipped), [PUBLIC])
            except Untrusted:
                continue
            # An end of a line may be another one, and unused bits of base64 may be set.
            assert at < free or bytes(flipped).splitlines()[2] == text.splitlines()[2], at


def test_what_is_no_signature_is_refused() -> None:
    short = b"untrusted comment: a\nRUQ=\ntrusted comment: b\nAA==\n"
    for text in (b"", b"\n\n\n\n", short, made("content")[:-9], made("content") + b"more\n", bytes(1 << 14)):
        with pytest.raises(Untrusted, match="cannot be read"):
            signer_of(CONTENT, text, [PUBLIC])


def test_a_new_key_is_readable_for_its_user_alone_and_replaces_none(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "mirror.key"
    public = create_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert is_public_key(public)
    assert (tmp_path / "keys" / "mirror.key.pub").read_text().splitlines()[1] == public
    assert SigningKey(file).public == public
    before = file.read_bytes()
    with pytest.raises(UsageError):
        create_key(file)
    assert file.read_bytes() == before
    assert create_key(tmp_path / "other.key") != public


def test_a_key_that_cannot_sign_is_refused_before_anything_is_published(tmp_path: Path) -> None:
    public, secret = (MINISIGN / "plain.pub").read_bytes(), (MINISIGN / "plain.key").read_bytes()
    first, second = secret.splitlines()
    damaged = bytearray(b64decode(second))
    damaged[70] ^= 1  # within the half that signs
    for content, why in (
        (public, "no secret key"),
        (b"", "no secret key"),
        (bytes(1 << 20), "no secret key"),
        (first + b"\n" + b64encode(damaged), "two halves"),
        ((MINISIGN / "password.key").read_bytes(), "has a password"),
    ):
        (tmp_path / "a.key").write_bytes(content)
        with pytest.raises(UsageError, match=why):
            SigningKey(tmp_path / "a.key")
    with pytest.raises(UsageError, match="cannot read"):
        SigningKey(tmp_path / "none.key")


# A reader with trusted keys.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    key = SigningKey(MINISIGN / "plain.key")
    with published(tmp_path_factory.mktemp("whole"), changes=30, key=key) as mirror:
        yield mirror


@pytest.fixture
def truth(whole: Mirror) -> Content:
    return read_all(whole.reader(trust=TRUST))


def signature_file(mirror: Mirror) -> Path:
    head = head_of((mirror.place / HEAD).read_bytes())
    return mirror.place / f"{head.manifest.name}{SIGNATURE}"


def refusal(mirror: Mirror, trust: Trust = TRUST) -> str:
    """What a reader says, of which nothing can be had."""
    with pytest.raises(FeedRefused) as caught:
        mirror.reader(trust=trust).consumer_info()
    assert caught.value.hint
    return caught.value.message


def test_the_reader_knows_who_has_signed_and_the_serial(whole: Mirror) -> None:
    info = whole.reader(trust=TRUST).consumer_info()
    assert info.mirror is not None
    assert (info.mirror.key, info.mirror.serial) == (PUBLIC, manifest(whole).serial)


def test_without_trusted_keys_no_signature_is_read(mirror: Mirror, truth: Content) -> None:
    signature_file(mirror).write_bytes(b"none")
    info, changes, snapshot = read_all(mirror.reader())
    assert (changes, snapshot) == truth[1:]
    assert info.mirror is not None
    assert info.mirror.key is None


def test_any_byte_flipped_in_head_manifest_or_signature_is_the_truth_or_an_error(
    mirror: Mirror, truth: Content
) -> None:
    chance, refused = random.Random(1), 0
    signature = signature_file(mirror)
    for path in (mirror.place / HEAD, signature.with_suffix(""), signature):
        content = path.read_bytes()
        for at in sorted(chance.sample(range(len(content)), 60)):
            damaged = bytearray(content)
            damaged[at] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            try:
                content_read = read_all(mirror.reader(trust=TRUST))
            except (FeedRefused, FeedUnreachable):
                refused += 1
            else:
                assert content_read == truth
        path.write_bytes(content)
    assert refused > 150
    assert read_all(mirror.reader(trust=TRUST)) == truth


def test_a_forged_manifest_is_refused_unsigned_with_an_old_signature_and_with_one_of_another_key(
    mirror: Mirror, tmp_path: Path
) -> None:
    old = signature_file(mirror).read_bytes()
    forged = manifest(mirror)
    forged.feed["name"] = "forged"
    publish(mirror, forged)
    assert "it is not signed" in refusal(mirror)
    signature_file(mirror).write_bytes(old)
    assert "not of these bytes" in refusal(mirror)
    create_key(tmp_path / "another.key")
    text, name = encoded(forged), signature_file(mirror).stem
    another = SigningKey(tmp_path / "another.key").signature(text, name, datetime.now(UTC))
    signature_file(mirror).write_bytes(another)
    assert "not one of cti.trusted_keys" in refusal(mirror)


def test_the_signature_is_checked_before_the_manifest_is_decoded(mirror: Mirror) -> None:
    """Of an author without a key, the reader decodes nothing but the head."""
    forged = manifest(mirror)
    forged.feed["x" * 300] = "longer than a manifest may have"
    publish(mirror, forged)
    signature_file(mirror).write_bytes(made("content"))
    assert "not of these bytes" in refusal(mirror)
    assert "cannot be read" in refusal(mirror, Trust())


def put_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def put_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_endless(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("put", [put_link, put_pipe, put_endless])
def test_a_link_a_pipe_or_a_file_without_end_is_no_signature(
    mirror: Mirror, put: Callable[[Path], None]
) -> None:
    put(signature_file(mirror))
    reader = mirror.reader(trust=TRUST)
    with pytest.raises(FeedRefused):
        reader.consumer_info()
    assert reader.received < 1 << 20


def test_a_folder_that_becomes_older_during_a_pass_is_refused(mirror: Mirror) -> None:
    older = mirror.copied()
    mirror.clock.advance(hours=1)
    churn(mirror.feed.history, 5, seed=2)
    mirror.publish()
    reader = mirror.reader(trust=TRUST)
    last_offset = reader.consumer_info().last_offset
    assert last_offset is not None
    shutil.rmtree(mirror.root)
    shutil.copytree(older, mirror.root)
    with pytest.raises(Untrusted, match="older"):
        reader.changes(OffsetRange(last_offset - 5, last_offset))


def test_an_expired_manifest_is_refused_and_one_from_the_future_too(mirror: Mirror) -> None:
    """The reader's clock stands at the publisher's first pass."""
    day = Trust((PUBLIC,), timedelta(days=1))
    mirror.reader(trust=day).consumer_info()
    mirror.clock.advance(hours=1)
    mirror.publish()
    assert "in the future" in refusal(mirror, day)
    mirror.clock.advance(hours=-50)
    mirror.publish()
    assert "older than cti.max_manifest_age" in refusal(mirror, day)
    mirror.reader(trust=TRUST).consumer_info()


def test_a_signature_stays_as_long_as_its_manifest(mirror: Mirror) -> None:
    for _ in range(3):
        mirror.clock.advance(days=2)
        mirror.publish()
        names = {path.name for path in mirror.place.iterdir()}
        manifests = {name for name in names if re.fullmatch(r"m-.*\.json", name)}
        assert {f"{name}{SIGNATURE}" for name in manifests} == {
            name for name in names if name.endswith(SIGNATURE)
        }
        assert 1 <= len(manifests) <= 3


def test_a_folder_that_was_lost_or_restored_from_a_backup_gets_higher_serials_again(mirror: Mirror) -> None:
    backup = mirror.copied()
    serials = []
    for _ in range(3):
        mirror.clock.advance(hours=1)
        mirror.publish()
        serials.append(manifest(mirror).serial)
    for restored in (True, False):
        shutil.rmtree(mirror.root)
        if restored:
            shutil.copytree(backup, mirror.root)
        mirror.clock.advance(hours=1)
        mirror.publish()
        serials.append(manifest(mirror).serial)
    assert serials == sorted(set(serials))


# A mirror of a mirror.


def copy_into(mirror: Mirror, folder: Path, url: str) -> None:
    mirror.trusted = (PUBLIC,)
    try:
        with mirror.opened_of(url, folder) as copier:
            copier.run()
    finally:
        mirror.trusted = ()


@pytest.fixture(params=["folder", "server"])
def url(request: pytest.FixtureRequest, mirror: Mirror) -> Iterator[str]:
    """Of the mirror, as the feed of another one."""
    if request.param == "folder":
        yield mirror.root.as_uri()
        return
    with WebFolder(mirror.root) as web:
        yield f"mirror+{web.url}"


def test_a_copy_has_the_signature_and_refuses_what_is_not_signed_or_is_older(
    mirror: Mirror, url: str, truth: Content, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    older = mirror.copied()
    copy_into(mirror, second, url)
    assert read_all(mirror.reader(second, TRUST)) == truth
    mirror.clock.advance(hours=1)
    mirror.publish()
    copy_into(mirror, second, url)
    newer = read_all(mirror.reader(second, TRUST))
    assert newer != truth
    signature_file(mirror).unlink()
    with pytest.raises(Untrusted, match="it is not signed"):
        copy_into(mirror, tmp_path / "third", url)
    assert not (tmp_path / "third" / str(CONSUMER) / HEAD).exists()
    shutil.rmtree(mirror.root)
    shutil.copytree(older, mirror.root)
    with pytest.raises(Untrusted, match="it is older"):
        copy_into(mirror, second, url)
    assert read_all(mirror.reader(second, TRUST)) == newer


def test_a_copy_without_trusted_keys_keeps_the_signature_for_those_who_check_it(
    mirror: Mirror, url: str, truth: Content, tmp_path: Path
) -> None:
    with mirror.opened_of(url, tmp_path / "second") as copier:
        copier.run()
    assert read_all(mirror.reader(tmp_path / "second", TRUST)) == truth
