"""The document that holds a consumer's state and its lease.

Index `wazuh-context`, id = context, one field per consumer, which other software reads:

    {"vd_4.8.0": {"offset": 7, "last_offset": 9, "last_snapshot_link": "https://…", "ctisync": {…}}}

The first three are public and keep their names and types; `ctisync` is ours. All other fields of the document
belong to other programs and are written back as the bytes that were read.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ctisync.core.json_text import UNDECODABLE
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.client import Client, OpenSearchReply, path
from ctisync.stores.opensearch.indices import STATE_INDEX, create_index, indices_decoder
from ctisync.stores.opensearch.refusals import then_sync
from ctisync.stores.opensearch.security import check_nothing_hidden, explain_damage

STATE_SCHEMA: Final = 1

_LAST_SECOND: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, in seconds since the epoch."""

_OURS: Final = "ctisync"
_NOT_OURS: Final = ("offset", "last_snapshot_link", "unsettled", "occupant")
"""The parts of a state that are public, or not stored."""
_PUBLIC_TYPES: Final = {
    "offset": {"type": "long"},
    "last_offset": {"type": "long"},
    "last_snapshot_link": {"type": "keyword"},
    # Not parsed: our values cannot clash with a type that dynamic mapping has guessed.
    _OURS: {"type": "object", "enabled": False},
}


class Lease(msgspec.Struct, frozen=True):
    """The right to write, for the holder of `token`, `until` a time of the server, in seconds since the
    epoch.

    `owner` and `host` name the holder, `lock` the lock file that it holds (None: none, or an earlier version
    took the lease). `pid`, `since` (when it was taken) and `records` (loaded by the last renewal) are only
    shown.
    """

    token: str
    owner: str
    host: str
    pid: int
    until: int
    lock: str | None = None
    since: int | None = None
    records: int | None = None

    @property
    def who(self) -> str:
        """The holder, for people."""
        return f"{self.owner} on {self.host}, process {self.pid}"

    @property
    def end(self) -> datetime:
        """`until` as a time."""
        return as_time(self.until)


def as_time(epoch: int) -> datetime:
    """A time in seconds since the epoch; one that no calendar has becomes the first or the last that has."""
    return datetime.fromtimestamp(min(max(epoch, 0), _LAST_SECOND), UTC)


class Swap(msgspec.Struct, frozen=True):
    """A swap that was announced: the generation `to` go live, the offset before it, the state after it."""

    to: str
    was: int
    after: ConsumerState


class StateEntry(msgspec.Struct, frozen=True):
    """What the document holds of a consumer. `generation`: the name of the live one, as last stored."""

    state: ConsumerState = ConsumerState()
    lease: Lease | None = None
    write_id: str = ""
    generation: str | None = None
    swap: Swap | None = None


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    seq_no: int = msgspec.field(name="_seq_no")
    primary_term: int = msgspec.field(name="_primary_term")


class _ReadReply(_Version, frozen=True, kw_only=True):
    fields: dict[str, msgspec.Raw] = msgspec.field(name="_source")


class StoredDocument(msgspec.Struct, frozen=True):
    """The document as read or written: our entry, all other fields, and its version, which is None if there
    is no document yet."""

    entry: StateEntry = StateEntry()
    fields: dict[str, msgspec.Raw] = {}
    consumer_fields: dict[str, msgspec.Raw] = {}
    version: _Version | None = None

    @property
    def has_entry(self) -> bool:
        """Whether the consumer's field already has a sub-object of ours."""
        return _OURS in self.consumer_fields


_read_decoder: Final = msgspec.json.Decoder(_ReadReply)
_version_decoder: Final = msgspec.json.Decoder(_Version)
_field_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_ours_decoder: Final = msgspec.json.Decoder(dict[str, Any])
_entry_decoder: Final = msgspec.json.Decoder(StateEntry)
_any_decoder: Final = msgspec.json.Decoder()


class StateDocument:
    """Reads and writes one consumer's entry in the document of its context."""

    def __init__(self, client: Client, consumer: Consumer, replicas: int) -> None:
        self._client = client
        self.consumer = consumer
        self._replicas = replicas
        self._is_whole = False
        """This process has checked that no role hides a part of it."""

    def read(self) -> StoredDocument:
        """The document as it is now. Raises ConfigurationError if a newer ctisync wrote the entry or it is
        damaged, AccessRefused if a role hides a part of the document."""
        target = path(STATE_INDEX, "_doc", self.consumer.context)
        reply = self._client.call("GET", target, allow={404, 500})
        if reply.status == 500:  # the plugin also answers so if a rule masks every field
            explain_damage(self._client, STATE_INDEX)
            raise self._client.refusal(reply, "GET", target)
        if reply.status == 404:
            return StoredDocument()
        document = self._client.read(reply, _read_decoder)
        field = document.fields.get(self.consumer.name, msgspec.Raw(b"null"))
        entry, consumer_fields = self._decode(field)
        version = _Version(seq_no=document.seq_no, primary_term=document.primary_term)
        return StoredDocument(entry, document.fields, consumer_fields, version)

    def write(self, stored: StoredDocument, entry: StateEntry) -> StoredDocument | None:
        """Replace the entry of the document, which is still as `stored`. None if it has changed meanwhile.

        Raises AccessRefused if a role hides a part of the document: that part would be lost.
        """
        if not self._is_whole:
            check_nothing_hidden(self._client, STATE_INDEX)
        if not stored.has_entry:
            self._prepare_index()
        if not self._is_whole and stored.version is None:  # its index may be new
            check_nothing_hidden(self._client, STATE_INDEX)
        self._is_whole = True
        consumer_fields = stored.consumer_fields | _encode_entry(entry)
        fields = stored.fields | {self.consumer.name: msgspec.Raw(msgspec.json.encode(consumer_fields))}
        reply = self._put(stored.version, fields)
        if reply.status == 409:
            return None
        version = self._client.read(reply, _version_decoder)
        return StoredDocument(entry, fields, consumer_fields, version)

    def remove(self, stored: StoredDocument) -> bool:
        """Remove our fields from the document, which is still as `stored`. False if it has changed meanwhile.
        An empty document stays: removing it needs a privilege that nothing else needs."""
        name = self.consumer.name
        others = {key: value for key, value in stored.consumer_fields.items() if key not in _PUBLIC_TYPES}
        fields = {key: value for key, value in stored.fields.items() if key != name}
        if others:
            fields[name] = msgspec.Raw(msgspec.json.encode(others))
        return self._put(stored.version, fields).status != 409

    def _put(self, version: _Version | None, fields: Mapping[str, msgspec.Raw]) -> OpenSearchReply:
        """Write the document over this version of it. Returns the reply, whose status may be 409."""
        if version is None:
            target = path(STATE_INDEX, "_create", self.consumer.context)
        else:
            condition = f"if_seq_no={version.seq_no}&if_primary_term={version.primary_term}"
            target = path(STATE_INDEX, "_doc", self.consumer.context, query=condition)
        return self._client.call("PUT", target, msgspec.json.encode(fields), allow={409})

    def _prepare_index(self) -> None:
        """Create the index if it is missing, and add the consumer's fields to its mapping.

        Only missing fields are added: existing types belong to other software.
        """
        reply = self._client.call("GET", path(STATE_INDEX, "_mapping"), allow={404})
        mapped: dict[str, Any] = {}
        if reply.status == 404:
            create_index(self._client, STATE_INDEX, self._replicas, {"dynamic": False})
        else:
            # One index, or an alias of one.
            for index in self._client.read(reply, indices_decoder).values():
                mapped = index.mappings
        # OpenSearch treats the dots in a field's name as levels.
        for level in self.consumer.name.split("."):
            mapped = mapped.get("properties", {}).get(level, {})
        present = mapped.get("properties", {})
        missing = {name: kind for name, kind in _PUBLIC_TYPES.items() if name not in present}
        if missing:
            addition = {"properties": {self.consumer.name: {"properties": missing}}}
            reply = self._client.call("PUT", path(STATE_INDEX, "_mapping"), addition, allow={400})
            if reply.status == 400:
                raise ConfigurationError(
                    f"the mapping of index {STATE_INDEX} does not permit the state of {self.consumer}: "
                    f"{reply.problem}",
                    hint=f"look at its mapping: {self._client.curl.get(path(STATE_INDEX, '_mapping'))}",
                )

    def _decode(self, field: msgspec.Raw) -> tuple[StateEntry, dict[str, msgspec.Raw]]:
        """Our entry, and all fields of the consumer."""
        try:
            consumer_fields = _field_decoder.decode(field) or {}
            if _OURS not in consumer_fields:
                return StateEntry(), consumer_fields
            fields = _ours_decoder.decode(consumer_fields[_OURS])
            schema = fields["schema"]
            if schema > STATE_SCHEMA:
                raise ConfigurationError(
                    f"the state of {self.consumer} in {STATE_INDEX} was written by a newer ctisync "
                    f"(schema {schema}, known {STATE_SCHEMA})",
                    hint="install that version of ctisync, or a newer one",
                )
            if schema < STATE_SCHEMA:
                raise self._damaged(KeyError(schema))
            state = fields["state"] | {
                "offset": _any_decoder.decode(consumer_fields["offset"]),
                "last_snapshot_link": _any_decoder.decode(consumer_fields["last_snapshot_link"]),
                "unsettled": False,  # never stored
            }
            return _entry_decoder.decode(msgspec.json.encode(fields | {"state": state})), consumer_fields
        except (KeyError, TypeError, *UNDECODABLE) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> ConfigurationError:
        """The hint removes the consumer's field only: other programs' fields stay. Raises AccessRefused if
        there is no damage, but a role that hides a part."""
        explain_damage(self._client, STATE_INDEX)
        target = path(STATE_INDEX, "_update", self.consumer.context)
        command = self._client.curl.change("POST", target, {"doc": {self.consumer.name: None}})
        return ConfigurationError(
            f"the state of {self.consumer} in {STATE_INDEX} is damaged: {error!r}",
            hint=f"{command}{then_sync()} (loads the content anew)",
        )


def _encode_entry(entry: StateEntry) -> dict[str, msgspec.Raw]:
    """The consumer's fields that ctisync writes. Public fields are not stored twice, except `last_offset`,
    which is 0 as a public field if it is unknown."""
    state, ours = entry.state, msgspec.to_builtins(entry) | {"schema": STATE_SCHEMA}
    ours["state"] = {name: value for name, value in ours["state"].items() if name not in _NOT_OURS}
    values = {
        "offset": state.offset,
        "last_offset": state.last_offset or 0,
        "last_snapshot_link": state.last_snapshot_link,
        _OURS: ours,
    }
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}
