"""A load: a new content that is written into a generation without readers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctisync.core.model import Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.errors import StoreUnavailable
from ctisync.stores import invariants
from ctisync.stores.opensearch.bulk import BulkAction, BulkResult, index
from ctisync.stores.opensearch.records import Records

if TYPE_CHECKING:
    from ctisync.stores.opensearch.writer import OpenSearchWriter


class OpenSearchLoad:
    """`ports.Load`: a generation that is being filled. `is_announced`: its swap was announced, and the next
    pass may finish it.

    An error of a record may be raised by a later call than the one that added it.
    """

    def __init__(self, writer: "OpenSearchWriter", records: Records, generation: str, fence: str) -> None:
        self._writer = writer
        self._records = records
        self._generation = generation
        self._fence = fence
        self._pool = records.pool(fence, writer.keep_alive)
        self._created = 0
        self._unclear = 0
        self.is_announced = False
        self.ambiguous = 0

    def add(self, records: Sequence[Record]) -> None:
        """See `ports.Load.add`. In the model: load."""
        self._account_for(self._pool.add(map(index, records)))

    def publish(self, after: ConsumerState) -> int:
        """See `ports.Load.publish`. Raises StoreUnavailable if the number of records is not the expected
        one."""
        invariants.check_publish(after)
        self._account_for(self._pool.drain())
        count = self._writer.prepare(self._fence)
        if not self._created <= count <= self._created + self._unclear:
            raise StoreUnavailable(
                f"OpenSearch holds {counted(count, 'record')} after {self._created} were written; "
                "the old content stays live"
            )
        self.is_announced = True
        self._writer.publish(self._generation, after)
        return count

    def stop(self, seconds: float) -> None:
        """Send nothing more, and wait at most so long for the bulks in flight."""
        self._pool.stop(seconds)

    def _account_for(self, results: Sequence[BulkResult]) -> None:
        for result in results:
            self._created += result.created
            self._check_conflicts(result.conflicts)
        self._writer.report_loaded(self._created)

    def _check_conflicts(self, conflicts: Sequence[BulkAction]) -> None:
        """A higher version is another line of the same record. An equal one is another line, or the same line
        sent twice: that is unknown, so it may or may not count as a new record. Only its text is read.
        """
        stored = self._records.versions(self._fence, list({action.name for action in conflicts}))
        equal = []
        for action in conflicts:
            version = stored.get(action.name)
            if version is None or version.version < action.offset:
                raise StoreUnavailable(f"OpenSearch refuses record {action.name} and does not hold it either")
            if version.version == action.offset:
                equal.append(action)
        self._unclear += len(equal)
        self.ambiguous += self._records.differing(self._fence, equal)
