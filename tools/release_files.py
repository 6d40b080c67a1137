"""What lies beside archive and wheel in `dist/`: the pinned requirements, a list of parts, hashes of all.

    python -m tools.release_files dist

The list is an SBOM (CycloneDX 1.6, JSON) of what `requirements/runtime.txt` pins: the same tree makes the
same bytes, and nothing in it is of the machine that made it.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final, NamedTuple
from uuid import NAMESPACE_DNS, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT: Final = Path(__file__).parents[1]
RUNTIME: Final = ROOT / "requirements" / "runtime.txt"

_PIN: Final = re.compile(r"(?m)^([\w.-]+)==(\S+)((?:.*\\\n)(?:\s+--hash=.*\n)+)\s+# via (.*)$")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Pin(NamedTuple):
    """A package of the run-time set: the hashes of its files, and by which packages it is wanted."""

    name: str
    version: str
    hashes: tuple[str, ...]
    required_by: tuple[str, ...]


def pins(text: str) -> Iterator[Pin]:
    """Those of a lock file."""
    for name, version, hashes, required_by in _PIN.findall(text):
        by = tuple(part.split()[0] for part in required_by.split(", ") if not part.startswith("-"))
        yield Pin(name, version, tuple(_HASH.findall(hashes)), by)


def parts(text: str, version: str) -> str:
    """The SBOM of a lock file, and of that version of ctisync."""
    license_of = LicenseFactory()
    root = Component(
        name="ctisync",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="ctisync",
        licenses=[license_of.make_from_string("Apache-2.0", license_acknowledgement=_DECLARED)],
        purl=PackageURL("pypi", name="ctisync", version=version),
    )
    listed = list(pins(text))
    components = {"ctisync": root} | {
        pin.name: Component(
            name=pin.name,
            version=pin.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{pin.name}@{pin.version}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pin.hashes],
            licenses=[
                license_of.make_from_string(license_of_it, license_acknowledgement=_DECLARED)
                for license_of_it in _licences(pin)
            ],
            purl=PackageURL("pypi", name=pin.name, version=pin.version),
        )
        for pin in listed
    }
    serial = uuid5(NAMESPACE_DNS, f"ctisync {version} {hashlib.sha256(text.encode()).hexdigest()}")
    bom = Bom(components=[components[pin.name] for pin in listed], serial_number=serial)
    bom.metadata.component = root
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the schema doesn't ask for one
    for name, component in components.items():
        bom.register_dependency(
            component, [components[pin.name] for pin in listed if name in pin.required_by]
        )
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


_DECLARED: Final = LicenseAcknowledgement.DECLARED


def _licences(pin: Pin) -> list[str]:
    """As the package says in the one field that is made for programs (PEP 639)."""
    try:
        package = metadata(pin.name)
    except PackageNotFoundError:  # not for this platform
        return []
    licences: list[str] = package.get_all("License-Expression", [])
    return licences if package["Version"] == pin.version else []


def main(folder: Path) -> None:
    """For the one wheel in the folder, whose name has the version."""
    (wheel,) = folder.glob("ctisync-*.whl")
    version = wheel.name.split("-")[1]
    text = RUNTIME.read_text(encoding="utf-8")
    (folder / f"ctisync-{version}-requirements.txt").write_text(text, encoding="utf-8")
    (folder / f"ctisync-{version}.cdx.json").write_text(parts(text, version), encoding="utf-8")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
