"""What is installed on a host, from what package managers print, from Wazuh's inventory, or from CycloneDX.

- `dpkg-query` and `rpm`: a line per package, with tabs: name, version, vendor, and of dpkg the status.
- Wazuh's inventory: a JSON document per line, as its indices keep it: `package`, `package.hotfix`, `host.os`.
- CycloneDX: one JSON document with `components`.
"""

import codecs
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from ctisync.core.json_text import CannotDecode, decode
from ctisync.core.lenient import as_object
from ctisync.core.model import Json
from ctisync.core.scanner import Package, Platform

MOST_BYTES: Final = 64 << 20
"""Of an inventory. A host has some thousand packages, a fleet's inventory some million bytes."""

_LONGEST: Final = 1000
"""Characters of a name, version or vendor."""

_FORMATS: Final = {
    "deb": ("debian", "ubuntu", "linuxmint", "pop", "raspbian"),
    "pacman": ("arch", "manjaro"),
    "rpm": (
        *("rhel", "centos", "fedora", "almalinux", "rocky", "ol", "amzn"),
        *("sles", "sled", "opensuse-leap", "opensuse-tumbleweed"),
    ),
}

_CODE_NAMES: Final = {
    "debian": {
        "8": "jessie",
        "9": "stretch",
        "10": "buster",
        "11": "bullseye",
        "12": "bookworm",
        "13": "trixie",
    },
    "ubuntu": {
        "14.04": "trusty",
        "16.04": "xenial",
        "18.04": "bionic",
        "20.04": "focal",
        "22.04": "jammy",
        "24.04": "noble",
        "25.04": "plucky",
        "25.10": "questing",
    },
}


class WrongInventory(ValueError):
    """The text says what is wrong, and in which line."""


class Inventory(msgspec.Struct):
    """`platform`: the operating system, if it is in there. `hotfixes`: of Windows, such as "KB5034763".
    `odd`: the number of lines and components that are no package."""

    packages: list[Package] = []
    platform: Platform | None = None
    hotfixes: set[str] = set()
    odd: int = 0


def platform_of(text: str) -> Platform:
    """`debian:12`, `debian:bookworm`, `rhel:9`, `windows:10.0.19045.4043`. Raises WrongInventory."""
    name, colon, version = text.strip().partition(":")
    name = name.strip().lower()
    if not colon or not name or not version:
        raise WrongInventory(f"{text} is not a platform and its version")
    names = _CODE_NAMES.get(name, {})
    code_name = names.get(version) or names.get(version.partition(".")[0], "")
    if names and not code_name:
        code_name = version.lower()
        version = next((number for number, each in names.items() if each == code_name), "")
        if not version:
            all_names = ", ".join(f"{number} ({each})" for number, each in names.items())
            raise WrongInventory(
                f"the version of {text} is unknown; known are {all_names}, and each code name"
            )
    return Platform(platform=name, name=name, version=version, code_name=code_name)


def format_of(platform: Platform | None) -> str:
    """The format of the platform's own packages; empty if it is not known."""
    name = "" if platform is None else platform.platform
    return next((form for form, names in _FORMATS.items() if name in names), "")


def read_inventory(text: bytes, platform: Platform | None) -> Inventory:
    """The packages. `platform`: as you gave it, which counts more than that of the inventory. Raises
    WrongInventory for a text that is none of the forms."""
    stripped = text.removeprefix(codecs.BOM_UTF8).lstrip()
    if not stripped.startswith(b"{"):
        return _of_lines(stripped, platform)
    try:
        whole = decode(stripped)
    except CannotDecode:
        whole = None
    if isinstance(whole, dict) and ("bomFormat" in whole or "components" in whole):
        return _of_cyclonedx(whole, platform)
    return _of_wazuh(stripped, platform)


def _of_lines(text: bytes, platform: Platform | None) -> Inventory:
    inventory, form = Inventory(platform=platform), format_of(platform)
    for line in text.decode("utf-8", "replace").splitlines():
        fields = [field.strip() for field in line.split("\t")]
        if not line.strip():
            continue
        if len(fields) < 2 or not fields[0] or not fields[1] or len(line) > 3 * _LONGEST:
            inventory.odd += 1
        elif len(fields) < 4 or fields[3][1:2] == "i":  # dpkg: installed, not only its settings
            vendor = fields[2] if len(fields) > 2 and fields[2] != "(none)" else ""
            version = fields[1].removeprefix("(none):")
            inventory.packages.append(Package(name=fields[0], version=version, vendor=vendor, format=form))
    if inventory.odd and not inventory.packages:
        raise WrongInventory("no line has a name, a tab and a version")
    return inventory


def _of_wazuh(text: bytes, platform: Platform | None) -> Inventory:
    inventory, own = Inventory(platform=platform), None
    number, hosts = 0, set[str]()
    for number, line in enumerate(text.splitlines(), start=1):  # it is in the message
        if not line.strip():
            continue
        try:
            document = decode(line)
        except CannotDecode as error:
            raise WrongInventory(f"line {number} is not JSON: {error}") from None
        document = as_object(document)
        document = as_object(document.get("_source")) or document
        hosts.add(_text(as_object(document.get("agent")).get("id")))
        if len(hosts - {""}) > 1:
            raise WrongInventory(f"line {number} is of another host than the lines before it")
        os = as_object(as_object(document.get("host")).get("os"))
        own = own or (_platform(os) if os else None)
        package = as_object(document.get("package"))
        hotfix = _text(as_object(package.get("hotfix")).get("name"))
        if hotfix:
            inventory.hotfixes.add(hotfix)
        elif name := _text(package.get("name")):
            inventory.packages.append(
                Package(
                    name=name,
                    version=_text(package.get("version")),
                    vendor=_text(package.get("vendor")),
                    format=_text(package.get("type")).lower(),
                    origin=_text(package.get("source")),
                )
            )
        elif not os:
            inventory.odd += 1
    inventory.platform = inventory.platform or own
    return inventory


def _platform(os: dict[str, Any]) -> Platform:
    """`host.os` of Wazuh's inventory: `platform`, `name`, `version`, `codename`, `distribution.release`."""
    platform = _text(os.get("platform")).lower()
    version = _text(os.get("version"))
    number = version.partition(" ")[0]  # of "22.04.4 LTS (Jammy Jellyfish)"
    code_name = _text(os.get("codename")).lower()
    names = _CODE_NAMES.get(platform, {})
    by_number = (
        names.get(number) or names.get(".".join(number.split(".")[:2])) or names.get(number.split(".")[0])
    )
    release = _text(as_object(os.get("distribution")).get("release"))
    return Platform(
        platform=platform,
        name=_text(os.get("name")),
        version=number,
        code_name=by_number or code_name,
        display_version=release,
        release=release,
    )


def _of_cyclonedx(document: dict[str, Any], platform: Platform | None) -> Inventory:
    inventory = Inventory(platform=platform)
    for component in _components(document.get("components")):
        purl = _text(component.get("purl"))
        kind = purl.removeprefix("pkg:").partition("/")[0] if purl.startswith("pkg:") else ""
        name, version = _text(component.get("name")), _text(component.get("version"))
        if not name or not version or _text(component.get("type")) == "operating-system":
            inventory.odd += 1
            continue
        supplier = _text(as_object(component.get("supplier")).get("name")) or _text(
            component.get("publisher")
        )
        epoch = next(
            (each[6:] for each in purl.partition("?")[2].split("&") if each.startswith("epoch=")), ""
        )
        if epoch.isdecimal() and ":" not in version:
            version = f"{epoch}:{version}"
        inventory.packages.append(Package(name=name, version=version, vendor=supplier, format=kind))
    return inventory


def _components(rows: Json) -> Iterator[dict[str, Any]]:
    """Components, and those in them."""
    waiting: list[Iterable[Any]] = [rows if isinstance(rows, list) else []]
    while waiting:
        for each in waiting.pop():
            component = as_object(each)
            yield component
            if isinstance(inner := component.get("components"), list):
                waiting.append(inner)


def _text(value: Json) -> str:
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""
