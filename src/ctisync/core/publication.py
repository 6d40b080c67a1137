"""What a mirror has of a consumer now: its head, and the manifest that the head names."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from ctisync.core.manifest import (
    HEAD,
    LONGEST_HEAD,
    LONGEST_MANIFEST,
    Manifest,
    MirrorFile,
    WrongMirror,
    head_of,
    manifest_name,
    manifest_of,
)

ReadFile = Callable[[str, int], bytes]
"""Returns the content of the file of this name in the consumer's folder; of one with more bytes than the
second argument, that many and one more."""


class Publication(NamedTuple):
    """The manifest, and its `file` and `text`, of which a copy has the same bytes."""

    manifest: Manifest
    file: MirrorFile
    text: bytes


def publication(read: ReadFile, consumer: str) -> Publication:
    """The only way to a manifest: all checks of it are here. `consumer`: `context/name`. Raises WrongMirror,
    and what `read` raises."""
    head = head_of(_whole(read, HEAD, LONGEST_HEAD))
    text = checked(read, head.manifest, LONGEST_MANIFEST)
    manifest = manifest_of(text, consumer)
    if head.manifest.name != manifest_name(manifest.serial, head.manifest.sha256):
        raise WrongMirror(f"it names {head.manifest.name}, which has another name")
    return Publication(manifest, head.manifest, text)


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
