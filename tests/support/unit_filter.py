"""Runs a command under the system call filters that systemd sets up for a unit.

`python -m tests.support.unit_filter UNIT COMMAND...` needs libseccomp and systemd-analyze. It applies
SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute=, as systemd.exec(5) describes them.
"""

import ctypes
import ctypes.util
import errno
import mmap
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ANALYZE: Final = shutil.which("systemd-analyze") or ""

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_EQUAL: Final = 4
_MASKED_EQUAL: Final = 7
_FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
_LAST_FAMILY: Final = 46
_SHM_EXEC: Final = 0o100000


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`: of the argument with this number."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def allowed(unit: str) -> set[str]:
    """The system calls that `SystemCallFilter=` allows: the lists of allowed ones, without those of denied
    ones."""
    sets = _sets()
    calls: set[str] = set()
    for line in values(unit, "SystemCallFilter"):
        named = set(_expanded(line.lstrip("~").split(), sets))
        calls = calls - named if line.startswith("~") else calls | named
    return calls | set(_expanded(["@default"], sets))


def _sets() -> dict[str, list[str]]:
    text = subprocess.run(
        [ANALYZE, "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    ).stdout
    blocks = re.findall(r"^(@[\w-]+)\n((?:    .*\n)*)", text, re.MULTILINE)
    return {name: re.findall(r"^    ([@\w-]+)$", lines, re.MULTILINE) for name, lines in blocks}


def _expanded(names: Sequence[str], sets: dict[str, list[str]]) -> Iterator[str]:
    for name in names:
        if name.startswith("@"):
            yield from _expanded(sets[name], sets)
        else:
            yield name


def confine(unit: str) -> None:
    """Apply the filters of the unit to this process, and to the program that it executes."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp"), use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    own = {_FAMILIES[name] for line in values(unit, "RestrictAddressFamilies") for name in line.split()}
    families = [
        ("socket", _ERRNO | errno.EAFNOSUPPORT, (0, _EQUAL, family, 0))
        for family in range(_LAST_FAMILY)
        if family not in own
    ]
    _load(library, _ALLOW, families)
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        masks = {
            "mmap": (2, _MASKED_EQUAL, both, both),
            "mprotect": (2, _MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC),
            "pkey_mprotect": (2, _MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC),
            "shmat": (2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC),
        }
        _load(library, _ALLOW, [(name, _ERRNO | errno.EPERM, mask) for name, mask in masks.items()])
    # The last one: it takes away the call that sets up a filter.
    _load(library, _ERRNO | errno.EPERM, [(name, _ALLOW, ()) for name in allowed(unit)])


def _load(library: Any, otherwise: int, rules: Sequence[tuple[str, int, Sequence[int]]]) -> None:
    """Load one more filter. A system call that this machine lacks needs no rule."""
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(otherwise)))
    for name, action, comparison in rules:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue
        compared = (_Comparison * 1)(_Comparison(*comparison)) if comparison else None
        failed = library.seccomp_rule_add_array(
            context, ctypes.c_uint32(action), number, 1 if comparison else 0, compared
        )
        assert failed == 0, (name, failed)
    failed = library.seccomp_load(context)
    assert failed == 0, failed


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    confine(text)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
