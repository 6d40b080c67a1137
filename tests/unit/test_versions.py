"""Which version is before which, by the rules of its format, and whether one is affected."""

import itertools
import random
import subprocess
from pathlib import Path

import pytest

from ctisync.core.facts import Affected, Change, VersionRange
from ctisync.core.versions import LONGEST, SCHEMES, Assessment, Scheme, affects, key, order


def compare(scheme: Scheme, left: str, right: str) -> int | None:
    return order(key(scheme, left), key(scheme, right))


@pytest.mark.parametrize(
    ("scheme", "versions"),
    [
        ("dpkg", "1.0~~ 1.0~~a 1.0~ 1.0~rc1 1.0 1.0-0.1 1.0-1 1.0-1.1 1.0a 1.0+x 1.0.1 1.9 1.10 1:0.1"),
        ("dpkg", "9.2p1-2+deb12u2 9.2p1-2+deb12u3 1:9.2p1-2+deb12u2 1:9.2p1-2+deb12u3"),
        ("dpkg", "10.0.9200 10.0.10240.20469 10.0.17763.6414"),
        ("rpm", "1.0~~rc 1.0~rc1 1.0 1.0^git1 1.0a 1.0.1 1.9 1.10 2.0-1.el9 2.0-1.el9_1 2.0-2.el8 1:1.0"),
        ("rpm", "1.0-1 1.0-2 1.0.1-1"),
        ("pep440", "1.0.dev1 1.0a1 1.0b2 1.0rc1 1.0 1.0+local.1 1.0.post1 1.0.1 1.10 1!0.1"),
        ("semver", "1.0.0-2 1.0.0-11 1.0.0-a 1.0.0-a.1 1.0.0-a.b 1.0.0-rc.1 1.0.0 1.0.1 1.2.0 1.10.0"),
        ("semver", "1.0.0-a.2 1.0.0-a.11 1.0.0-a.b"),
        ("any", "10 10.2 11.1.3 2012 2023.11 2023.11.2 2023.11.2.9 2023.11.2.10"),
        ("any", "1.2b1 1.2 1.2.3 1.10 9.9.9.9.9"),
        ("any", "1.0.0-alpha.x 1.0.0-beta.x 1.0.1-alpha.x"),
        ("any", "1:1.0-1 1:1.0-2 2:0.1"),
        ("any", "a.1 a.2 b.1"),
    ],
)  # fmt: skip
def test_versions_have_the_order_of_their_format(scheme: Scheme, versions: str) -> None:
    for left, right in itertools.combinations(versions.split(), 2):
        assert (compare(scheme, left, right), compare(scheme, right, left)) == (-1, 1), f"{left} {right}"


@pytest.mark.parametrize(
    ("scheme", "left", "right"),
    [
        ("dpkg", "1.0", "0:1.0-0"),
        ("dpkg", "1.01", "1.1"),
        ("rpm", "1.0", "0:1_0"),
        ("rpm", "1.01", "1.1."),
        ("rpm", "1:1.0:1", "1:1.0.1"),
        ("dpkg", " 1.0 ", "1.0"),
        ("pep440", "v1.0", "1.0.0"),
        ("pep440", "1.0-alpha.1", "1.0A1"),
        ("semver", "1.0.0+a", "1.0.0+b"),
        ("any", "23.1", "2023.01"),
        ("any", " 1.2.3 ", "1.2.3"),
        ("any", "1.0.0+a", "1.0.0+b"),  # SemVer, as for Wazuh's scanner, which leaves local versions to it
    ],
)
def test_two_spellings_of_one_version_are_equal(scheme: Scheme, left: str, right: str) -> None:
    assert compare(scheme, left, right) == 0


@pytest.mark.parametrize(
    ("scheme", "left", "right"),
    [
        ("any", "10.0", "9.5"),  # a calendar version, as for Wazuh's scanner
        ("any", "1.2", "1.2-beta_x"),
        ("any", "2023.12", "2023.13"),
        ("any", "2023.12.31", "2023.12.32"),
        ("dpkg", "1.0", "none"),
        ("dpkg", "1.0", ":1.0"),
        ("dpkg", "1.0", "x:1.0"),
        ("dpkg", "1.0", "1.0-"),
        ("dpkg", "1.0", "1.0 2"),
        ("dpkg", "1.0", "99999999999:1.0"),
        ("dpkg", "1.0", "٣.0"),
        ("rpm", "1.0", "x:1.0"),
        ("rpm", "1.0", ""),
        ("rpm", "1.0", "1:"),
        ("pep440", "1.0", "1.0-1ubuntu1"),
        ("semver", "1.0.0", "1.0"),
        ("dpkg", "1.0", "1" * (LONGEST + 1)),
        ("pep440", "1.0", "9" * 1_000_000),
        ("any", "1.0", ""),
        ("any", "1.0", "\0"),
    ],
)
def test_versions_that_cannot_be_compared_have_no_order(scheme: Scheme, left: str, right: str) -> None:
    assert compare(scheme, left, right) is None


@pytest.mark.skipif(
    not Path("/usr/bin/dpkg").exists(), reason="no dpkg on this machine: its order is not compared"
)
def test_the_order_of_debian_versions_is_that_of_dpkg() -> None:
    chance = random.Random(5)
    characters = "0123456789" * 2 + "ab.+~-:z"

    def version() -> str:
        tail = "".join(chance.choices(characters, k=chance.randint(0, 8)))
        epoch = f"{chance.randint(0, 2)}:" if chance.random() < 0.3 else ""
        return f"{epoch}{chance.randint(0, 9)}{tail}"

    for _ in range(100):
        left = version()
        near = left[: chance.randint(1, len(left))] + chance.choice(
            ("~1", "0", "00", "a", "+b1", "-0", "-1", "")
        )
        right = chance.choice((near, version()))
        expected = None
        if all(_dpkg("--validate-version", each) for each in (left, right)):
            expected = -_dpkg("--compare-versions", left, "lt", right)
            expected = expected or +_dpkg("--compare-versions", left, "gt", right)
        assert compare("dpkg", left, right) == expected, f"{left} {right}"


def _dpkg(*arguments: str) -> bool:
    return subprocess.run(["/usr/bin/dpkg", *arguments], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("form", ["deb", "win", "pkg", "macports", "pacman", "snap"])
def test_these_formats_have_the_order_of_dpkg(form: str) -> None:
    assert compare(SCHEMES[form], "1.0~~a", "1.0") == -1


@pytest.mark.parametrize(
    ("form", "lower", "higher"),
    [("rpm", "1.0^git1", "1.0a"), ("pypi", "1.0", "1.0+local.1"), ("npm", "1.0.0-2", "1.0.0")],
)
def test_another_format_has_the_order_of_its_own(form: str, lower: str, higher: str) -> None:
    assert compare(SCHEMES[form], lower, higher) == -1
    assert compare("any", lower, higher) != -1


def product(*ranges: VersionRange, default: str = "unaffected") -> Affected:
    return Affected("debian", "debian", "openssl", (), default, ranges)


def below(bound: str, status: str = "affected", version: str = "0") -> VersionRange:
    return VersionRange(version, bound, "", status)


@pytest.mark.parametrize(
    ("ranges", "version", "answer"),
    [
        ([below("2.0")], "1.9", "yes"),
        ([below("2.0")], "2.0", "no"),
        ([below("2.0", version="1.0")], "0.9", "no"),
        ([below("2.0", version="")], "0.9", "yes"),
        ([VersionRange("1.0", "", "2.0", "affected")], "2.0", "yes"),
        ([VersionRange("1.0", "", "2.0", "affected")], "2.0.1", "no"),
        ([VersionRange("1.0", "*", "", "affected")], "9", "yes"),
        ([VersionRange("1.0", "*", "", "affected")], "0.9", "no"),
        ([VersionRange("1.0", status="affected")], "1.0", "yes"),
        ([VersionRange("1.0", status="affected")], "0:1.0-0", "yes"),
        ([VersionRange("1.0", status="affected")], "1.1", "no"),
        ([below("1.5", "unaffected"), below("2.0")], "1.4", "no"),
        ([below("1.5", "unknown"), below("2.0")], "1.4", "no"),
        ([below("2.0"), below("1.5", "unaffected")], "1.4", "yes"),
        ([below("??")], "1.4", "perhaps"),
        ([below("2.0", version="??")], "1.4", "perhaps"),
        ([below("2.0", version="??")], "2.4", "no"),
        ([below("2.0", version="1.0")], "1.0", "yes"),
        ([VersionRange("0", "", "??", "affected")], "1.4", "perhaps"),
        ([VersionRange("??", "", "2.0", "affected")], "1.4", "perhaps"),
        ([VersionRange("??", "", "2.0", "affected")], "2.4", "no"),
        ([VersionRange("??", status="affected")], "1.4", "perhaps"),
        ([VersionRange("*", status="affected")], "1.4", "yes"),
        ([below("??", "unaffected")], "1.4", "no"),
        ([below("??"), below("2.0")], "1.4", "yes"),
        ([below("??"), below("2.0", "unaffected")], "1.4", "perhaps"),
        ([below("2.0")], "not a version", "perhaps"),
        ([VersionRange("n/a", status="affected")], "n/a", "yes"),
        ([VersionRange("n/a", status="affected")], " n/a ", "yes"),
    ],
)
def test_the_first_range_that_has_a_version_decides(
    ranges: list[VersionRange], version: str, answer: str
) -> None:
    assert affects(product(*ranges), "dpkg", version).affected == answer


@pytest.mark.parametrize("begin", ["", "0", "*"])
def test_a_range_without_a_lower_bound_has_each_version_below_its_end(begin: str) -> None:
    ranges = [below("2.0.0", version=begin), VersionRange(begin, "", "2.0.0", "affected")]
    assert [affects(product(each), "semver", "1.9.0").affected for each in ranges] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("default", "answer"), [("affected", "yes"), ("unaffected", "no"), ("unknown", "no"), ("", "no")]
)
def test_without_a_range_that_has_the_version_the_default_decides(default: str, answer: str) -> None:
    for ranges in ((), (below("1.0", "unaffected"),)):
        assert affects(product(*ranges, default=default), "dpkg", "1.5") == Assessment(answer)  # type: ignore[arg-type]


def test_a_version_between_two_that_cannot_be_compared_and_affected_by_default_is_affected() -> None:
    assert affects(product(below("??"), default="affected"), "dpkg", "1.0").affected == "yes"
    assert (
        affects(product(below("??", "unaffected"), default="affected"), "dpkg", "1.0").affected == "perhaps"
    )


@pytest.mark.parametrize(
    ("version", "answer"), [("1.0", "yes"), ("1.2", "no"), ("1.3", "no"), ("1.4", "yes"), ("2.0", "no")]
)
def test_a_change_within_a_range_counts_from_its_version_on(version: str, answer: str) -> None:
    changes = (Change("1.2", "unaffected"), Change("1.4", "affected"))
    one = VersionRange("0", "2.0", "", "affected", changes)
    assert affects(product(one), "dpkg", version).affected == answer
    unclear = VersionRange("0", "2.0", "", "affected", (Change("??", "unaffected"),))
    assert affects(product(unclear), "dpkg", "1.0").affected == "perhaps"


def test_the_range_that_decides_is_named() -> None:
    first, second = below("1.0"), below("3.0", version="2.0")
    assert affects(product(first, second), "dpkg", "2.5") == Assessment("yes", second)
    assert affects(product(first, second), "dpkg", "0.5") == Assessment("yes", first)
    assert affects(product(below("??", "unaffected"), second), "dpkg", "2.5") == Assessment("perhaps", second)
    assert affects(product(below("??"), second), "dpkg", "2.5") == Assessment("yes", below("??"))
