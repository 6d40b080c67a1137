"""What a mirror has of a consumer now: its head, the manifest that the head names, and its signature."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from ctisync.core.manifest import (
    HEAD,
    LONGEST_HEAD,
    LONGEST_MANIFEST,
    LONGEST_SIGNATURE,
    SIGNATURE,
    Manifest,
    MirrorFile,
    WrongMirror,
    head_of,
    manifest_name,
    manifest_of,
)
from ctisync.core.model import Mirrored
from ctisync.errors import FeedUnreachable

ReadFile = Callable[[str, int], bytes]
"""Returns the content of the file of this name in the consumer's folder; of one with more bytes than the
second argument, that many and one more."""

Verify = Callable[[bytes, bytes | None], str]
"""Returns the trusted key that has signed the first argument with a signature, the second one. Raises
Untrusted."""


class Publication(NamedTuple):
    """The manifest, and its `file` and `text`, of which a copy has the same bytes. `signature`: the bytes of
    that file, None if it was not read, or is not there. `key`: the trusted key that has signed, None if no
    signature was checked."""

    manifest: Manifest
    file: MirrorFile
    text: bytes
    signature: bytes | None = None
    key: str | None = None

    @property
    def mirrored(self) -> Mirrored:
        """What a pass learns of it."""
        return Mirrored(self.manifest.checked_at, self.manifest.floor, self.manifest.serial, self.key)


def publication(read: ReadFile, consumer: str, verify: Verify | None = None) -> Publication:
    """The only way to a manifest: all checks of it are here. `consumer`: `context/name`. Without `verify`, no
    signature is read. Raises WrongMirror, and what `read` and `verify` raise."""
    head = head_of(_whole(read, HEAD, LONGEST_HEAD))
    text = checked(read, head.manifest, LONGEST_MANIFEST)
    signature, key = None, None
    if verify is not None:
        signature = signature_of(read, head.manifest)
        key = verify(text, signature)
    manifest = manifest_of(text, consumer)
    if head.manifest.name != manifest_name(manifest.serial, head.manifest.sha256):
        raise WrongMirror(f"it names {head.manifest.name}, which has another name")
    return Publication(manifest, head.manifest, text, signature, key)


def signature_of(read: ReadFile, manifest: MirrorFile) -> bytes | None:
    """The bytes of a manifest's signature, not checked; None if there is none. Raises WrongMirror, and what
    `read` raises."""
    try:
        return _whole(read, f"{manifest.name}{SIGNATURE}", LONGEST_SIGNATURE)
    except FeedUnreachable as error:
        if error.is_missing:
            return None
        raise


def checked(read: ReadFile, file: MirrorFile, most: int) -> bytes:
    """The bytes of a file, at most `most`, which are those that the manifest means. Raises WrongMirror, and
    what `read` raises."""
    if file.size > most:
        raise WrongMirror(f"it would have {file.size} bytes, at most {most} are accepted")
    content = _whole(read, file.name, file.size)
    if len(content) != file.size or hashlib.sha256(content).hexdigest() != file.sha256:
        raise WrongMirror(f"{file.name} is damaged: it has not the size and the digest that it should")
    return content


def _whole(read: ReadFile, name: str, most: int) -> bytes:
    content = read(name, most)
    if len(content) > most:
        raise WrongMirror(f"{name} is damaged: it has more than {most} bytes")
    return content
