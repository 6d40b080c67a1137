"""The feed of all processes of a schedule: the same one wherever it is made from the same seed."""

import random

from tests.support.feed_history import History
from tests.support.memory_feed import MemoryServer

NAMES = 8


def made_up(seed: int, ranges: int = 3) -> MemoryServer:
    """A snapshot and so many ranges of changes after it, a few of them updates that may not be done twice."""
    choose = random.Random(seed)
    server = MemoryServer(History("vd_1.0.0", 10))
    history = server.history
    for number in range(NAMES):
        history.create(f"CVE-{number}", {"n": number, "list": []})
    server.offer_snapshot()
    for _ in range(ranges):
        for _ in range(choose.randint(4, 12)):
            _change(history, choose)
        history.gap(1000 - history.last_offset % 1000)
    return server


def _change(history: History, choose: random.Random) -> None:
    alive = history.names()
    name = choose.choice(alive)
    dice = choose.random()
    if dice < 0.2 and len(alive) > 2:
        history.delete(name)
    elif dice < 0.35:
        absent = [f"CVE-{number}" for number in range(NAMES) if f"CVE-{number}" not in alive]
        if absent:
            history.create(choose.choice(absent), {"n": 0, "list": []})
    else:
        history.update(name, [{"op": "add", "path": "/list/-", "value": history.last_offset}])
