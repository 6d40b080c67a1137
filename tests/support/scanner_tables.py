"""Made-up tables of the feed, of the same shapes as the real ones: what Wazuh's scanner matches with."""

from typing import Any, Final

from ctisync.core.model import Json

FEED: Final[dict[str, Any]] = {
    "format": [{"pypi": "pypi"}, {"npm": "npm"}, {"snap": "nvd"}],
    "source": [{"homebrew": "nvd"}],
    "prefix": [
        {"Debian": {"cna": "debian", "platforms": ["debian", "linuxmint"]}},
        {"Ubuntu": {"cna": "canonical", "platforms": ["ubuntu"]}},
        {"Red Hat, Inc.": {"cna": "redhat", "platforms": ["rhel", "centos"]}},
        {"Amazon Linux": {"cna": "alas", "platforms": ["amzn"]}},
        {"Arch Linux": {"cna": "arch", "platforms": ["arch"]}},
        {"SUSE": {"cna": "suse", "platforms": ["sles", "sled"]}},
        {"openSUSE": {"cna": "opensuse", "platforms": ["opensuse-leap"]}},
    ],
    "contains": [
        {"debian.org": {"cna": "debian", "platforms": ["debian"]}},
        {"@ubuntu.com": {"cna": "canonical", "platforms": ["ubuntu"]}},
    ],
    "adp_descriptions": {
        "debian": {"cvss": "nvd"},
        "canonical": {"cvss": "canonical"},
        "redhat": {"cvss": "redhat"},
        "nvd": {"cvss": "nvd"},
    },
}

MAPPING: Final[dict[str, Any]] = {
    "cnaMapping": {
        "redhat": "redhat_$(MAJOR_VERSION)",
        "alas": "alas_$(MAJOR_VERSION)",
        "suse": "$(PLATFORM)_$(MAJOR_VERSION)",
        "opensuse": "suse_server_15",
    },
    "majorVersionEquivalence": {"amzn": {"2018": "1"}},
    "platformEquivalence": {"sles": "suse_server", "sled": "suse_desktop"},
}

SYSTEMS: Final[dict[str, Any]] = {
    "Microsoft Windows 10": "microsoft:windows_10_$(DISPLAY_VERSION):$(VERSION):::::",
    "Microsoft Windows Server 2012": "microsoft:windows_server_2012::::::",
    "Microsoft Windows Server 2012 R2": "microsoft:windows_server_2012:r2:::::",
    "macOS": "apple:macos:::::",
    "rhel": "redhat:enterprise_linux:$(MAJOR_VERSION)",
    "centos": "redhat:enterprise_linux:$(MAJOR_VERSION)",
    "rocky": "rocky:rocky:$(MAJOR_VERSION).$(MINOR_VERSION)",
    "sles": "suse:sles:$(VERSION_UPDATE_HYPHEN)",
    "amzn": "amazon:amazon_linux:$(MAJOR_VERSION)",
}

TRANSLATIONS: Final[dict[str, Any]] = {
    "TID-0001": {
        "source": {
            "product": "^Office Suite \\d+(\\.\\d+)+$",
            "vendor": "^The Suite Foundation$",
            "version": "",
        },
        "target": ["windows"],
        "translation": [{"product": "suite", "vendor": "suite_foundation"}],
    },
    "TID-0002": {
        "source": {"product": "^Chat for Work (\\d+)$", "vendor": "", "version": "Work (\\d+)"},
        "target": ["windows"],
        "translation": [
            {"product": "chat", "vendor": "example", "version": ""},
            {"product": "chat_for_work", "vendor": "example"},
        ],
    },
    "TID-0003": {
        "source": {"product": "^Chat", "vendor": "", "version": ""},
        "target": ["windows", "darwin"],
        "translation": [{"product": "chat_core", "vendor": "example", "version": "9.9"}],
    },
    "TID-0004": {
        "source": {"product": "(", "vendor": ""},
        "target": ["darwin"],
        "translation": [{"product": "x"}],
    },
    "TID-0005": {"source": [], "target": {}, "translation": "none"},
}

PAYLOADS: Final[dict[str, Json]] = {
    "FEED-GLOBAL": FEED,
    "CNA-MAPPING-GLOBAL": MAPPING,
    "OSCPE-GLOBAL": SYSTEMS,
    **TRANSLATIONS,
}
