"""What is installed, in each of the forms that people have it in."""

import json

import pytest

from ctisync.core.inventory import Inventory, WrongInventory, format_of, platform_of, read_inventory
from ctisync.core.scanner import Platform

DEBIAN = platform_of("debian:12")


def triples(inventory: Inventory) -> list[tuple[str, str, str]]:
    return [(each.name, each.version, each.vendor) for each in inventory.packages]


@pytest.mark.parametrize(
    ("text", "platform", "version", "code_name"),
    [
        ("debian:12", "debian", "12", "bookworm"),
        ("Debian:12.5", "debian", "12.5", "bookworm"),
        ("debian:bookworm", "debian", "12", "bookworm"),
        ("ubuntu:22.04", "ubuntu", "22.04", "jammy"),
        (" rhel:9 ", "rhel", "9", ""),
        ("windows:10.0.19045.4043", "windows", "10.0.19045.4043", ""),
    ],
)
def test_a_platform_is_a_name_and_a_version(text: str, platform: str, version: str, code_name: str) -> None:
    one = platform_of(text)
    assert (one.platform, one.version, one.code_name) == (platform, version, code_name)
    assert one.name == platform, "by which a feed has its CPE"


@pytest.mark.parametrize(
    ("name", "releases"),
    [
        ("debian", "8 jessie 9 stretch 10 buster 11 bullseye 12 bookworm 13 trixie"),
        ("ubuntu", "14.04 trusty 16.04 xenial 18.04 bionic 20.04 focal 22.04 jammy 24.04 noble"),
        ("ubuntu", "25.04 plucky 25.10 questing"),
    ],
)
def test_a_release_has_its_code_name_which_is_where_a_feed_has_its_packages(name: str, releases: str) -> None:
    numbers, code_names = releases.split()[::2], releases.split()[1::2]
    for number, code_name in zip(numbers, code_names, strict=True):
        for text in (f"{name}:{number}", f" {name.upper()} :{code_name}", f"{name}:{code_name.upper()}"):
            one = platform_of(text)
            assert (one.platform, one.version, one.code_name) == (name, number, code_name)


@pytest.mark.parametrize(
    "text", ["", "debian", "debian:", "rhel", "rhel:", ":12", "debian:99", "ubuntu:warty"]
)
def test_what_is_no_platform_is_a_mistake(text: str) -> None:
    with pytest.raises(WrongInventory):
        platform_of(text)


def test_the_lines_of_dpkg_are_packages_unless_they_are_removed() -> None:
    lines = (
        "openssl\t3.0.11-1~deb12u2\tDebian OpenSSL Team <x@debian.org>\tii \n"
        "held\t1:2.0\tSomebody\thi \n"
        "removed\t1.0\tSomebody\trc \n"
        "\n"
        "short\t1.0\n"
        "no version\n"
    )
    inventory = read_inventory(lines.encode(), DEBIAN)
    assert triples(inventory) == [
        ("openssl", "3.0.11-1~deb12u2", "Debian OpenSSL Team <x@debian.org>"),
        ("held", "1:2.0", "Somebody"),
        ("short", "1.0", ""),
    ]
    assert {each.format for each in inventory.packages} == {"deb"}
    assert (inventory.odd, inventory.platform) == (1, DEBIAN)


def test_the_lines_of_rpm_have_an_epoch_and_perhaps_no_vendor() -> None:
    lines = "nss\t0:3.90.0-3.el9\tRed Hat, Inc.\ngpg-pubkey\t(none):fd431d51-4ae0493b\t(none)\n"
    inventory = read_inventory(lines.encode(), platform_of("rhel:9"))
    assert triples(inventory) == [
        ("nss", "0:3.90.0-3.el9", "Red Hat, Inc."),
        ("gpg-pubkey", "fd431d51-4ae0493b", ""),
    ]
    assert {each.format for each in inventory.packages} == {"rpm"}


OS = {"platform": "ubuntu", "name": "Ubuntu", "version": "22.04.4 LTS (Jammy Jellyfish)", "codename": "Jammy"}
DOCUMENTS = [
    {"host": {"os": OS}},
    {"package": {"name": "bash", "version": "5.1", "vendor": "Ubuntu", "type": "deb", "source": " "}},
    {"_source": {"package": {"name": "wget", "version": "1.2", "type": "deb"}, "host": {"os": OS}}},
    {"package": {"hotfix": {"name": "KB5034763"}}},
    {"agent": {"id": "001"}},
]


def test_documents_of_wazuh_name_packages_the_system_and_its_updates() -> None:
    inventory = read_inventory("\n".join(map(json.dumps, DOCUMENTS)).encode(), None)
    assert triples(inventory) == [("bash", "5.1", "Ubuntu"), ("wget", "1.2", "")]
    platform = inventory.platform
    assert platform is not None
    assert (platform.platform, platform.version, platform.code_name) == ("ubuntu", "22.04.4", "jammy")
    assert (inventory.hotfixes, inventory.odd) == ({"KB5034763"}, 1)


def test_documents_of_several_hosts_are_a_mistake_and_not_taken_for_one() -> None:
    two = [{"agent": {"id": number}, "package": {"name": "a", "version": "1"}} for number in ("001", "002")]
    with pytest.raises(WrongInventory, match="line 2 is of another host"):
        read_inventory("\n".join(map(json.dumps, two)).encode(), DEBIAN)


def test_the_platform_that_you_name_counts_more() -> None:
    assert read_inventory(json.dumps(DOCUMENTS[0]).encode(), DEBIAN).platform == DEBIAN


def test_a_windows_system_has_its_display_version() -> None:
    os = {
        "platform": "windows",
        "name": "Microsoft Windows 10 Pro",
        "version": "10.0.19045.4043",
        "distribution": {"release": "22H2"},
    }
    platform = read_inventory(json.dumps({"host": {"os": os}}).encode(), None).platform
    assert platform is not None
    assert (platform.name, platform.display_version) == ("Microsoft Windows 10 Pro", "22H2")
    assert platform.release == "22H2"


def test_components_of_cyclonedx_are_packages_also_within_others() -> None:
    document = {
        "bomFormat": "CycloneDX",
        "components": [
            {"type": "operating-system", "name": "debian", "version": "12"},
            {
                "name": "openssl",
                "version": "3.0.2",
                "purl": "pkg:deb/debian/openssl@3.0.2?arch=amd64&epoch=1",
                "supplier": {"name": "Debian"},
                "components": [{"name": "requests", "version": "2.0", "purl": "pkg:pypi/requests@2.0"}],
            },
            {"name": "no version"},
            5,
        ],
    }
    inventory = read_inventory(json.dumps(document, indent=1).encode(), DEBIAN)
    assert triples(inventory) == [("openssl", "1:3.0.2", "Debian"), ("requests", "2.0", "")]
    assert [each.format for each in inventory.packages] == ["deb", "pypi"]
    assert inventory.odd == 3
    assert inventory.platform == DEBIAN


def component(**fields: object) -> dict[str, object]:
    return {"name": "a", "version": "1.0", **fields}


@pytest.mark.parametrize(
    ("fields", "version", "vendor", "form"),
    [
        (component(publisher="Someone"), "1.0", "Someone", ""),
        (component(publisher="Someone", supplier={"name": "Debian"}), "1.0", "Debian", ""),
        (component(purl="pkg:rpm/redhat/a@1.0?epoch=2"), "2:1.0", "", "rpm"),
        (component(purl="pkg:rpm/redhat/a@1.0?epoch=2&arch=x", version="3:1.0"), "3:1.0", "", "rpm"),
        (component(purl="pkg:rpm/redhat/a@1.0?epoch=new&noepoch=1"), "1.0", "", "rpm"),
        (component(purl="deb/a@1.0"), "1.0", "", ""),
        (component(name=" a ", version=" 1.0 "), "1.0", "", ""),
    ],
)
def test_a_component_has_the_format_of_its_address_and_the_epoch_that_is_in_it(
    fields: dict[str, object], version: str, vendor: str, form: str
) -> None:
    text = json.dumps({"components": [fields]}).encode()
    (package,) = read_inventory(text, None).packages
    assert (package.name, package.version, package.vendor, package.format) == ("a", version, vendor, form)


def test_a_document_has_format_and_origin_of_its_package() -> None:
    package = {"name": "requests", "version": "2.0", "type": "PyPI", "source": "pip"}
    (only,) = read_inventory(b"\xef\xbb\xbf" + json.dumps({"package": package}).encode(), None).packages
    assert (only.format, only.origin) == ("pypi", "pip")


@pytest.mark.parametrize(
    ("os", "version", "code_name"),
    [
        ({"platform": "Debian", "version": "12.5"}, "12.5", "bookworm"),
        ({"platform": "debian", "version": "12", "codename": "Other"}, "12", "bookworm"),
        ({"platform": "debian", "version": "99", "codename": "Forky"}, "99", "forky"),
        ({"platform": "ubuntu", "version": "24.04.1 LTS (Noble Numbat)"}, "24.04.1", "noble"),
        ({"platform": "rhel", "version": "9.4", "codename": "Plow"}, "9.4", "plow"),
    ],
)
def test_a_system_has_the_code_name_of_its_number_else_its_own(
    os: dict[str, str], version: str, code_name: str
) -> None:
    platform = read_inventory(json.dumps({"host": {"os": os}}).encode(), None).platform
    assert platform is not None
    assert (platform.version, platform.code_name) == (version, code_name)
    assert platform.platform == os["platform"].lower()


def test_the_first_system_of_an_inventory_counts_and_one_host_may_be_named_again() -> None:
    documents = [
        {"agent": {"id": "001"}, "host": {"os": {"platform": platform, "version": "1"}}}
        for platform in ("fedora", "rhel")
    ]
    platform = read_inventory("\n\n".join(map(json.dumps, documents)).encode(), None).platform
    assert platform is not None
    assert platform.platform == "fedora"


def test_a_line_needs_a_name_and_a_version_in_whatever_encoding_it_is() -> None:
    lines = b" a \t 1.0 \n   \n\t1.0\nb\t\ncaf\xe9\t2.0\n"
    inventory = read_inventory(lines, None)
    assert triples(inventory) == [("a", "1.0", ""), ("caf\ufffd", "2.0", "")]
    assert inventory.odd == 2


def test_cyclonedx_without_a_component_is_an_inventory_without_a_package() -> None:
    inventory = read_inventory(json.dumps({"bomFormat": "CycloneDX"}, indent=1).encode(), None)
    assert (inventory.packages, inventory.odd) == ([], 0)


def test_a_line_that_is_too_long_is_no_package_and_a_field_is_cut() -> None:
    lines = f"a\t1.0\nb\t{'1' * 3000}\n"
    inventory = read_inventory(lines.encode(), None)
    assert (triples(inventory), inventory.odd) == ([("a", "1.0", "")], 1)
    (package,) = read_inventory(json.dumps({"package": {"name": "a" * 5000}}).encode(), None).packages
    assert package.name == "a" * 1000


@pytest.mark.parametrize("text", ["one word\n", '{"package": {}}\n{"half', "\x00\x01\x02"])
def test_what_is_no_inventory_is_a_mistake_that_names_the_line(text: str) -> None:
    with pytest.raises(WrongInventory, match=r"line"):
        read_inventory(text.encode(), DEBIAN)


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff\n"])
def test_an_empty_inventory_has_no_package(text: str) -> None:
    assert read_inventory(text.encode(), DEBIAN).packages == []


def test_odd_values_in_documents_are_left_out() -> None:
    odd = [{"package": 5}, {"package": {"name": ["x"]}}, {"host": []}, [], "x", 5]
    inventory = read_inventory(("{}\n" + "\n".join(map(json.dumps, odd))).encode(), DEBIAN)
    assert (inventory.packages, inventory.odd) == ([], 7)


def test_each_platform_has_the_format_of_its_own_packages() -> None:
    names = {
        **dict.fromkeys(("debian", "ubuntu", "linuxmint", "pop", "raspbian"), "deb"),
        **dict.fromkeys(("rhel", "centos", "fedora", "almalinux", "rocky", "ol", "amzn", "sles"), "rpm"),
        **dict.fromkeys(("sled", "opensuse-leap", "opensuse-tumbleweed"), "rpm"),
        **dict.fromkeys(("arch", "manjaro"), "pacman"),
        "windows": "",
    }
    assert {name: format_of(Platform(platform=name)) for name in names} == names
    assert format_of(None) == ""
