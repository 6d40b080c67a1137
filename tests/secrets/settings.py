"""Which settings are secrets, by the settings' own types, and every way in which one can be set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from ctisync.settings import Settings
from ctisync.settings.sources import Secret, leaves, variable
from tests.secrets import canaries
from tests.secrets.canaries import Canary

Form = Literal["variable", "file", "variable that names a file", "file that names a file", "credential"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

KINDS: Final = {"token": canaries.token, "password": canaries.password, "url": canaries.word}

SECRETS: Final[Mapping[str, Canary]] = {
    name: next(make for end, make in KINDS.items() if name.endswith(end))(name)
    for name, kind in leaves(Settings).items()
    if Secret in (kind, *get_args(kind))
}
"""A canary for each, by its dotted name: a new one has it at once."""


def given(form: Form, folder: Path, ping: str = "http://127.0.0.1:9") -> dict[str, str]:
    """Sets the secrets; what the environment must then have. Files are put into `folder`, nowhere else.

    `ping`: the server whose address is a secret from its path on.
    """
    folder.mkdir(exist_ok=True)
    environ, lines = {"XDG_CONFIG_HOME": str(folder)}, []
    # Those of no section first: behind a section's heading they would be the section's.
    for name, canary in sorted(SECRETS.items(), key=lambda secret: "." in secret[0]):
        section, _, key = name.rpartition(".")
        heading = f"[{section}]\n" if section else ""
        text = f"{ping}/{canary.text}" if name == "ping_url" else canary.text
        match form:
            case "variable":
                environ[variable(name)] = text
            case "file":
                lines.append(f"{heading}{key} = {json.dumps(text)}\n")
            case "variable that names a file":
                environ[variable(f"{name}_file")] = _file(folder / f"{name}.txt", text)
            case "file that names a file":
                path = _file(folder / f"{name}.txt", text)
                lines.append(f"{heading}{key}_file = {json.dumps(path)}\n")
            case "credential":
                _file(folder / name, text)
                environ["CREDENTIALS_DIRECTORY"] = str(folder)
    (folder / "ctisync").mkdir(exist_ok=True)
    (folder / "ctisync" / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    return environ


def _file(path: Path, text: str) -> str:
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)
