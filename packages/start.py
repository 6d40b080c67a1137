"""Runs ctisync from the folder of its libraries: /usr/lib/ctisync in a package, and what a .pyz has unpacked.

A library that not each Python has is in a folder of its own, such as cpython-311-x86_64.
"""

import os
import sys

import ctisync

_LIBRARIES = ctisync.__file__.removesuffix("/ctisync/__init__.py")
sys.path.insert(1, f"{_LIBRARIES}/{sys.implementation.cache_tag}-{os.uname().machine}")

from ctisync.__main__ import main  # noqa: E402  # it imports those libraries

sys.exit(main())
