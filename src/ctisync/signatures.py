"""Signatures of manifests in minisign's format: `minisign -V` checks those of ctisync, and ctisync those of
`minisign -S`."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from ctisync import hints
from ctisync.core.trust import Untrusted, key_id
from ctisync.errors import UsageError
from ctisync.escaping import quoted
from ctisync.system.files import create_file, open_any

_LONGEST_KEY: Final = 4 << 10


def signer_of(content: bytes, signature: bytes | None, keys: Sequence[str]) -> str:
    """The one of these public keys that has signed the content. Raises Untrusted."""
    from minisign import Error, PublicKey, Signature

    if signature is None:
        raise Untrusted(
            "it is not signed",
            hint="on the publisher: ctisync mirror DIR --sign-key FILE; then copy the mirror again",
        )
    try:
        parsed = Signature.from_bytes(signature)
    except Error as error:
        raise _damaged(f"its signature cannot be read: {error}") from None
    if not parsed.is_prehashed():
        raise Untrusted(
            "its signature has the legacy format of minisign, which is not accepted",
            hint="sign it with minisign 0.11 or later, without -l; then copy the mirror again",
        )
    signer = key_id(signature.splitlines()[1])
    candidates = [key for key in keys if key_id(key) == signer]
    if not candidates:
        raise Untrusted(
            f"key {signer} has signed it, which is not one of cti.trusted_keys",
            hint="do not use this mirror, unless its publisher has changed the key: then add the new one",
        )
    for key in candidates:
        try:
            PublicKey.from_base64(key).verify(content, parsed)
            return key
        except ValueError:  # the library's own error is one
            continue
    raise _damaged("its signature is not of these bytes")


def _damaged(text: str) -> Untrusted:
    return Untrusted(text, hint="copy the mirror again; if that does not help, do not use it")


class SigningKey:
    """A secret key, in the file of `minisign -G -W`. Raises UsageError if it cannot be used."""

    def __init__(self, file: Path) -> None:
        from minisign import Error, SecretKey

        try:
            with open_any(file) as stream:
                self._key: SecretKey = SecretKey.from_bytes(stream.read(_LONGEST_KEY))
        except OSError as error:
            hint = f"ls -l {quoted(file)}"
            if isinstance(error, FileNotFoundError):
                hint = hints.command("mirror", f"--new-key {quoted(file)}")
            raise UsageError(f"--sign-key: cannot read {file}: {error.strerror}", hint=hint) from None
        except Error as error:
            raise _unusable(file, str(error)) from None
        if self._key.is_encrypted():
            raise UsageError(
                f"--sign-key: {file} has a password, which a timer cannot type",
                hint=f"minisign -C -W -s {quoted(file)}",
            )
        self.public: str = self._key.get_public_key().to_base64().decode()
        try:  # minisign writes no checksum into a file without a password
            signer_of(b"", bytes(self._key.sign(b"")), [self.public])
        except Untrusted:
            raise _unusable(file, "its two halves do not belong together") from None

    def signature(self, content: bytes, name: str, now: datetime) -> bytes:
        """The text of the file that minisign writes beside the file of this name."""
        comment = f"timestamp:{now.timestamp():.0f}\tfile:{name}\thashed"
        return bytes(self._key.sign(content, trusted_comment=comment)) + b"\n"


def _unusable(file: Path, why: str) -> UsageError:
    return UsageError(
        f"--sign-key: {file} is no secret key of minisign: {why}",
        hint="make one: ctisync mirror --new-key FILE",
    )


def create_key(file: Path) -> str:
    """Make a key without a password, as `minisign -G -W` does: the secret key in `file`, which only this user
    can read, and the public one beside it in `FILE.pub`. Returns the public key. Raises UsageError, also if
    one of the files exists."""
    from minisign import KeyPair

    pair = KeyPair.generate()
    public: str = pair.public_key.to_base64().decode()
    hint = "choose the name of a new file"
    create_file(file, f"{bytes(pair.secret_key).decode()}\n", hint=hint, mode=0o600)
    comment = f"untrusted comment: minisign public key {key_id(public)}"
    create_file(file.with_name(f"{file.name}.pub"), f"{comment}\n{public}\n", hint=hint)
    return public
