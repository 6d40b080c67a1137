"""Compare versions, each by the rules of its format, and decide whether a version is affected.

The schemes: `dpkg` by deb-version(7); `rpm` by rpm-version(7); `pep440` by PEP 440; `semver` by Semantic
Versioning 2.0.0. `any`, as in Wazuh's scanner: a version is the first of a calendar version, PEP 440, semver,
dpkg and rpm that it can be read as, and two versions of unlike kinds have no order.

A version becomes a key once, so that a comparison with many bounds parses it once.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from ctisync.core.facts import Affected, VersionRange

Scheme = Literal["dpkg", "rpm", "pep440", "semver", "any"]

SCHEMES: Final[dict[str, Scheme]] = {
    "deb": "dpkg",
    "win": "dpkg",
    "pkg": "dpkg",
    "macports": "dpkg",
    "pacman": "dpkg",
    "snap": "dpkg",
    "rpm": "rpm",
    "pypi": "pep440",
    "npm": "semver",
}
"""By the format of a package (API fact: `package.type` of Wazuh's inventory). Any other: `any`."""

LONGEST: Final = 256
"""Characters. Real versions have fewer than a hundred; a longer one has no order."""

_FIRST: Final = ("", "0", "*")
"""Lower bounds that exclude nothing."""

_LAST: Final = ("", "*")
"""Upper bounds that exclude nothing (CVE record format)."""


class Key(NamedTuple):
    """A version, ready to be compared with one of the same `kind`."""

    kind: str
    value: Any


def key(scheme: Scheme, version: str) -> Key | None:
    """The version by the rules of the scheme; None if it is not one."""
    return _key(scheme, version) if len(version) <= LONGEST else None


@lru_cache(4096)
def _key(scheme: Scheme, version: str) -> Key | None:
    kinds = _ANY if scheme == "any" else (scheme,)
    keys = (Key(kind, value) for kind in kinds if (value := _READERS[kind](version.strip())) is not None)
    return next(keys, None)


def order(left: Key | None, right: Key | None) -> int | None:
    """-1, 0 or 1, as the left version is before, equal to or after the right one; None if they cannot be
    compared."""
    if left is None or right is None or left.kind != right.kind:
        return None
    return int(left.value > right.value) - int(left.value < right.value)


def _digits(text: str) -> tuple[int, str]:
    """A number of any length, in the order of its value."""
    text = text.lstrip("0")
    return len(text), text


_EPOCH: Final = re.compile("[0-9]{1,10}")
_UPSTREAM: Final = re.compile("[0-9][A-Za-z0-9.+~:-]*")
_REVISION: Final = re.compile("[A-Za-z0-9.+~]+")
_PARTS: Final = re.compile("([^0-9]*)([0-9]*)")


def _dpkg(version: str) -> Any:
    epoch, rest = version.split(":", 1) if ":" in version else ("0", version)
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, "0"  # no revision is the revision 0
    is_one = _EPOCH.fullmatch(epoch) and _UPSTREAM.fullmatch(upstream) and _REVISION.fullmatch(revision)
    return (int(epoch), _deb_parts(upstream), _deb_parts(revision)) if is_one else None


def _deb_parts(text: str) -> tuple[Any, ...]:
    """Words and numbers in turn, with an end that sorts after `~` and before all else."""
    parts: list[Any] = []
    for word, number in _PARTS.findall(text):
        parts += (*map(_deb_weight, word), 0), _digits(number)
    return tuple(parts)


def _deb_weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


_TOKENS: Final = re.compile(r"([0-9]+)|([A-Za-z]+)|(~)|(\^)", re.ASCII)


def _rpm(version: str) -> Any:
    epoch, rest = version.split(":", 1) if ":" in version else ("0", version)
    name, _, release = rest.partition("-")
    return (int(epoch), _rpm_tokens(name), _rpm_tokens(release)) if rest and _EPOCH.fullmatch(epoch) else None


def _rpm_tokens(text: str) -> tuple[Any, ...]:
    """In the order `~`, end, `^`, letters, number; what separates them has no meaning."""
    tokens: list[Any] = []
    for number, letters, tilde, _ in _TOKENS.findall(text):
        if number:
            tokens.append((4, *_digits(number)))
        else:
            tokens.append((3, letters) if letters else (0 if tilde else 2,))
    return (*tokens, (1,))


def _pep440(version: str) -> Any:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version)
    except (InvalidVersion, ValueError):
        return None


_NUMBER: Final = r"(0|[1-9][0-9]*)"
_SEMVER: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)


def _semver(version: str) -> Any:
    if (match := _SEMVER.fullmatch(version)) is None:
        return None
    *numbers, before = match.groups()
    release = tuple(map(_digits, numbers))
    if before is None:
        return release, (2,)
    return (
        release,
        (1,),
        *((0, *_digits(part)) if part.isdigit() else (1, part) for part in before.split(".")),
    )


_CALENDAR: Final = re.compile(r"([0-9]{4}|[0-9]{2})(?:\.([0-9]{1,2}))?(?:\.([0-9]{1,2}))?(?:\.([0-9]+))?")


def _calendar(version: str) -> Any:
    if (match := _CALENDAR.fullmatch(version)) is None:
        return None
    year, month, day, micro = match.groups("0")
    if int(month) > 12 or int(day) > 31:
        return None
    return int(year) + 2000 * (len(year) == 2), int(month), int(day), _digits(micro)


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "calendar": _calendar,
    "public": lambda version: None if "+" in version else _pep440(version),
    "pep440": _pep440,
    "semver": _semver,
    "dpkg": _dpkg,
    "rpm": _rpm,
}

_ANY: Final = ("calendar", "public", "semver", "dpkg", "rpm")
"""Wazuh's scanner leaves local versions of PEP 440 to the schemes after it."""


class Assessment(NamedTuple):
    """Whether a version is affected, and the range that decides; None if no range does. "perhaps": it cannot
    be compared with a bound."""

    affected: Literal["yes", "no", "perhaps"]
    range: VersionRange | None = None


def affects(product: Affected, scheme: Scheme, version: str) -> Assessment:
    """Whether the version of the product is affected: the first range that has the version decides, else the
    default status (CVE record format, `versions`). A status other than "affected" is no."""
    installed, text = key(scheme, version), version.strip()
    statuses: set[str] = set()
    deciding: VersionRange | None = None
    for each in product.ranges:
        inside = _contains(each, scheme, installed, text)
        if inside is False:
            continue
        of_range = _statuses(each, scheme, installed)
        statuses |= of_range
        if deciding is None and "affected" in of_range:
            deciding = each
        if inside:
            break
    else:
        statuses.add(product.default_status)
    if "affected" not in statuses:
        return Assessment("no")
    return Assessment("yes" if statuses == {"affected"} else "perhaps", deciding)


def _contains(each: VersionRange, scheme: Scheme, installed: Key | None, text: str) -> bool | None:
    """Whether the version is in the range; None if it cannot be compared with a bound."""
    if not each.less_than and not each.less_than_or_equal:
        if each.version in (text, "*"):
            return True
        distance = order(installed, key(scheme, each.version))
        return None if distance is None else distance == 0
    above = below = True
    unclear = False
    if each.version not in _FIRST:
        distance = order(installed, key(scheme, each.version))
        unclear, above = distance is None, distance is None or distance >= 0
    if each.less_than not in _LAST:
        distance = order(installed, key(scheme, each.less_than))
        unclear, below = unclear or distance is None, distance is None or distance < 0
    elif each.less_than_or_equal not in _LAST:
        distance = order(installed, key(scheme, each.less_than_or_equal))
        unclear, below = unclear or distance is None, distance is None or distance <= 0
    if not (above and below):
        return False
    return None if unclear else True


def _statuses(each: VersionRange, scheme: Scheme, installed: Key | None) -> set[str]:
    """The status of a version in the range; two or more if it cannot be compared with that of a change."""
    statuses = {each.status}
    for change in each.changes:
        distance = order(installed, key(scheme, change.at))
        if distance is None:
            statuses.add(change.status)
        elif distance >= 0:
            statuses = {change.status}
    return statuses
