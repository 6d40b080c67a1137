"""The search on one target, in this process, which libFuzzer ends: NAME SECONDS SEED FOLDER.

A check that fails is told once a place, its input is kept, and the search goes on.
"""

import hashlib
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

import atheris

from tests.fuzz.target import TARGETS, Check, Target

_ALSO: Final = ("email", "prometheus_client", "tomllib", "urllib", "zipfile")
"""What reads something for ctisync, and leads the search by its branches, too."""


def main(name: str, seconds: str, seed: str, folder: str) -> None:
    with atheris.instrument_imports(include=["ctisync", *_ALSO]):
        from tests.fuzz import targets  # noqa: F401  # imports what is fuzzed

    target = TARGETS[name]
    corpus, findings = Path(folder, "corpus", name), Path(folder, "findings", name)
    for place in (corpus, findings):
        place.mkdir(parents=True, exist_ok=True)
    for each in target.inputs():
        (corpus / hashlib.sha256(each).hexdigest()[:16]).write_bytes(each)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words:
        words.writelines(map(_word, target.tokens))
        words.flush()
        options = {
            "max_total_time": seconds,
            "seed": seed,
            "max_len": target.most_bytes,
            "timeout": 20,
            "rss_limit_mb": 3000,
            "use_value_profile": 1,
            "print_final_stats": 1,
            "artifact_prefix": f"{findings}/",
            **({"dict": words.name} if target.tokens else {}),
        }
        arguments = [f"-{option}={value}" for option, value in options.items()]
        atheris.Setup([sys.argv[0], *arguments, str(corpus)], _each_once(target, findings))
        atheris.Fuzz()


def _word(token: bytes) -> str:
    """A line of a libFuzzer dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n'


def _each_once(target: Target, findings: Path) -> Check:
    reported: set[str] = set()

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "ctisync" in frame.filename or "fuzz" in frame.filename]
            place = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(ours[-3:]))
            key = f"{type(error).__name__} at {place}"
            if key not in reported:
                reported.add(key)
                name = hashlib.sha256(key.encode()).hexdigest()[:12]
                (findings / name).write_bytes(data)
                (findings / f"{name}.txt").write_text("".join(traceback.format_exception(error)))
                print(f"finding: {key}: {str(error)[:200]!r} ({name})", flush=True)

    return check


if __name__ == "__main__":
    main(*sys.argv[1:])
