"""Which settings are secrets, by the settings' own types, and every way in which one can be set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from ctisync.settings import Settings
from ctisync.settings.schema import leaf_types, variable
from ctisync.urls import Secret
from tests.secrets import canaries
from tests.secrets.canaries import Canary

Form = Literal["variable", "file", "variable that names a file", "file that names a file", "credential"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

KINDS: Final = {
    "token": canaries.token,
    "headers": canaries.token,
    "password": canaries.password,
    "url": canaries.word,
}
HEADER: Final = "wazuh-uid"

SECRETS: Final[Mapping[str, Canary]] = {
    name: next(make for end, make in KINDS.items() if name.endswith(end))(name)
    for name, kind in leaf_types(Settings).items()
    if Secret in (kind, *get_args(kind))
}
"""A canary for each, by its dotted name: a new one has it at once."""


def configure(form: Form, folder: Path, ping: str = "http://127.0.0.1:9") -> dict[str, str]:
    """Sets the secrets; what the environment must then have. Files are put into `folder`, nowhere else.

    `ping`: the server whose address is a secret from its path on.
    """
    folder.mkdir(exist_ok=True)
    environ, lines = {"XDG_CONFIG_HOME": str(folder)}, []
    for name, canary in SECRETS.items():
        text = f"{ping}/{canary.text}" if name == "ping_url" else canary.text
        of_table = name == "cti.headers"
        match form:
            case "variable":
                environ[variable(name)] = json.dumps({HEADER: text}) if of_table else text
            case "file":
                key = f"{name}.{HEADER}" if of_table else name
                lines.append(f"{key} = {json.dumps(text)}\n")
            case "variable that names a file":
                path = _file(folder / f"{name}.txt", text)
                as_json = json.dumps({HEADER: {"file": path}})
                environ[variable(name if of_table else f"{name}_file")] = as_json if of_table else path
            case "file that names a file":
                path = json.dumps(_file(folder / f"{name}.txt", text))
                lines.append(f"{name}.{HEADER}.file = {path}\n" if of_table else f"{name}_file = {path}\n")
            case "credential":
                _file(folder / name, json.dumps({HEADER: text}) if of_table else text)
                environ["CREDENTIALS_DIRECTORY"] = str(folder)
    (folder / "ctisync").mkdir(exist_ok=True)
    (folder / "ctisync" / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    return environ


def _file(path: Path, text: str) -> str:
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)
