"""Whether the tests that take long are part of this run: `TEST_LONG=1`. Without it they are not collected."""

import os
from typing import Final

LONG: Final = os.environ.get("TEST_LONG") == "1"
