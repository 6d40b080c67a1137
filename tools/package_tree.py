"""The libraries of a package: the wheel of `make dist`, and the wheels that requirements/runtime.txt pins.

Those of all supported Pythons share one folder. A module in C has its Python and its processor in its name,
so four Pythons need little more space than one, and a host with another Python needs no other package.
"""

import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from packaging.requirements import Requirement

from tools.release_files import RUNTIME

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""packages/ctisync looks for them, and packages/nfpm.yaml depends on one of them."""

PLATFORMS: Final = ("manylinux_2_28_{}", "manylinux_2_17_{}", "manylinux2014_{}")
"""The C library of the oldest host, Red Hat Enterprise Linux 9, is newer."""

UNUSED: Final = (
    # opensearch-py requires them for a transport that it has no code for yet; no module of it imports them.
    "grpc/*", "grpcio-*", "google/*", "protobuf-*", "opensearch/*", "opensearch_protobufs-*",
    # zstandard for PyPy, which needs cffi too. Of that, cryptography needs the module in C alone.
    "zstandard/_cffi.*", "cffi/*", "pycparser/*", "pycparser-*",
    # What rich could colour: the languages, but for their list.
    "pygments/lexers/[a-z]*", "pygments/lexers/_*_builtins.py",
    # A second client, for asyncio.
    "opensearchpy/_async/client/*", "opensearchpy/_async/plugins/*",
    # The sources of the C++ library beside the module that was made of it.
    "simdjson/simdjson.*",
    # Commands of libraries.
    "*.data/scripts/*",
)  # fmt: skip
"""Files of the wheels that no package has: ctisync never loads them, and they are two thirds of the bytes."""


def download(python: str, machine: str, folder: Path) -> list[Path]:
    """The locked wheels for that Python and processor, such as "3.11" and "x86_64"; pip checks their hashes.

    `folder` keeps them, and what it has is not fetched again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requirements = "".join(_lines_for(python, machine))
    locked, complete = folder / "requirements.txt", folder / "complete.txt"
    here = complete.exists() and complete.read_text(encoding="utf-8") == requirements
    locked.write_text(requirements, encoding="utf-8")
    for_it = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:"]
    for_it += [word for name in PLATFORMS for word in ("--platform", name.format(machine))]
    for_it += ["--no-index", "--find-links", str(folder)] if here else []
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [*pip, "--no-deps", "--require-hashes", *for_it, "--dest", str(folder), "--requirement", str(locked)],
        check=True,
    )
    complete.write_text(requirements, encoding="utf-8")
    return sorted(folder.glob("*.whl"))


def _lines_for(python: str, machine: str) -> Iterator[str]:
    """pip would judge the markers by the Python that it runs in, so they are judged here."""
    target = {"python_version": python, "platform_machine": machine, "implementation_name": "cpython"}
    for entry in re.split(r"(?m)^(?=\w)", RUNTIME.read_text(encoding="utf-8"))[1:]:
        pin, _, rest = entry.partition(" \\\n")
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate(target):
            yield f"{pin.partition(' ;')[0]} \\\n{rest}"


def libraries(wheels: Mapping[str, Sequence[Path]]) -> dict[str, bytes]:
    """The content of the common folder, by path. `wheels`: those of each Python and processor, by the name of
    the folder for libraries that not all of them have, such as "cpython-311-x86_64".

    Raises ValueError if two wheels have different files of one name.
    """
    shared = set.intersection(*({_distribution(wheel) for wheel in each} for each in wheels.values()))
    files: dict[str, bytes] = {}
    for own, each in wheels.items():
        for wheel in each:
            folder = "" if _distribution(wheel) in shared else f"{own}/"
            for path, content in _contents(wheel):
                if files.setdefault(folder + path, content) != content and ".dist-info/" not in path:
                    raise ValueError(f"{path} is not the same in {wheel.name} as in another wheel")
    return files


def _distribution(wheel: Path) -> str:
    return wheel.name.partition("-")[0]


def _contents(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with ZipFile(wheel) as opened:
        for path in opened.namelist():
            if not path.endswith("/") and not any(fnmatch(path, unused) for unused in UNUSED):
                content = opened.read(path)
                yield path, without_debug_sections(content) if re.search(r"\.so(\.|$)", path) else content


def without_debug_sections(library: bytes) -> bytes:
    """A shared library as far as it is loaded. Sections for debuggers follow: of zstandard, 10 of 11 MB.

    strip(1) would need a version that is locked, and one for each processor.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a library for a little-endian processor with 64 bits")
    (start,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    segments = (struct.unpack_from("<8xQ16xQ", library, start + size * number) for number in range(count))
    loaded = bytearray(library[: max(offset + length for offset, length in segments)])
    struct.pack_into("<Q", loaded, 40, 0)  # where the table of sections begins,
    struct.pack_into(
        "<HHH", loaded, 58, 0, 0, 0
    )  # the size of an entry, their number, and the one of the names
    return bytes(loaded)
