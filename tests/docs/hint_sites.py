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
    "locks.py: claimed(path) or f'ls -ld {quoted(path)};": "a pass was run as another user",
    "locks.py: claimed(path) or f'while no pass runs": "a link in the place of the lock",
    "stores/opensearch.py: LOAD_ANEW": "a foreign document",
    "stores/opensearch_client.py: blocks.lifted(": "the content is read-only",
    "stores/opensearch_examination.py: blocks.lifted(": "the content is read-only",
    "stores/opensearch_examination.py: mended(": "a template adds an alias",
    "stores/opensearch_generations.py: mended(": "a template adds an alias",
    "stores/opensearch_generations.py: typed": "two generations under the alias",
    "stores/opensearch_generations.py: f'set consumers[].index to another name, or give": (
        "the alias moved elsewhere"
    ),
    'stores/opensearch_generations.py: f"set consumers[].index to another name, or remove': (
        "an index in the place of the alias"
    ),
    "stores/opensearch_state.py: f'{typed}{SYNC}": "the state is no object",
    "stores/opensearch_records.py: LOAD_ANEW": "a record is altered before it changes",
    'stores/opensearch_records.py: f"{LOAD_ANEW} (into': "another mapping",
    "stores/guards.py: 'ctisync sync'": "nothing is stored",
    "stores/sqlite_file.py: set_aside(path)": "the file is damaged",
    "stores/sqlite_file.py: 'ctisync sync'": "the file goes away during a pass",
    "sync/run_pass.py: 'ctisync sync'": "nothing is stored",
    "sync/run_pass.py: 'ctisync status": "the command is not accepted",
    "sync/run_pass.py: f'{LOAD_ANEW} (loads": "other resources are wanted",
    'sync/run_pass.py: f"""{LOAD_ANEW} (starts': "the feed has begun anew",
    "wiring.py: f'mkdir -p": "the folder is missing",
}
"""The beginning of the hint's expression, with its file; the trouble."""

NOT_TYPED: Final = {
    "cli/": HELP,
    "commands/afterwards.py: f'ls -ld": LOOK,
    "commands/config_init.py: 'ctisync config init": CHOICE,
    "commands/config_show.py: 'ctisync config show": HELP,
    "commands/config_show.py: f'ctisync config": HELP,
    "commands/diff.py: 'compare two files": CHOICE,
    "commands/diff.py: 'ctisync diff": CHOICE,
    "commands/doctor.py: 'wait for it": "the feed is to be well again",
    "commands/dry_run.py: 'ctisync init-snapshot": CHOICE,
    "commands/examples.py: 'ctisync examples'": HELP,
    "commands/export.py: 'ctisync export": CHOICE,
    "commands/forget.py: f'ctisync forget": "you decide what is removed",
    "commands/forget.py: f'ls -ld": LOOK,
    "commands/given.py: 'say which": CHOICE,
    "commands/hidden.py: 'ctisync doctor'": LOOK,
    "core/health.py: 'timedatectl'": OTHERS,
    "core/health.py: f'df -h": ROOM,
    "demo/": CHOICE,
    "feed/archive.py: f'if that is right": LIMIT,
    "feed/bounds.py: f'make room": ROOM,
    "feed/download.py: f'a new one": "the feed is to offer another snapshot",
    "feed/download.py: f'if the feed has grown": LIMIT,
    "feed/json_stream.py: 'install its wheel": OTHERS,
    "feed/links.py: 'if that is right": LIMIT,
    "feed/member.py: f'if that is right": LIMIT,
    "feed/probe.py: 'ctisync init-snapshot --from": CHOICE,
    "feed/probe.py: f'curl -i": LOOK,
    "feed/spool.py: claimed(": "as of the lock, which is met first",
    "feed/spool.py: f'ls -ld": LOOK,
    "feed/watch.py: 'pip install": OTHERS,
    "locks.py: claimed(path) or f'ls -ld {quoted(path.parent)}'": AS_ROOT,
    "locks.py: f'df -T": LOOK,
    "locks.py: f'mkdir -p": "as of the store, which is met first",
    "settings/": LOOK,
    "stores/opensearch.py: 'write it to a file": CHOICE,
    'stores/opensearch_client.py: f"look at its log': LOOK,
    "stores/opensearch_client.py: f\"look at: {self.curl.looks('/_all": LOOK,
    "stores/opensearch_client.py: f'check": OTHERS,
    "stores/opensearch_client.py: f'ctisync examples": "you are the administrator, who gives the role",
    "stores/opensearch_cluster.py: f'list nodes": CHOICE,
    "stores/opensearch_examination.py: client.curl.looks(": LOOK,
    "stores/opensearch_examination.py: 'ctisync examples": "you are the administrator, who gives the role",
    'stores/opensearch_examination.py: f"free disk space': ROOM,
    "stores/opensearch_hidden.py: 'ctisync doctor": LOOK,
    'stores/opensearch_state.py: f"look at its mapping': LOOK,
    "stores/opensearch_writer.py: f'stop the other program": OTHERS,
    "stores/room.py: f'ls -ld": LOOK,
    'stores/room.py: f"ls -ld': LOOK,
    "stores/room.py: f'mkdir -p": "as of the pass, which is typed",
    "stores/sqlite_examination.py: claimed(": "as of the lock, which is met first",
    "stores/sqlite_examination.py: f'df -h": ROOM,
    "stores/sqlite_file.py: 'as the owner": AS_ROOT,
    "stores/sqlite_file.py: claimed(": AS_ROOT,
    "stores/sqlite_file.py: f'df -h": ROOM,
    "stores/sqlite_file.py: f'fuser": OTHERS,
    "stores/sqlite_file.py: f'mkdir -p": "as of the store's folder, which is typed",
    "stores/sqlite_file.py: to_open(": AS_ROOT,
    "stores/sqlite_load.py: 'ctisync sync'": "a look within a load: the pass's own test brings it about",
    "stores/sqlite_turn.py: claimed(": "as of the lock, which is met first",
    "stores/sqlite_turn.py: f'fuser": OTHERS,
    "sync/init_snapshot.py: f'mend `resources`": LIMIT,
    "sync/run_pass.py: 'ctisync sync (it may": "the feed is to offer another change",
    "sync/run_pass.py: f'if that is right": LIMIT,
    'tls.py: f"timedatectl': OTHERS,
}
"""The same, and the reason."""
