"""Which modules are mutated, and which tests look at each: the quick and near ones first.

They run in one process, on the in-memory store, but for the lease, whose tests share one real OpenSearch.
What takes minutes (kills of real processes, all of the model machine) is left out: a mutant that only
these would notice counts as a survivor.
"""

from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]

_ONE_PASS: Final = ("tests/unit/one_pass",)
_MACHINE: Final = "tests/properties/test_model_machine.py"
_PASSES: Final = (
    "tests/contract/test_random_histories.py",
    "tests/crash/test_in_memory.py",
    f"{_MACHINE}::test_whatever_happens_in_whatever_order_the_promises_hold_in_memory",
    f"{_MACHINE}::test_whoever_was_overtaken_after_asking_the_feed_does_not_take_it_for_one_that_went_back",
)
MACHINE_SEQUENCES: Final = 40
_AUDITS: Final = ("tests/contract/test_auditing.py",)
_BULKS: Final = ("tests/stores/test_bulk_matrix.py", "tests/stores/test_opensearch_replies.py")
_TAKEN_OVER: Final = (
    "tests/stores/test_opensearch_lease.py",
    "tests/properties/test_write_order.py::test_the_store_takes_the_models_steps_in_the_models_order",
    "tests/stores/test_opensearch_crashes.py::test_a_swap_whose_new_content_is_gone_leaves_the_old_one_at_its_offset",
    "tests/stores/test_opensearch_crashes.py::test_a_pass_that_must_send_every_write_twice_ends_as_any_other",
)

Stages = tuple[tuple[str, ...], ...]

TESTS: Final[dict[str, Stages]] = {
    "core/account": (("tests/unit/test_account.py", "tests/unit/test_history.py"),),
    "core/advisory": (("tests/unit/test_advisory.py",),),
    "core/audit": (("tests/unit/test_audit.py",), _AUDITS),
    "core/comparison": (("tests/unit/test_comparison.py",), _AUDITS),
    "core/difference": (("tests/unit/test_difference.py",),),
    "core/foresight": (("tests/unit/test_foresight.py",),),
    "core/fold": (("tests/unit/test_fold.py",), _ONE_PASS, _PASSES),
    "core/health": (("tests/unit/test_health.py",),),
    "core/history": (("tests/unit/test_history.py",),),
    "core/json_text": (("tests/unit/test_json_text.py",), ("tests/unit/test_wire.py",)),
    "core/limits": (("tests/unit/test_defaults.py", "tests/settings"),),
    "core/links": (("tests/unit/test_links.py",),),
    "core/model": (
        ("tests/unit/test_fold.py", "tests/unit/test_wire.py", "tests/unit/test_defaults.py"),
        _ONE_PASS,
        _PASSES,
    ),
    "core/mounts": (("tests/unit/test_mounts.py",),),
    "core/patch": (
        ("tests/unit/test_patch_suite.py", "tests/unit/test_fold.py"),
        ("tests/unit/test_patch.py", "tests/unit/test_patch_limits.py", "tests/unit/test_patch_reason.py"),
    ),
    "core/retry": (("tests/unit/test_retry.py",), ("tests/feed/test_patience.py",)),
    "core/state": (
        ("tests/unit/test_state.py", "tests/unit/test_steps.py", "tests/unit/test_account.py"),
        _ONE_PASS,
        _PASSES,
    ),
    "core/steps": (("tests/unit/test_steps.py", "tests/unit/test_defaults.py"), _ONE_PASS, _PASSES),
    "core/tally": (("tests/unit/test_tally.py",), _AUDITS),
    "core/wire": (
        ("tests/unit/test_wire.py", "tests/unit/test_fold.py"),
        ("tests/feed/test_changes.py", "tests/feed/test_consumer_info.py"),
    ),
    "core/words": (("tests/unit/test_words.py",),),
    "sync/init_snapshot": (_ONE_PASS, _PASSES),
    "sync/load_given": (_ONE_PASS, ("tests/scenarios/test_real_records.py",)),
    "sync/run_pass": (_ONE_PASS, _PASSES),
    "sync/send_command": (_ONE_PASS, _PASSES),
    "sync/update": (_ONE_PASS, _PASSES),
    "sync/verify": (("tests/unit/test_verify.py",), _AUDITS),
    "stores/opensearch_actions": (_BULKS,),
    "stores/opensearch_records": (_BULKS,),
    "stores/opensearch_lease": (("tests/stores/test_lease_conflicts.py",), _TAKEN_OVER),
    "stores/opensearch_takeover": (("tests/stores/test_takeover.py",), _TAKEN_OVER),
}
WITH_A_SERVER: Final = frozenset({"stores/opensearch_lease", "stores/opensearch_takeover"})


class Module(NamedTuple):
    name: str

    @property
    def path(self) -> Path:
        return ROOT / "src" / "ctisync" / f"{self.name}.py"

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def imported_as(self) -> str:
        return f"ctisync.{self.name.replace('/', '.')}"

    @property
    def stages(self) -> Stages:
        return TESTS[self.name]


def modules(words: list[str]) -> list[Module]:
    """Those whose name begins with one of the words; all without a word."""
    return [Module(name) for name in TESTS if not words or name.startswith(tuple(words))]


def unplanned() -> set[str]:
    """Modules of the core and of the pass that nobody has planned tests for."""
    found = {
        f"{room}/{path.stem}"
        for room in ("core", "sync")
        for path in (ROOT / "src" / "ctisync" / room).glob("*.py")
        if path.stem != "__init__"
    }
    return found - TESTS.keys()
