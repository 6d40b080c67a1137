"""The settings file to begin with and the schema for editors say what the settings themselves are."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ctisync.commands.config import json_schema
from ctisync.errors import ConfigurationError
from ctisync.settings import LoadedSettings, Settings, load_settings
from ctisync.settings.schema import template
from tests.docs import settings_table
from tests.support.json_schema import mistakes

WHOLE = re.sub(r"(?m)^#(?=[^# ])", "", template())
UNCOMMENTED = WHOLE.partition("\n[[watch]]")[0]
"""Without the watch: one without a name is a mistake."""


def loaded(text: str, tmp_path: Path) -> LoadedSettings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load_settings(file, {"HOME": str(tmp_path)}, system_file=tmp_path / "none")


def test_the_printed_file_sets_nothing(tmp_path: Path) -> None:
    assert loaded(template(), tmp_path).sources == {}
    assert loaded(template(), tmp_path).settings == loaded("", tmp_path).settings


def test_the_printed_file_has_the_defaults_when_each_line_is_uncommented(tmp_path: Path) -> None:
    assert UNCOMMENTED.count("\n#") < template().count("\n#")
    assert loaded(UNCOMMENTED, tmp_path).settings == loaded("", tmp_path).settings


def test_the_printed_file_holds_every_setting() -> None:
    def names(section: dict[str, Any]) -> set[str]:
        for name in ("consumers", "watch"):
            (section[f"{name}[]"],) = section.pop(name)
        return {
            f"{key}.{inner}" if isinstance(value, dict) else key
            for key, value in section.items()
            for inner in (value if isinstance(value, dict) else [""])
        }

    assert names(tomllib.loads(WHOLE)) == {name for name, _ in settings_table.every(Settings)}


@pytest.mark.parametrize(
    "line", re.findall(r"(?m)^#(\w+ = .*)$", template().split("#[[consumers]]")[1].split("\n[")[0])
)
def test_a_consumers_setting_without_its_heading_is_a_mistake(tmp_path: Path, line: str) -> None:
    """It would else become one of the section above."""
    with pytest.raises(ConfigurationError, match="unknown setting cti"):
        loaded(template().replace(f"#{line}", line), tmp_path)


def test_every_setting_is_explained() -> None:
    assert [name for name, one in settings_table.every(Settings) if not one.about] == []


def test_no_line_of_the_printed_file_is_too_long_to_read() -> None:
    assert max(map(len, template().splitlines())) <= 104


def test_the_schema_takes_the_printed_file_with_each_line_uncommented() -> None:
    assert mistakes(json_schema(), tomllib.loads(WHOLE)) == []
    assert mistakes(json_schema(), tomllib.loads(template())) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[cti]\nurll = 'x'", "cti.urll"),
        ("[ctii]", "ctii"),
        ("[limits]\nratios = 1", "limits.ratios"),
        ("[[consumers]]\nname = 'x'", "consumers[0].name"),
        ("[store]\nshards = 0", "store.shards"),
        ("[store]\nshards = 1025", "store.shards"),
        ("[store]\nshards = '1'", "store.shards"),
        ("[cti]\nretry_budget = 0", "cti.retry_budget"),
        ("on_feed_reset = 'ask'", "on_feed_reset"),
        ("[command_manager]\nenabled = 'yes'", "command_manager.enabled"),
        ("[[consumers]]\nresources = [1]", "consumers[0].resources[0]"),
    ],
)
def test_the_schema_refuses_what_the_settings_refuse(tmp_path: Path, text: str, where: str) -> None:
    assert any(where in mistake for mistake in mistakes(json_schema(), tomllib.loads(text))), mistakes(
        json_schema(), tomllib.loads(text)
    )
    with pytest.raises(ConfigurationError, match=r"expected|unknown setting"):
        loaded(text, tmp_path)


def test_the_schema_has_meaning_and_default_of_every_setting() -> None:
    sections = json_schema()["$defs"]
    for name, section in sections.items():
        for key, node in section["properties"].items():
            assert "$ref" in node or ("default" in node and node["description"]), f"{name}.{key}"
    assert sections["CtiSettings"]["properties"]["retry_budget"]["default"] == 300
    json.dumps(json_schema())
