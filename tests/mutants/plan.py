"""Which modules are mutated, and which tests look at each: the quick and near ones first.

They run in one process, on the in-memory store, but for the lease, whose tests share one real OpenSearch.
What takes minutes (kills of real processes, all of the model machine) is left out: a mutant that only
these would notice counts as a survivor.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.planted.places import Source, places, sources

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
_TAKEOVERS: Final = (
    "tests/stores/test_opensearch_lease.py",
    "tests/properties/test_write_order.py::test_the_store_takes_the_models_steps_in_the_models_order",
    "tests/stores/test_opensearch_crashes.py::test_a_swap_whose_new_content_is_gone_leaves_the_old_one_at_its_offset",
    "tests/stores/test_opensearch_crashes.py::test_a_pass_that_must_send_every_write_twice_ends_as_any_other",
)

Stages = tuple[tuple[str, ...], ...]

TESTS: Final[dict[str, Stages]] = {
    "PassReport": (
        ("tests/unit/test_pass_report.py", "tests/unit/test_history.py", "tests/unit/test_incidents.py"),
    ),
    "facts_of": (("tests/unit/test_facts.py",),),
    "document_of": (("tests/unit/test_facts_document.py",),),
    "fields_of": (("tests/unit/test_facts.py",),),
    "Scanner": (("tests/unit/test_scanner.py",),),
    "Conditions": (("tests/unit/test_conditions.py",),),
    "consumer_reply": (("tests/unit/test_api.py",),),
    "Manifest": (("tests/unit/test_mirror_manifest.py",),),
    "part": (("tests/mirror/test_hostile_bundles.py", "tests/mirror/test_bundles.py"),),
    "Publication": (("tests/mirror/test_hostile.py",),),
    "unpacked": (("tests/mirror/test_hostile.py", "tests/mirror/test_publishing.py"),),
    "Trust": (("tests/unit/test_trust.py",),),
    "Watch": (("tests/unit/test_watches.py",), ("tests/crash/test_watches.py",)),
    "report_matches": (("tests/crash/test_watches.py",),),
    "conditions_of": (("tests/unit/test_terms.py",),),
    "Phrase": (("tests/unit/test_phrases.py",),),
    "read_inventory": (("tests/unit/test_inventory.py",),),
    "as_struct": (("tests/unit/test_facts.py",),),
    "affects": (("tests/unit/test_versions.py",),),
    "plans_in": (("tests/unit/test_plans.py", "tests/unit/test_manifest.py"),),
    "Finding": (("tests/unit/test_findings.py",), _AUDITS),
    "RecordRules": (("tests/unit/test_rules.py", "tests/unit/test_comparison.py"), _AUDITS),
    "differences": (("tests/unit/test_difference.py",),),
    "plan_pass": (("tests/unit/test_pass_plan.py",),),
    "fold": (("tests/unit/test_fold.py",), _ONE_PASS, _PASSES),
    "judge_clocks": (("tests/unit/test_health.py",),),
    "Incident": (("tests/unit/test_incidents.py",),),
    "check_line": (
        ("tests/unit/test_json_text.py", "tests/unit/test_lazy_json.py"),
        ("tests/unit/test_wire.py", "tests/unit/test_fold.py"),
        ("tests/unit/test_rules.py", "tests/unit/test_manifest.py", "tests/unit/test_patch.py"),
    ),
    "Limits": (("tests/unit/test_defaults.py", "tests/settings"),),
    "public_link": (("tests/unit/test_links.py", "tests/unit/test_catalog.py"),),
    "ConsumerInfo": (
        ("tests/unit/test_fold.py", "tests/unit/test_wire.py", "tests/unit/test_defaults.py"),
        _ONE_PASS,
        _PASSES,
    ),
    "network_kind": (("tests/unit/test_mounts.py",),),
    "PatchError": (
        ("tests/unit/test_patch_suite.py", "tests/unit/test_fold.py"),
        ("tests/unit/test_patch.py", "tests/unit/test_patch_limits.py", "tests/unit/test_patch_reason.py"),
    ),
    "next_delay": (("tests/unit/test_retry.py",), ("tests/feed/test_patience.py",)),
    "ConsumerState": (
        ("tests/unit/test_state.py", "tests/unit/test_steps.py", "tests/unit/test_pass_report.py"),
        _ONE_PASS,
        _PASSES,
    ),
    "next_step": (
        ("tests/unit/test_steps.py", "tests/unit/test_contradictions.py", "tests/unit/test_defaults.py"),
        _ONE_PASS,
        _PASSES,
    ),
    "Verification": (("tests/unit/test_verification.py", "tests/unit/test_audit.py"), _AUDITS),
    "offset_in_name": (
        ("tests/unit/test_wire.py", "tests/unit/test_wire_names.py", "tests/unit/test_fold.py"),
        ("tests/feed/test_changes.py", "tests/feed/test_consumer_info.py"),
    ),
    "counted": (("tests/unit/test_words.py", "tests/unit/test_times.py"), ("tests/unit/test_status.py",)),
    "undecided": (("tests/feed/test_quick_lines.py",),),
    "_load_file": (_ONE_PASS, ("tests/scenarios/test_real_records.py",), _PASSES),
    "Parts": (_ONE_PASS,),
    "run_pass": (_ONE_PASS, _PASSES),
    "Updates": (_ONE_PASS, _PASSES),
    "BulkResult": ((*_BULKS, "tests/stores/test_opensearch_senders.py"),),
    "Records": (_BULKS,),
    "LeaseHolder": (("tests/stores/test_lease_conflicts.py",), _TAKEOVERS),
    "FencedLease": (("tests/stores/test_takeover.py",), _TAKEOVERS),
}
"""A module is known by a function or class that it alone defines: it may move, and get another name."""
WITH_A_SERVER: Final = frozenset({"LeaseHolder", "FencedLease"})
WHOLE: Final = ("next_step", "run_pass", "RecordRules")
"""By what the packages are known of which no module may be left out: the core's, the pass's and verify's."""


class Unplanned(Exception):
    """The code has moved on: the plan must be made to fit."""


class Module(NamedTuple):
    anchor: str
    source: Source

    @property
    def name(self) -> str:
        """As people type it, and as it is called today: `core/fold`."""
        return self.source.module.removeprefix("ctisync.").replace(".", "/")

    @property
    def stages(self) -> Stages:
        return TESTS[self.anchor]

    @property
    def with_a_server(self) -> bool:
        return self.anchor in WITH_A_SERVER


def modules(words: Sequence[str] = (), root: Path = ROOT) -> list[Module]:
    """Those whose name begins with one of the words, or known by one; all without. Raises Unplanned."""
    among = sources(root)
    by_source: dict[Source, Module] = {}
    for name in TESTS:
        source = defining(name, among)
        if source in by_source:
            both = f"`{by_source[source].anchor}` and `{name}`"
            raise Unplanned(f"tests/mutants/plan.py has {source.module} twice, by its {both}")
        by_source[source] = Module(name, source)
    return [
        module
        for module in by_source.values()
        if not words or module.name.startswith(tuple(words)) or module.anchor in words
    ]


def defining(name: str, among: list[Source]) -> Source:
    """The one module that defines a name. Raises Unplanned."""
    defined_in = sorted({place.source for place in places(among, name) if not place.is_import})
    if len(defined_in) != 1:
        where = " and ".join(source.module for source in defined_in)
        defined = f"{where} define that" if defined_in else "no module defines that"
        raise Unplanned(f"tests/mutants/plan.py knows a module by its `{name}`, but {defined}")
    return defined_in[0]


def unplanned(root: Path = ROOT) -> set[str]:
    """Modules of the core, of the pass and of verify for which no tests are planned."""
    among = sources(root)
    packages = {_package(defining(name, among)) for name in WHOLE}
    required = {source.module for source in among if _package(source) in packages and not source.is_package}
    return required - {module.source.module for module in modules(root=root)}


def _package(source: Source) -> str:
    """`ctisync.core`, also of what lies in a package below it."""
    return ".".join(source.module.split(".")[:2])
