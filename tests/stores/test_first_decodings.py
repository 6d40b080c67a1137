"""Several threads that decode their first reply at the same moment: msgspec builds what it knows of a type at
its first use, and dies when two threads do so at once."""

import subprocess
import sys

ROUNDS = 30
"""When the type was built at its first use, between 10 and 30 of 60 processes died."""

FOUR_SENDERS = """
import sys, threading
from ctisync.system.clock import SystemClock
from ctisync.stores.opensearch.bulk import Pace, index
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.client import Client
from ctisync.stores.opensearch.refusals import Problem
from ctisync.stores.opensearch.records import Records
from tests.support.records import record

REPLY = '{"items": [{"index": {"_id": "CVE-1", "status": 201, "_version": 1}}]}'
together = threading.Barrier(4)

class Answer:
    status, problem = 200, Problem()

    @property
    def body(self):
        together.wait()
        return REPLY

class Node:
    timeout = 60.0

    def send(self, method, target, body, timeout):
        return Answer()

bulk = [index(record("CVE-1", 1))]
records = Records(Client(Node(), Curl("http://node"), SystemClock()), Pace())
sys.setswitchinterval(1e-6)
senders = [threading.Thread(target=records.send, args=("fence", bulk)) for _ in range(4)]
for sender in senders:
    sender.start()
for sender in senders:
    sender.join()
"""


def test_no_process_dies_of_four_senders_that_decode_their_first_reply_at_once() -> None:
    ended = [
        subprocess.run([sys.executable, "-c", FOUR_SENDERS], capture_output=True, text=True, check=False)
        for _ in range(ROUNDS)
    ]

    assert [(each.returncode, each.stderr) for each in ended] == [(0, "")] * ROUNDS
