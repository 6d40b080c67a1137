"""The facts of a record, for all that reads records: one place knows where each of them is in a payload.

A record is a CVE record (CVE JSON 5.x), or a rule, a decoder, an indicator and the like, whose facts are the
fields of its document. The payload may have any form: unexpected values are ignored.

A CVE record has `cveMetadata` and containers: `containers.cna` is NVD's view, whose products are CPE names;
each of `containers.adp` is that of a distribution and its major version, or of another source. In a catalog
of Wazuh 5, all of that is in the payload's `document`, and `type` says what it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ctisync.core import json_text, wire
from ctisync.core.fields import fields_of, one_line
from ctisync.core.lenient import as_object, as_struct
from ctisync.core.model import Json, Record

Severity = Literal["none", "low", "medium", "high", "critical"]

_USABLE: Final = (Decimal("0.01"), Decimal(10))
"""A lower score says nothing (as for Wazuh's scanner), and there is no higher one."""


class Score(msgspec.Struct, frozen=True):
    """One score, from `metrics[].cvssV3_1` and its like, of the container of `source`.

    `cvss`: the version of CVSS, such as "3.1". `base`: 0 to 10, with the record's digits; `severity`, such as
    "HIGH"; `vector`, without the version. One of `base` and `vector` may be missing, `severity` often is.
    """

    source: str
    cvss: str
    base: Decimal | None
    severity: str
    vector: str

    @property
    def level(self) -> Severity | None:
        """The severity in one word; of CVSS 2.0, which has none, by the score. None for a score that cannot
        be used."""
        if self.base is None or not _USABLE[0] <= self.base <= _USABLE[1]:
            return None
        if self.cvss == "2.0":
            return "low" if self.base < 4 else "medium" if self.base < 7 else "high"
        return _LEVELS.get(self.severity.lower())


_LEVELS: Final[dict[str, Severity]] = {
    level: level for level in ("none", "low", "medium", "high", "critical")
}


class Weakness(msgspec.Struct, frozen=True):
    """From `problemTypes[].descriptions[]`. `cwe`: a number such as "CWE-400", may be empty."""

    cwe: str
    description: str


class Change(msgspec.Struct, frozen=True):
    """Within a range: the `status` of the versions from `at` on."""

    at: str = ""
    status: str = ""


class VersionRange(msgspec.Struct, frozen=True, rename="camel"):
    """Versions with one status, from `affected[].versions[]`: from `version` on to before `less_than`, or up
    to `less_than_or_equal`; without either, only `version`. Each is empty if the record does not have it."""

    version: str = ""
    less_than: str = ""
    less_than_or_equal: str = ""
    status: str = ""
    changes: tuple[Change, ...] = ()


class Affected(msgspec.Struct, frozen=True):
    """A product of a container, from `affected[]`.

    `source`: the distribution, such as "debian" or "redhat_9", or "nvd", in which `product` is a CPE name.
    `platforms`: code names ("bookworm") or CPEs of operating systems; empty for all. `ranges`: the first that
    has a version decides on it, else `default_status`. `is_listed`: the record has a list of versions.
    """

    source: str
    vendor: str
    product: str
    platforms: tuple[str, ...]
    default_status: str
    ranges: tuple[VersionRange, ...]
    is_listed: bool = True


class Reference(msgspec.Struct, frozen=True):
    """A link of a record, and what it leads to, such as "exploit" or "patch"."""

    url: str = ""
    tags: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """What a record says, with "" or () where it says nothing.

    Of the line: `name`, `offset`, `version` (None if it has none), and `inserted_at`, when it came into the
    feed. Of the payload: `keys`, its keys unless it is a CVE record, and `kind`, its `type`.

    Of a CVE record's `cveMetadata`: `state`, `published` and `updated`. Of its first container: `title`, and
    `description`, in English if there is one; of a rejected one, the reason. Of all containers, `cna` first:
    `scores`, `weaknesses`, `affected` and `references`; entries may occur more than once.

    `remediations`: the Windows updates, such as "KB5034763", each of which solves it.

    Of another record: `fields`, the names (`feed.name`) and values of the fields of its document. Title,
    description and fields are on one line.
    """

    name: str
    offset: int
    version: int | None
    inserted_at: str
    keys: tuple[str, ...]
    kind: str
    state: str
    published: str
    updated: str
    title: str
    description: str
    scores: tuple[Score, ...]
    weaknesses: tuple[Weakness, ...]
    affected: tuple[Affected, ...]
    references: tuple[Reference, ...]
    remediations: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]

    @property
    def score(self) -> Score | None:
        """The score that counts: of the first container with one that can be used, the highest of the newest
        version of CVSS."""
        for _, of_source in groupby(self.scores, key=lambda score: score.source):
            if (best := _best(of_source)) is not None:
                return best
        return None

    def score_of(self, source: str) -> Score | None:
        """As `score`, but that of this source if it can be used."""
        return _best(each for each in self.scores if each.source == source) or self.score

    @property
    def has_exploit(self) -> bool:
        """Whether a link leads to an exploit."""
        return any("exploit" in (tag.lower() for tag in each.tags) for each in self.references)


def _best(scores: Iterable[Score]) -> Score | None:
    usable = [score for score in scores if score.level is not None]
    return max(usable, key=lambda score: (score.cvss, score.base), default=None)


class _Text(msgspec.Struct):
    lang: str = ""
    value: str = ""


class _Cvss(msgspec.Struct, rename="camel"):
    base_score: Decimal | None = None
    base_severity: str = ""
    vector_string: str = ""


class _Metric(msgspec.Struct):
    cvssV4_0: _Cvss | None = None  # noqa: N815  # as in the record
    cvssV3_1: _Cvss | None = None  # noqa: N815
    cvssV3_0: _Cvss | None = None  # noqa: N815
    cvssV2_0: _Cvss | None = None  # noqa: N815


class _Weakness(msgspec.Struct):
    cweId: str = ""  # noqa: N815
    description: str = ""


class _Problem(msgspec.Struct):
    descriptions: list[_Weakness] = []


class _Provider(msgspec.Struct):
    shortName: str = ""  # noqa: N815
    x_subShortName: str = ""  # noqa: N815


class _Updates(msgspec.Struct, rename="camel"):
    any_of: tuple[str, ...] = ()


class _Remediations(msgspec.Struct):
    windows: list[_Updates] = []


class _Affected(msgspec.Struct, rename="camel"):
    vendor: str = ""
    product: str = ""
    platforms: tuple[str, ...] = ()
    default_status: str = ""
    versions: tuple[VersionRange, ...] | UnsetType = UNSET


class _Container(msgspec.Struct, rename="camel"):
    title: str = ""
    descriptions: list[_Text] = []
    rejected_reasons: list[_Text] = []
    provider_metadata: _Provider | None = None
    metrics: list[_Metric] = []
    problem_types: list[_Problem] = []
    affected: list[_Affected] = []
    references: tuple[Reference, ...] = ()
    remediations: _Remediations | None = msgspec.field(default=None, name="x_remediations")


class _Containers(msgspec.Struct):
    cna: _Container | None = None
    adp: list[_Container] = []


class _Metadata(msgspec.Struct, rename="camel"):
    state: str = ""
    date_published: str = ""
    date_updated: str = ""


class _Cve(msgspec.Struct, rename="camel"):
    containers: _Containers | None = None
    cve_metadata: _Metadata | None = None


class _CvePayload(_Cve, rename="camel"):
    type: str = ""
    document: msgspec.Raw | UnsetType = UNSET


class _Line(msgspec.Struct):
    payload: _CvePayload
    offset: int
    name: str | None = None
    resource: str | None = None
    version: int | None = None
    inserted_at: str = ""


_line_decoder: Final = msgspec.json.Decoder(_Line)


def facts_of(line: bytes) -> Facts:
    """The facts in a record's line. Raises ValueError if it cannot be decoded."""
    try:
        record = _line_decoder.decode(line)
    except json_text.UNDECODABLE:  # something has another form
        return _facts_of_any(line)
    if record.payload.document is not UNSET or not (containers := _containers(record.payload)):
        return _facts_of_any(line)
    return _facts(
        (record.name, record.resource, record.offset, record.version, record.inserted_at),
        record.payload,
        containers,
        kind=record.payload.type,
    )


def facts_of_record(record: Record) -> Facts:
    """The same; of a line that cannot be decoded, only name and offset."""
    try:
        return facts_of(record.line)
    except ValueError:
        return _facts((record.name, None, record.offset, None, None), _Cve(), (), kind=None)


def _facts_of_any(line: bytes) -> Facts:
    record = as_object(json_text.decode(line))
    payload = as_object(record.get("payload"))
    document = as_object(payload.get("document"))
    cve = as_struct(payload, _Cve)
    containers = _containers(cve)
    if document and not containers:
        cve = as_struct(document, _Cve)
        containers = _containers(cve)
    fields = () if containers or cve.cve_metadata else tuple(fields_of(document))
    stamp = tuple(record.get(key) for key in ("name", "resource", "offset", "version", "inserted_at"))
    return _facts(stamp, cve, containers, kind=payload.get("type"), keys=tuple(payload), fields=fields)


def _facts(
    stamp: tuple[Any, ...],
    cve: _Cve,
    containers: Sequence[_Container],
    *,
    kind: Json,
    keys: tuple[str, ...] = (),
    fields: tuple[tuple[str, str], ...] = (),
) -> Facts:
    """`stamp`: the values of `name`, `resource`, `offset`, `version` and `inserted_at`."""
    name, resource, offset, version, inserted_at = stamp
    about = cve.cve_metadata or _Metadata()
    first = containers[0] if containers else _Container()
    return Facts(
        name=one_line(wire.name_of(name, resource)),
        offset=offset,
        version=version if isinstance(version, int) else None,
        inserted_at=one_line(inserted_at),
        keys=keys,
        kind=one_line(kind),
        state=one_line(about.state),
        published=one_line(about.date_published),
        updated=one_line(about.date_updated),
        title=one_line(first.title),
        description=_english(first.descriptions) or _english(first.rejected_reasons),
        scores=tuple(_scores(containers)),
        weaknesses=tuple(
            Weakness(each.cweId, one_line(each.description))
            for container in containers
            for problem in container.problem_types
            for each in problem.descriptions
        ),
        affected=tuple(_affected(containers)),
        references=tuple(each for container in containers for each in container.references),
        remediations=tuple(
            update
            for container in containers
            if container.remediations is not None
            for each in container.remediations.windows
            for update in each.any_of
        ),
        fields=fields,
    )


def _containers(cve: _Cve) -> list[_Container]:
    """The container of the CNA, which assigned the CVE, first; then those of others (ADP)."""
    if cve.containers is None:
        return []
    cna = cve.containers.cna
    return [*([] if cna in (None, _Container()) else [cna]), *cve.containers.adp]


def _source(container: _Container) -> str:
    provider = container.provider_metadata
    return "" if provider is None else provider.x_subShortName or provider.shortName


def _scores(containers: Iterable[_Container]) -> Iterator[Score]:
    for container in containers:
        source = _source(container)
        for metric in container.metrics:
            for cvss, score in (
                ("4.0", metric.cvssV4_0),
                ("3.1", metric.cvssV3_1),
                ("3.0", metric.cvssV3_0),
                ("2.0", metric.cvssV2_0),
            ):
                if score is not None and (score.base_score is not None or score.vector_string):
                    vector = score.vector_string.removeprefix(f"CVSS:{cvss}/")
                    yield Score(source, cvss, score.base_score, score.base_severity, vector)


def _affected(containers: Iterable[_Container]) -> Iterator[Affected]:
    for container in containers:
        source = _source(container)
        for each in container.affected:
            is_listed = each.versions is not UNSET
            ranges = each.versions if each.versions is not UNSET else ()
            yield Affected(
                source, each.vendor, each.product, each.platforms, each.default_status, ranges, is_listed
            )


def _english(texts: Iterable[_Text]) -> str:
    """The first English text, else the first."""
    values = [(each.lang.lower().startswith("en"), each.value) for each in texts]
    return one_line(
        next((value for is_english, value in values if is_english), values[0][1] if values else "")
    )
