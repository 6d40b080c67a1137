"""Whether this run has time: `TEST_LONG=1`, as `make test-long` sets it.

Else what is marked `long` is left out.
"""

import os
from typing import Final

LONG: Final = os.environ.get("TEST_LONG") == "1"
