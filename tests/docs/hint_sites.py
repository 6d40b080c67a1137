"""Each hint of the program that has a command in it: in which trouble a test types it, or why none does.

A hint is named by its function, and by its place among the hints of that function: to reword or to move one
changes nothing here.
"""

from typing import Final

LOOK: Final = "it shows what is wrong; what then helps depends on that"
ROOM: Final = "you free disk space"
CHOICE: Final = "you choose the name of a file, folder or address"
LIMIT: Final = "you decide whether what the feed sends is right, and change a setting"
OTHERS: Final = "another program, or the host, is to be mended"
AS_ROOT: Final = "tests may run as root, to whom nothing is forbidden"
HELP: Final = "it shows how the command line is written"
ADMINISTRATOR: Final = "you are the administrator, who gives the role"
FEED_WELL: Final = "the feed is to be well again"
LEASE_ENDS: Final = "the lease is to end first"
LOCK_FIRST: Final = "as of the lock, which is met first"
MIRROR: Final = "the tests of mirrors type it"
NEW_CHANGE: Final = "the feed is to offer another change"
NEW_SNAPSHOT: Final = "the feed is to offer another snapshot"
PASS_FIRST: Final = "as of the pass, which is typed"
PASS_PRINTS: Final = "a pass prints the same, and it is typed there"
REMOVAL: Final = "you decide what is removed"
STORE_FIRST: Final = "as of the store, which is met first"
STORE_FOLDER: Final = "as of the store's folder, which is typed"
WITHIN_A_LOAD: Final = "a look within a load: the pass's own test brings it about"

REASONS: Final = frozenset(value for name, value in globals().items() if name.isupper())

HINTS: Final[dict[str, tuple[str, ...]]] = {
    "help_": (HELP,),
    "_context_of": (HELP,),
    "_values": (HELP,),
    "_manual": (HELP,),
    "Invocation.warn_of_hidden": (HELP,),
    "_refuse_metrics": (HELP,),
    "phrases_of": (HELP,),
    "_chosen": (HELP, HELP),
    "_read": (HELP, HELP),
    "_foreign": (OTHERS,),
    "IndexFile._not_written": (ROOM,),
    "init": (CHOICE,),
    "_as_value": (HELP, HELP),
    "_folder": (CHOICE, CHOICE),
    "_compare": (CHOICE,),
    "_no_export": (CHOICE,),
    "_content": ("nothing is stored", FEED_WELL),
    "_plan_loads": (CHOICE,),
    "examples": (HELP,),
    "_examples": (HELP,),
    "export": (CHOICE,),
    "forget": (REMOVAL,),
    "_remove": (LOOK,),
    "_removed_consumer": (REMOVAL,),
    "history": (HELP,),
    "write_page": (CHOICE,),
    "init_snapshot": (HELP,),
    "_check_offset": (CHOICE,),
    "_check_folder": (LOOK,),
    "check_folder": ("the folder is missing",),
    "_Package._read": (LOOK,),
    "_Package._source_of": (CHOICE,),
    "sources_to_load": (HELP,),
    "status": (HELP, HELP),
    "read_status": (LOOK,),
    "judge_clocks": (OTHERS,),
    "judge_disk_space": (ROOM,),
    "SnapshotRefused.over_limit": (LIMIT,),
    "_offered": (CHOICE,),
    "_recorded": (LOOK,),
    "FreeDiskSpace.check": (ROOM,),
    "ConnectionWatch.check": (OTHERS,),
    "Reach.check_address": (LIMIT,),
    "Download._check_not_refused": (NEW_SNAPSHOT,),
    "Download._too_large": (LIMIT,),
    "elements": (OTHERS,),
    "SpoolFolder._usable_folder": (LOCK_FIRST,),
    "downloads": (LOOK,),
    "check_readable": (LOOK,),
    "read_text_file": (LOOK,),
    "_readable_secrets": (LOOK,),
    "free_in": (LOOK,),
    "diagnose_folder": (LOOK, PASS_FIRST),
    "no_content": (LOOK, "nothing is stored", "nothing is stored"),
    "Client.call": (OTHERS,),
    "check_one_cluster": (CHOICE,),
    "refusal": ("as many shards as may be", ADMINISTRATOR, OTHERS, LOOK),
    "_blocked": ("the content is read-only", LOOK),
    "_server": (LOOK,),
    "_rights": (ADMINISTRATOR,),
    "_cluster": (LOOK,),
    "_disk": (ROOM,),
    "_blocks": ("the content is read-only",),
    "_alias": ("another consumer has the alias",),
    "_facts": ("no facts index yet",),
    "_lease": (LEASE_ENDS,),
    "Generations.create_index": ("a template adds an alias",),
    "Generations._check_inheritance": ("a template adds an alias",),
    "Generations.inventory": ("an index in the place of the alias",),
    "Generations.facts": ("an index in the place of the facts",),
    "Generations._wrong_targets": ("two generations under the alias", "the alias moved elsewhere"),
    "_check_unaltered": ("a record is altered before it changes",),
    "Records._is_conflict": ("another mapping",),
    "PointInTime._check_order": (LOOK,),
    "StateDocument._prepare_index": (LOOK,),
    "StateDocument._damaged": ("the state is no object",),
    "_line": ("a foreign document",),
    "OpenSearchInspection._live_index": ("the content is read-only",),
    "OpenSearchInspection._facts": ("facts are missing",),
    "OpenSearchWriter._check_conflicts": (OTHERS,),
    "_open_reader": (AS_ROOT,),
    "Writable.transaction": ("the file goes away during a pass",),
    "translate_errors": ("the file is damaged",),
    "_as_error": ("the file goes away during a pass", OTHERS, ROOM, AS_ROOT, "the file is damaged"),
    "exists": ("a pipe beside the file",),
    "create": (STORE_FOLDER,),
    "_cannot_open": (ROOM, AS_ROOT),
    "no_access": (AS_ROOT, AS_ROOT),
    "turn": (OTHERS,),
    "_cannot_lock": (LOCK_FIRST,),
    "SqliteInspection.findings": (PASS_PRINTS,),
    "refusals": (ROOM,),
    "_unwritable": (LOCK_FIRST,),
    "SqliteLoad.publish": (WITHIN_A_LOAD,),
    "_load": (LIMIT,),
    "_Pass.run": ("the command is not accepted",),
    "_cooldown_hint": (FEED_WELL,),
    "_unfit_offsets": ("the feed has begun anew", LIMIT, MIRROR, MIRROR),
    "_Pass._check_history": (MIRROR,),
    "_mirror": (FEED_WELL,),
    "_offset": (HELP,),
    "_check_changes": (MIRROR,),
    "import_": (HELP, HELP),
    "_readable": (LOOK,),
    "LocalFiles.opened": (LOOK, LOOK),
    "HttpFiles._refuse": (LOOK,),
    "HttpFiles._persist": (LOOK,),
    "mirror": (HELP,),
    "signer_of": (MIRROR,),
    "check_age": (MIRROR,),
    "SigningKey.__init__": (LOOK, MIRROR),
    "_unusable": (CHOICE,),
    "MirrorFolder._errors": (MIRROR, ROOM),
    "serve": (OTHERS, MIRROR),
    "_listening": (CHOICE, CHOICE, CHOICE),
    "_checked_url": (CHOICE,),
    "ServedMirror._load": (MIRROR,),
    "bad_end": (
        "a range that cannot be",
        "other resources are wanted",
        "another consumer has the index",
        NEW_CHANGE,
        "nothing is stored",
    ),
    "_risk_in": (CHOICE,),
    "_take": (LOOK,),
    "_named_errors": ("a link in the place of the lock", STORE_FIRST, AS_ROOT),
    "diagnose": ("a pass was run as another user",),
}
"""By function: for each of its hints the trouble in which it is typed (see `troubles`), or the reason."""
