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

SECRETS: Final[Mapping[str, Canary]] = {
    name: canaries.token(name) if name.endswith("token") else canaries.password(name)
    for name, kind in leaves(Settings).items()
    if Secret in (kind, *get_args(kind))
}
"""A canary for each, by its dotted name: a new one has it at once."""


def given(form: Form, folder: Path, secrets: Mapping[str, Canary] = SECRETS) -> dict[str, str]:
    """Sets the secrets; what the environment must then have. Files are put into `folder`, nowhere else."""
    folder.mkdir(exist_ok=True)
    environ, lines = {"XDG_CONFIG_HOME": str(folder)}, []
    for name, canary in secrets.items():
        section, _, key = name.rpartition(".")
        match form:
            case "variable":
                environ[variable(name)] = canary.text
            case "file":
                lines.append(f"[{section}]\n{key} = {json.dumps(canary.text)}\n")
            case "variable that names a file":
                environ[variable(f"{name}_file")] = _file(folder / f"{name}.txt", canary)
            case "file that names a file":
                path = _file(folder / f"{name}.txt", canary)
                lines.append(f"[{section}]\n{key}_file = {json.dumps(path)}\n")
            case "credential":
                _file(folder / name, canary)
                environ["CREDENTIALS_DIRECTORY"] = str(folder)
    (folder / "ctisync").mkdir(exist_ok=True)
    (folder / "ctisync" / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    return environ


def _file(path: Path, canary: Canary) -> str:
    path.write_text(canary.text + "\n", encoding="utf-8")
    return str(path)
