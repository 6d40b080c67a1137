"""Which records affect a package or an operating system, as Wazuh's vulnerability scanner decides it.

The feed describes its own matching (API fact, Wazuh 4.14): `FEED-GLOBAL` says which source serves a package,
`CNA-MAPPING-GLOBAL` how the source is called for a platform, `OSCPE-GLOBAL` which CPE a platform has, and
each `TID-` record what software of one name is called in the records.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ctisync.core import json_text
from ctisync.core.facts import Affected
from ctisync.core.lenient import as_object, as_struct
from ctisync.core.model import Json, Record
from ctisync.core.versions import SCHEMES, Assessment, Scheme, affects

NVD: Final = "nvd"

TABLES: Final = ("FEED-GLOBAL", "CNA-MAPPING-GLOBAL", "OSCPE-GLOBAL")
TRANSLATIONS: Final = "TID-"
"""The begin of the names of translations."""

_BY_VENDOR: Final = frozenset({NVD, "cisa"})
"""Sources in which the vendor of a product must be that of the package."""

_SYSTEMS: Final = ("windows", "darwin")

_POINT: Final = re.compile("[.-]")

_MOST_TEXT: Final = 256
"""Characters of a name, vendor or version that a pattern searches."""
_PATTERN_BYTES: Final = 1 << 18
"""Memory of a compiled pattern; one that needs more cannot be read."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """An operating system, as in Wazuh's inventory (`host.os`).

    `name`: such as "Debian GNU/Linux" or "Microsoft Windows 10 Pro"; `platform`: "debian", "windows", "rhel";
    `code_name`: "bookworm"; `display_version`: "22H2"; `release`: of Windows, the service pack.
    """

    platform: str
    name: str = ""
    version: str = ""
    code_name: str = ""
    display_version: str = ""
    release: str = ""

    @property
    def major(self) -> str:
        """ "15" of "15-SP5"."""
        return _POINT.split(self.version, maxsplit=1)[0]

    @property
    def minor(self) -> str:
        return self.version.partition(".")[2].partition(".")[0]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """An installed package. `vendor`: or its maintainer; `format`: "deb", "rpm", "win", "pypi"; `origin`:
    such as "homebrew"."""

    name: str
    version: str
    vendor: str = ""
    format: str = ""
    origin: str = ""

    @property
    def scheme(self) -> Scheme:
        return SCHEMES.get(self.format.lower(), "any")


class _Owner(msgspec.Struct):
    cna: str = ""
    platforms: list[str] = []


class _Translated(msgspec.Struct):
    product: str = ""
    vendor: str = ""
    version: str = ""


class _Pattern(msgspec.Struct):
    product: str = ""
    vendor: str = ""
    version: str = ""


class _Translation(msgspec.Struct):
    source: _Pattern = msgspec.field(default_factory=_Pattern)
    target: list[str] = []
    translation: list[_Translated] = []


class Source(NamedTuple):
    """Where a package is looked up. `base`: without the version of the platform ("redhat" of "redhat_9")."""

    base: str
    name: str


class Scanner:
    """The tables of the feed. `payloads`: of the records of TABLES and of the translations, by name; records
    that are missing or have another form are left out."""

    def __init__(self, payloads: Mapping[str, Json]) -> None:
        feed = as_object(payloads.get("FEED-GLOBAL"))
        self._formats = _pairs(feed.get("format"), str)
        self._origins = _pairs(feed.get("source"), str)
        self._prefixes = _owners(feed.get("prefix"))
        self._contents = _owners(feed.get("contains"))
        defaults = feed.get("adp_default_array")
        names = defaults if isinstance(defaults, list) else []
        self._defaults = [each for each in names if isinstance(each, str)]
        self._scores = {
            base: str(each["cvss"])
            for base, each in as_object(feed.get("adp_descriptions")).items()
            if isinstance(each, dict) and isinstance(each.get("cvss"), str)
        }
        mapping = as_object(payloads.get("CNA-MAPPING-GLOBAL"))
        self._names = as_object(mapping.get("cnaMapping"))
        self._platforms = as_object(mapping.get("platformEquivalence"))
        self._majors = as_object(mapping.get("majorVersionEquivalence"))
        self._cpes = as_object(payloads.get("OSCPE-GLOBAL"))
        self._translations: dict[str, list[_Compiled]] = {}
        """By platform."""
        self._unread: dict[str, list[str]] = {}
        for name, payload in sorted(payloads.items()):
            if name.startswith(TRANSLATIONS) and isinstance(payload, dict):
                translation = as_struct(payload, _Translation)
                try:
                    compiled = _compiled(translation)
                except _Unreadable:
                    self._unread[name] = translation.target
                    continue
                for target in dict.fromkeys(translation.target):
                    self._translations.setdefault(target, []).append(compiled)

    def sources(self, package: Package, platform: Platform) -> list[Source]:
        """Where the package is looked up: in the source of its format, of its origin, or of its vendor on
        this platform; else in NVD, or in what the feed names instead."""
        base = self._formats.get(package.format) or self._origins.get(package.origin)
        base = base or next(
            (
                owner.cna
                for texts, matches in ((self._prefixes, str.startswith), (self._contents, str.__contains__))
                for text, owner in texts
                if platform.platform in owner.platforms and matches(package.vendor, text)
            ),
            None,
        )
        if base is None or base == NVD:
            return [Source(NVD, name) for name in self._defaults or [NVD]]
        return [self._source(base, platform)]

    def system(self, platform: Platform) -> Package | None:
        """The operating system itself as a package; None unless it is Windows or macOS."""
        parts = _parts(self.cpe(platform))
        if platform.platform not in _SYSTEMS or len(parts) < 3 or not parts[2]:
            return None
        return Package(name=parts[2], version=platform.version, vendor=parts[1], format="win")

    def native_source(self, platform: Platform) -> Source | None:
        """The source of the platform's own packages; None if it has none."""
        owners = (owner for _, owner in (*self._prefixes, *self._contents))
        base = next((owner.cna for owner in owners if platform.platform in owner.platforms), None)
        return None if base is None else self._source(base, platform)

    def source_of_score(self, source: Source, platform: Platform) -> str:
        """The source whose score a match shows."""
        return self._source(self._scores.get(source.base, NVD), platform).name

    def cpe(self, platform: Platform) -> str:
        """The CPE of the platform; empty if the feed has none for it."""
        template = next(
            (
                self._cpes[name]
                for name in sorted(self._cpes, reverse=True)
                if platform.name.startswith(name) or platform.platform == name
            ),
            None,
        )
        if not isinstance(template, str):
            return ""
        for mark, value in (
            ("MAJOR_VERSION", platform.major),
            ("MINOR_VERSION", platform.minor),
            ("DISPLAY_VERSION", platform.display_version),
            ("VERSION", platform.version),
            ("RELEASE", platform.release),
            ("VERSION_UPDATE_HYPHEN", platform.version.replace("-", ":")),
        ):
            template = template.replace(f"$({mark})", value)
        return f"cpe:/o:{template.lower()}"

    def translated(self, package: Package, platform: Platform) -> list[Package]:
        """What the package is called in the records: by all translations that fit, else by its name in lower
        case."""
        packages = [
            msgspec.structs.replace(
                package,
                name=each.product or package.name,
                version=translation.version_in(package.name) or each.version or package.version,
                vendor=each.vendor or package.vendor,
            )
            for translation in self._translations.get(platform.platform, ())
            if translation.fits(package)
            for each in translation.names
        ]
        lower = msgspec.structs.replace(package, name=package.name.lower(), vendor=package.vendor.lower())
        return packages or [lower]

    def unread(self, platform: Platform) -> list[str]:
        """The names of translations for this platform that are left out: a pattern cannot be read."""
        return [name for name, targets in self._unread.items() if platform.platform in targets]

    def assess(
        self, product: Affected, package: Package, source: Source, cpe: str, platform: Platform
    ) -> Assessment:
        """Whether an affected product of a record affects the package."""
        if (product.product, product.source) != (package.name, source.name):
            return Assessment("no")
        if not is_on(product.platforms, cpe, platform):
            return Assessment("no")
        if source.name in _BY_VENDOR and product.vendor and product.vendor != package.vendor:
            return Assessment("no")
        return affects(product, package.scheme, package.version)

    def _source(self, base: str, platform: Platform) -> Source:
        name = self._names.get(base, base)
        major = as_object(self._majors.get(platform.platform)).get(platform.major, platform.major)
        name = str(name).replace(
            "$(PLATFORM)", str(self._platforms.get(platform.platform, platform.platform))
        )
        return Source(base, name.replace("$(MAJOR_VERSION)", str(major)))


def is_on(platforms: Sequence[str], cpe: str, platform: Platform) -> bool:
    """Whether the platform is among those of a product; a product without any is on all."""
    return not platforms or any(
        _same_cpe(each, cpe) if each.startswith("cpe:") else each == platform.code_name for each in platforms
    )


def _same_cpe(one: str, other: str) -> bool:
    """Whether two CPEs of operating systems are equal, up to the end of the shorter; `*` is any part."""
    left, right = _parts(one), _parts(other)
    if left[:1] != ["o"] or not right:
        return False
    return all("*" in pair or pair[0] == pair[1] for pair in zip(left, right, strict=False))


def _parts(cpe: str) -> list[str]:
    return cpe.removeprefix("cpe:2.3:").removeprefix("cpe:/").split(":") if cpe else []


class _Unreadable(Exception):
    """A pattern cannot be read."""


class _Compiled(NamedTuple):
    """A translation with its patterns; None for one that the record does not have."""

    product: re.Pattern[str] | None
    vendor: re.Pattern[str] | None
    version: re.Pattern[str] | None
    names: tuple[_Translated, ...]

    def version_in(self, name: str) -> str:
        """The version in the name of a package; empty if there is none."""
        match = _search(self.version, name)
        return "" if match is None or not match.groups() else match.group(1) or ""

    def fits(self, package: Package) -> bool:
        return (self.product is None or _search(self.product, package.name) is not None) and (
            self.vendor is None or _search(self.vendor, package.vendor) is not None
        )


def _compiled(translation: _Translation) -> _Compiled:
    """Raises _Unreadable."""
    source = translation.source
    return _Compiled(
        _pattern(source.product),
        _pattern(source.vendor),
        _pattern(source.version),
        tuple(translation.translation),
    )


def _pattern(text: str) -> re.Pattern[str] | None:
    """Of RE2, which has the methods of Python's own, but searches in linear time whatever the feed sends (ADR
    42). None for no pattern. Raises _Unreadable."""
    if not text:
        return None
    try:
        import re2  # only `match` needs it
    except ImportError as error:  # a machine without a wheel of it
        raise _Unreadable from error
    options = re2.Options()
    options.max_mem, options.log_errors = _PATTERN_BYTES, False
    try:
        compiled: re.Pattern[str] = re2.compile(text, options)
    except re2.error as error:
        raise _Unreadable from error
    return compiled


def _search(pattern: re.Pattern[str] | None, text: str) -> re.Match[str] | None:
    return None if pattern is None else pattern.search(text[:_MOST_TEXT])


def _pairs(rows: Json, kind: type[Any]) -> dict[str, Any]:
    """`[{"pypi": "pypi"}, …]` as one dictionary, without values of another type."""
    objects = rows if isinstance(rows, list) else []
    return {
        key: value for each in objects for key, value in as_object(each).items() if isinstance(value, kind)
    }


def _owners(rows: Json) -> list[tuple[str, _Owner]]:
    """`[{"Debian": {"cna": "debian", "platforms": […]}}, …]`, in their order."""
    return [(text, as_struct(owner, _Owner)) for text, owner in _pairs(rows, dict).items()]


def scanner_of(tables: Mapping[str, Record]) -> Scanner:
    """The scanner with these records of the feed."""
    return Scanner({name: _payload(record.line) for name, record in tables.items()})


def _payload(line: bytes) -> Json:
    try:
        document = json_text.decode(line)
    except ValueError:
        return None
    return document.get("payload") if isinstance(document, dict) else None
