"""A certificate authority for tests; Java can also read its files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_ORGANISATION: Final = "ctisync"
_UNIT: Final = "tests"


class KeyPair(NamedTuple):
    """PEM files: a certificate, and its private key in PKCS#8."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates of `localhost` and 127.0.0.1 for any user name; the files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self.folder = folder
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(
        self,
        name: str,
        *,
        file: str | None = None,
        ends: datetime | None = None,
        passphrase: bytes | None = None,
    ) -> KeyPair:
        """A certificate whose common name is `name`, until `ends`, its key locked with the passphrase."""
        issued = self._authority.issue_cert(
            "localhost",
            "127.0.0.1",
            common_name=name,
            organization_name=_ORGANISATION,
            organization_unit_name=_UNIT,
            not_after=ends,
        )
        pair = KeyPair(self.folder / f"{file or name}.pem", self.folder / f"{file or name}-key.pem")
        issued.cert_chain_pems[0].write_to_path(str(pair.certificate))
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        locked = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        pair.key.touch(0o600)  # who looks after permissions shall find nothing to say
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        return pair


def distinguished_name(name: str) -> str:
    """The distinguished name of a certificate with this common name, as in the settings of OpenSearch."""
    return f"CN={name},OU={_UNIT},O={_ORGANISATION}"
