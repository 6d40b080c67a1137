"""Where Wazuh's scanner looks a package up, under which name, and what it takes for affected."""

import sys

import pytest

from ctisync.core.facts import Affected, VersionRange
from ctisync.core.model import Json
from ctisync.core.scanner import NVD, Package, Platform, Scanner, Source, is_on
from tests.support.scanner_tables import PAYLOADS

SCANNER = Scanner(PAYLOADS)
DEBIAN = Platform(platform="debian", name="Debian GNU/Linux", version="12", code_name="bookworm")
RHEL = Platform(platform="rhel", name="Red Hat Enterprise Linux", version="9.4")
WINDOWS = Platform(
    platform="windows", name="Microsoft Windows 10 Pro", version="10.0.19045.4043", display_version="22H2"
)


def package(name: str = "openssl", version: str = "3.0", vendor: str = "", form: str = "deb") -> Package:
    return Package(name=name, version=version, vendor=vendor, format=form)


@pytest.mark.parametrize(
    ("platform", "vendor", "form", "source"),
    [
        ("debian:12", "Debian OpenSSL Team <x@example.org>", "deb", "debian"),
        ("debian:12", "A Maintainer <a@packages.debian.org>", "deb", "debian"),
        ("debian:12", "A Maintainer <a@example.org>", "deb", NVD),
        ("ubuntu:22.04", "Debian Team", "deb", NVD),
        ("ubuntu:22.04", "Someone <x@ubuntu.com>", "deb", "canonical"),
        ("rhel:9.4", "Red Hat, Inc.", "rpm", "redhat_9"),
        ("centos:7", "Red Hat, Inc.", "rpm", "redhat_7"),
        ("amzn:2018.03", "Amazon Linux", "rpm", "alas_1"),
        ("amzn:2023", "Amazon Linux", "rpm", "alas_2023"),
        ("sles:15-SP5", "SUSE LLC", "rpm", "suse_server_15"),
        ("sled:15-SP5", "SUSE LLC", "rpm", "suse_desktop_15"),
        ("opensuse-leap:15.5", "openSUSE", "rpm", "suse_server_15"),
        ("debian:12", "Debian", "pypi", "pypi"),
        ("windows:10", "Debian", "win", NVD),
        ("debian:12", "", "deb", NVD),
    ],
)
def test_the_source_is_that_of_the_format_or_of_the_vendor_on_the_platform(
    platform: str, vendor: str, form: str, source: str
) -> None:
    name, _, version = platform.partition(":")
    sources = SCANNER.sources(package(vendor=vendor, form=form), Platform(platform=name, version=version))
    assert [each.name for each in sources] == [source]


def test_a_feed_may_name_several_sources_instead_of_nvd() -> None:
    feed = dict(PAYLOADS["FEED-GLOBAL"]) | {"adp_default_array": ["cisa", "nvd", 5]}
    scanner = Scanner({**PAYLOADS, "FEED-GLOBAL": feed})
    assert scanner.sources(package(), DEBIAN) == [Source(NVD, "cisa"), Source(NVD, "nvd")]


@pytest.mark.parametrize(
    ("platform", "cpe"),
    [
        (RHEL, "cpe:/o:redhat:enterprise_linux:9"),
        (Platform(platform="rocky", version="9.4"), "cpe:/o:rocky:rocky:9.4"),
        (Platform(platform="sles", version="15-SP5"), "cpe:/o:suse:sles:15:sp5"),
        (WINDOWS, "cpe:/o:microsoft:windows_10_22h2:10.0.19045.4043:::::"),
        (
            Platform(platform="windows", name="Microsoft Windows Server 2012 R2 Standard"),
            "cpe:/o:microsoft:windows_server_2012:r2:::::",
        ),
        (
            Platform(platform="windows", name="Microsoft Windows Server 2012 Standard"),
            "cpe:/o:microsoft:windows_server_2012::::::",
        ),
        (Platform(platform="darwin", name="macOS", version="14.0"), "cpe:/o:apple:macos:::::"),
        (DEBIAN, ""),
    ],
)
def test_the_cpe_of_a_platform_is_filled_in(platform: Platform, cpe: str) -> None:
    assert SCANNER.cpe(platform) == cpe


@pytest.mark.parametrize(
    ("platforms", "platform", "on"),
    [
        ([], DEBIAN, True),
        (["bookworm", "trixie"], DEBIAN, True),
        (["bullseye"], DEBIAN, False),
        (["cpe:/o:redhat:enterprise_linux:9"], RHEL, True),
        (["cpe:/o:redhat:enterprise_linux:9::appstream"], RHEL, True),
        (["cpe:/o:redhat:enterprise_linux:8"], RHEL, False),
        (["cpe:2.3:o:redhat:enterprise_linux:*:*:*:*:*:*:*:*"], RHEL, True),
        (["cpe:/a:redhat:enterprise_linux:9"], RHEL, False),
        (["cpe:/o:redhat:enterprise_linux:9"], DEBIAN, False),
    ],
)
def test_a_product_is_on_its_platforms_by_code_name_or_cpe(
    platforms: list[str], platform: Platform, on: bool
) -> None:
    assert is_on(platforms, SCANNER.cpe(platform), platform) is on


def test_a_package_is_looked_up_by_all_translations_that_fit() -> None:
    names = SCANNER.translated(package("Chat for Work 2016", "16.0", "Example", "win"), WINDOWS)
    assert [(each.name, each.vendor, each.version) for each in names] == [
        ("chat", "example", "2016"),
        ("chat_for_work", "example", "2016"),
        ("chat_core", "example", "9.9"),
    ]
    (suite,) = SCANNER.translated(
        package("Office Suite 4.2.0", "4.2.0", "The Suite Foundation", "win"), WINDOWS
    )
    assert (suite.name, suite.vendor, suite.version) == ("suite", "suite_foundation", "4.2.0")


def test_without_a_translation_the_name_is_in_lower_case() -> None:
    for platform, vendor in ((WINDOWS, "Another Foundation"), (DEBIAN, "The Suite Foundation")):
        (other,) = SCANNER.translated(package("Office Suite 4.2.0", vendor=vendor), platform)
        assert (other.name, other.vendor) == ("office suite 4.2.0", vendor.lower())


def affected(source: str, bound: str, *, vendor: str = "debian", platforms: tuple[str, ...] = ()) -> Affected:
    bounds = VersionRange("0", bound, "", "affected")
    return Affected(source, vendor, "openssl", platforms, "unaffected", (bounds,))


@pytest.mark.parametrize(
    ("product", "source", "vendor", "answer"),
    [
        (affected("debian", "3.1"), "debian", "", "yes"),
        (affected("debian", "2.9"), "debian", "", "no"),
        (affected("debian", "3.1", platforms=("bullseye",)), "debian", "", "no"),
        (affected("canonical", "3.1"), "debian", "", "no"),
        (affected("nvd", "3.1", vendor="openssl"), "nvd", "openssl", "yes"),
        (affected("nvd", "3.1", vendor="openssl"), "nvd", "debian", "no"),
        (affected("nvd", "3.1", vendor=""), "nvd", "debian", "yes"),
        (affected("debian", "??"), "debian", "", "perhaps"),
    ],
)
def test_source_platform_vendor_of_nvd_and_version_decide(
    product: Affected, source: str, vendor: str, answer: str
) -> None:
    installed = package(vendor=vendor)
    assert SCANNER.assess(product, installed, Source(source, source), "", DEBIAN).affected == answer
    other = package(name="libssl", vendor=vendor)
    assert SCANNER.assess(product, other, Source(source, source), "", DEBIAN).affected == "no"


def test_the_score_is_that_of_the_source_that_the_feed_names() -> None:
    assert SCANNER.source_of_score(Source("debian", "debian"), DEBIAN) == "nvd"
    assert SCANNER.source_of_score(Source("redhat", "redhat_9"), RHEL) == "redhat_9"
    assert SCANNER.source_of_score(Source("arch", "arch"), Platform(platform="arch")) == "nvd"


def test_a_platform_has_its_own_source_or_none() -> None:
    assert SCANNER.native_source(DEBIAN) == Source("debian", "debian")
    assert SCANNER.native_source(RHEL) == Source("redhat", "redhat_9")
    assert SCANNER.native_source(WINDOWS) is None


def test_windows_and_macos_are_packages_themselves() -> None:
    system = SCANNER.system(WINDOWS)
    assert system is not None
    assert (system.name, system.vendor, system.version) == ("windows_10_22h2", "microsoft", "10.0.19045.4043")
    assert SCANNER.system(Platform(platform="darwin", name="macOS", version="14.0")) is not None
    assert SCANNER.system(RHEL) is None


@pytest.mark.parametrize(
    "odd", [None, [], "text", {"format": 5, "prefix": [5, {"Debian": []}], "contains": {}}]
)
def test_tables_of_any_form_are_no_reason_to_fail(odd: Json) -> None:
    scanner = Scanner(dict.fromkeys(("FEED-GLOBAL", "CNA-MAPPING-GLOBAL", "OSCPE-GLOBAL", "TID-1"), odd))
    assert [each.name for each in scanner.sources(package(vendor="Debian"), DEBIAN)] == [NVD]
    assert scanner.cpe(RHEL) == ""
    assert scanner.translated(package(), DEBIAN) == [package()]


def translation(**source: str) -> Json:
    return {"source": source, "target": ["debian"], "translation": [{"product": "other"}]}


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "^(a|a)*$", "(.*)*(.*)*(.*)*!$", "^((a?){50}){20}$", "(a*)*(a*)*(a*)*(a*)*b"]
)
def test_no_pattern_of_the_feed_stops_a_match(pattern: str) -> None:
    """Python's own patterns would search these for longer than the universe is old."""
    scanner = Scanner({"TID-1": translation(product=pattern), "TID-2": translation(product="^a{200}")})
    names = [each.name for each in scanner.translated(package("a" * 255 + "?"), DEBIAN)]
    assert names == ["other"]
    assert scanner.unread(DEBIAN) == []


@pytest.mark.parametrize(
    "pattern",
    ["(", "a{2000}", "((a{100}){100}){100}", r"(a)\1", "a(?!b)", "|".join(map(str, range(100_000)))],
    ids=["open", "long", "nested", "back-reference", "look-around", "large"],
)
def test_a_translation_with_a_pattern_that_cannot_be_read_is_left_out_and_named(pattern: str) -> None:
    scanner = Scanner(
        {"TID-1": translation(product="openssl", version=pattern), "TID-2": translation(product="^open")}
    )
    assert [each.name for each in scanner.translated(package(), DEBIAN)] == ["other"]
    assert (scanner.unread(DEBIAN), scanner.unread(RHEL)) == (["TID-1"], [])


def test_without_the_library_for_patterns_each_translation_that_has_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    scanner = Scanner({"TID-1": translation(product="openssl"), "TID-2": translation()})
    assert scanner.unread(DEBIAN) == ["TID-1"]
