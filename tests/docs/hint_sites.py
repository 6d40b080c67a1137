"""Each hint of the program that has a command in it: in which trouble a test types it, or why none does."""

from typing import Final

LOOK: Final = "it shows what is wrong; what then helps depends on that"
ROOM: Final = "you free disk space"
CHOICE: Final = "you choose the name of a file, folder or address"
LIMIT: Final = "you decide whether what the feed sends is right, and change a setting"
OTHERS: Final = "another program, or the host, is to be mended"
AS_ROOT: Final = "tests may run as root, to whom nothing is forbidden"
HELP: Final = "it shows how the command line is written"

TYPED: Final = {
    "commands/doctor.py: what_to_type(one, now)": "nothing is stored",
    "commands/verify.py: 'ctisync sync'": "nothing is stored",
    "system/locks.py: to_chown(path) or f'ls -ld {quoted(path)};": "a pass was run as another user",
    "system/locks.py: to_chown(path) or f'while no pass runs": "a link in the place of the lock",
    "stores/opensearch/store.py: LOAD_ANEW": "a foreign document",
    "stores/opensearch/client.py: blocks.lifted(": "the content is read-only",
    "stores/opensearch/client.py: blocks.limit_raised(": "as many shards as may be",
    "stores/opensearch/diagnose.py: blocks.lifted(": "the content is read-only",
    "stores/opensearch/diagnose.py: mended(": "a template adds an alias",
    "stores/opensearch/generations.py: mended(": "a template adds an alias",
    "stores/opensearch/generations.py: typed": "two generations under the alias",
    "stores/opensearch/generations.py: f'set consumers[].index to another name, or give": (
        "the alias moved elsewhere"
    ),
    'stores/opensearch/generations.py: f"set consumers[].index to another name, or remove': (
        "an index in the place of the alias"
    ),
    "stores/opensearch/state_document.py: f'{typed}{SYNC}": "the state is no object",
    "stores/opensearch/bulk.py: LOAD_ANEW": "a record is altered before it changes",
    'stores/opensearch/bulk.py: f"{LOAD_ANEW} (into': "another mapping",
    "stores/invariants.py: 'ctisync sync'": "nothing is stored",
    "stores/sqlite/connection.py: set_aside(path)": "the file is damaged",
    "stores/sqlite/connection.py: 'ctisync sync'": "the file goes away during a pass",
    "stores/sqlite/connection.py: f'rm {quoted(each)}": "a pipe beside the file",
    "sync/run_pass.py: f'{LOAD_ANEW} (loads the content again": "a range that cannot be",
    "sync/run_pass.py: 'ctisync sync'": "nothing is stored",
    "sync/run_pass.py: 'ctisync status": "the command is not accepted",
    "sync/run_pass.py: f'{replacing(consumer)}": "another consumer has the index",
    "stores/opensearch/diagnose.py: replacing(": "another consumer has the alias",
    "sync/run_pass.py: f'{LOAD_ANEW} (loads": "other resources are wanted",
    'sync/run_pass.py: f"""{LOAD_ANEW} (loads the feed': "the feed has begun anew",
    "wiring.py: f'mkdir -p": "the folder is missing",
}
"""The beginning of the hint's expression, with its file; the trouble."""

NOT_TYPED: Final = {
    "cli/": HELP,
    "commands/status/read.py: f'ctisync doctor": LOOK,
    "commands/passes.py: f'ls -ld": LOOK,
    "commands/config/init.py: 'ctisync config init": CHOICE,
    "commands/config/show.py: 'ctisync config show": HELP,
    "commands/config/show.py: f'ctisync config": HELP,
    "commands/diff.py: 'compare two files": CHOICE,
    "commands/diff.py: 'ctisync diff": CHOICE,
    "commands/doctor.py: 'wait until then": "the feed is to be well again",
    "commands/dry_run.py: 'ctisync init-snapshot": CHOICE,
    "commands/examples.py: 'ctisync examples'": HELP,
    "commands/export.py: 'ctisync export": CHOICE,
    "commands/forget.py: f'ctisync forget": "you decide what is removed",
    "commands/forget.py: f'ls -ld": LOOK,
    "commands/init_snapshot.py: 'pass the correct": CHOICE,
    "commands/package.py: f'copy all": CHOICE,
    "commands/package.py: f'ls -ld": LOOK,
    "commands/invocation.py: 'ctisync doctor'": LOOK,
    "core/health.py: 'timedatectl'": OTHERS,
    "core/health.py: f'df -h": ROOM,
    "demo/": CHOICE,
    "errors.py: f'if this is expected": LIMIT,
    "feed/http/budget.py: f'free disk space": ROOM,
    "feed/snapshot/download.py: f'ctisync loads": "the feed is to offer another snapshot",
    "feed/snapshot/download.py: f'if the feed has grown": LIMIT,
    "feed/snapshot/parsers.py: 'install its wheel": OTHERS,
    "feed/http/url_policy.py: 'if this is expected": LIMIT,
    "feed/diagnose.py: 'ctisync init-snapshot --from": CHOICE,
    "feed/diagnose.py: f'curl -i": LOOK,
    "feed/snapshot/spool.py: to_chown(": "as of the lock, which is met first",
    "feed/snapshot/spool.py: f'ls -ld": LOOK,
    "feed/http/connection.py: 'pip install": OTHERS,
    "system/locks.py: to_chown(path) or f'ls -ld {quoted(path.parent)}'": AS_ROOT,
    "system/locks.py: f'df -T": LOOK,
    "system/locks.py: f'mkdir -p": "as of the store, which is met first",
    "system/files.py: f'": CHOICE,
    "settings/": LOOK,
    'stores/opensearch/client.py: f"look at its log': LOOK,
    "stores/opensearch/client.py: f\"look at: {self.curl.looks('/_all": LOOK,
    "stores/opensearch/client.py: f'check": OTHERS,
    "stores/opensearch/client.py: f'ctisync examples": "you are the administrator, who gives the role",
    "stores/opensearch/cluster.py: f'list nodes": CHOICE,
    "stores/opensearch/diagnose.py: f'after": "the lease is to end first",
    "stores/opensearch/diagnose.py: client.curl.looks(": LOOK,
    "stores/opensearch/diagnose.py: 'ctisync examples": "you are the administrator, who gives the role",
    'stores/opensearch/diagnose.py: f"free disk space': ROOM,
    "stores/opensearch/hidden.py: 'ctisync doctor": LOOK,
    'stores/opensearch/state_document.py: f"look at its mapping': LOOK,
    "stores/opensearch/writer.py: f'stop the other program": OTHERS,
    "stores/disk_space.py: f'ls -ld": LOOK,
    'stores/disk_space.py: f"ls -ld': LOOK,
    "stores/disk_space.py: f'mkdir -p": "as of the pass, which is typed",
    "stores/sqlite/diagnose.py: to_chown(": "as of the lock, which is met first",
    "stores/sqlite/diagnose.py: f'df -h": ROOM,
    "stores/sqlite/connection.py: 'as its owner": AS_ROOT,
    "stores/sqlite/connection.py: to_chown(": AS_ROOT,
    "stores/sqlite/connection.py: f'df -h": ROOM,
    "stores/sqlite/connection.py: f'fuser": OTHERS,
    "stores/sqlite/connection.py: f'mkdir -p": "as of the store's folder, which is typed",
    "stores/sqlite/connection.py: to_open(": AS_ROOT,
    "stores/sqlite/load.py: 'ctisync sync'": "a look within a load: the pass's own test brings it about",
    "stores/sqlite/turn.py: to_chown(": "as of the lock, which is met first",
    "stores/sqlite/turn.py: f'fuser": OTHERS,
    "stores/invariants.py: 'ctisync status'": LOOK,
    "sync/init_snapshot.py: f'correct `resources`": LIMIT,
    "sync/run_pass.py: 'ctisync sync (sync can": "the feed is to offer another change",
    "sync/run_pass.py: f'if this is expected": LIMIT,
    'tls.py: f"timedatectl': OTHERS,
}
"""The same, and the reason."""
