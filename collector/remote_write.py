"""The body of a Prometheus remote-write request, 1.0 or 2.0, becomes Readings.

In: bytes as they came (snappy). Out: Written, or BadRequest with a reason.
Never: a clock; memory for what a length only claims; a count made of a gauge: what counts nothing is tallied.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from collector.known_series import Known, Unread, unread
from collector.otlp import BadRequest
from collector.points import Readings, Sign
from collector.remote_write_wire import FIRST, SECOND, SERIES, Laid, joined_labels, laid_out, split
from collector.scraped import Lore, Role, Type

Protocol = Literal["1.0", "2.0"]

MILLIS = 1_000_000  # ns
STALE = 0x7FF0000000000002  # the NaN that ends a series (prometheus/model/value)
_LATEST = 2**63 // MILLIS - 1  # ms; what claims to be later is refused as far future in any case
_GAUGE_HISTOGRAM = 3  # Histogram.reset_hint
# The most that snappy's elements unpack to: a copy of 64 bytes takes 3.
_MOST_TIMES = 22


class Written(NamedTuple):
    """Readings, and how many samples and native histograms the request held."""

    readings: Readings
    samples: int
    histograms: int


class TooLarge(ValueError):  # noqa: N818  named for what was sent
    """It would unpack to more than may come in."""


def unpack(body: bytes, most: int) -> bytes:
    """The contents of a snappy block. Raises TooLarge before anything is unpacked, or BadRequest.

    A block begins with its length unpacked; what it claims beyond that which its size can hold is not believed.
    """
    length = shift = 0
    for byte in body[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise BadRequest("Content-Encoding is snappy, the body is not")
    if length > most:
        raise TooLarge(f"expected at most {most} bytes when unpacked")
    if length > _MOST_TIMES * len(body):
        raise BadRequest("the snappy body is broken or cut")
    if not length:
        return b""
    try:
        # (Typed as what it takes and gives: bytes.)
        unpacked: bytes = pa.Codec("snappy").decompress(body, decompressed_size=length, asbytes=True)
    except (pa.ArrowException, OSError):
        raise BadRequest("the snappy body is broken or cut") from None
    return unpacked


class _Columns(NamedTuple):
    """Samples, a row each. place: of its series in the request; number: of its meaning, -1 = it has none; time,
    start: ms, start 0 = not said."""

    place: NDArray[np.int64]
    number: NDArray[np.int64]
    value: NDArray[np.float64]
    time: NDArray[np.int64]
    start: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64]) -> _Columns:
        """These rows."""
        return _Columns(
            self.place[rows], self.number[rows], self.value[rows], self.time[rows], self.start[rows]
        )


class _Apart(NamedTuple):
    """A series that was read by itself: its place in the request, its labels as they stand in Known, whole, and
    the starts of its samples."""

    place: int
    at: object
    whole: Any
    starts: Sequence[int]


class Reader:
    """Reads requests, and remembers what the labels of series mean. Several threads may read at a time."""

    def __init__(self, processes: Iterable[str] = ()) -> None:
        """processes: of which signs of life came before a restart of ours."""
        self._lore = Lore()
        for process in processes:
            self._lore.remember(process)
        self._known = Known()
        self._learning = threading.Lock()

    def read(self, body: bytes, protocol: Protocol) -> Written:
        """The counts in an unpacked prometheus.WriteRequest (1.0) or io.prometheus.write.v2.Request (2.0).

        Taken: counters, and how many values histograms and summaries hold. `up` and the start of a process are
        signs of life. Staleness markers and other NaN say that nothing was measured. Samples stay in the order of
        the request. Raises BadRequest.
        """
        try:
            request = (FIRST if protocol == "1.0" else SECOND).FromString(body)
        except DecodeError:
            name = "prometheus.WriteRequest" if protocol == "1.0" else "io.prometheus.write.v2.Request"
            raise BadRequest(f"not a {name} in protobuf: broken or cut") from None
        if protocol == "1.0":
            self._types(request.metadata)
        known = self._known  # another thread may put another one in its place meanwhile
        refused: Counter[str] = Counter()
        if protocol == "2.0":
            return self._read(Laid.none(), None, list(_of_second(request)), known, refused)
        series = list(request.timeseries)
        laid = laid_out(series)
        missing = np.flatnonzero(_numbers(laid, known) < 0).tolist()
        new = None
        if missing:
            ats = dict.fromkeys([laid.labels[i] for i in missing])
            ats.pop(b"", None)
            whole = split(list(ats))
            if whole is not None:
                new = Unread(list(ats), *whole)
            else:
                for i in missing:
                    laid.labels[i] = b""
        apart = [i for i in missing if not laid.labels[i]]
        return self._read(laid, new, list(_of_first(series, apart, known, refused)), known, refused)

    def _read(
        self, laid: Laid, new: Unread | None, apart: Sequence[_Apart], known: Known, refused: Counter[str]
    ) -> Written:
        """What the samples say, those in columns and those read apart. new: unknown labels of the first."""
        all_new = [new] if new is not None else []
        all_new += unread(dict.fromkeys([one.at for one in apart if one.at not in known.number]))
        why = self._learn(all_new, known) if all_new else {}
        columns = _columns(laid, known)
        unknown = columns.number < 0
        if unknown.any():
            refused.update(
                [why[at] for i in np.flatnonzero(unknown).tolist() if (at := laid.labels[columns.place[i]])]
            )
            columns = columns.at(np.flatnonzero(~unknown))
        histograms = 0
        if apart:
            more, histograms = _rows(apart, known, why, refused)
            columns = _Columns(*(np.concatenate(both) for both in zip(columns, more, strict=True)))
            columns = columns.at(np.argsort(columns.place, kind="stable"))
        return _written(known, columns, histograms, refused)

    def _types(self, metadata: Iterable[Any]) -> None:
        if not metadata:
            return
        with self._learning:
            told = [
                self._lore.type(one.metric_family_name.decode(errors="replace"), one.type) for one in metadata
            ]
            if any(told):
                self._known = Known()

    def _learn(self, new: Iterable[Unread], known: Known) -> dict[object, str]:
        with self._learning:
            why = known.learn(new, self._lore)
            if known.full:
                self._known = Known()
        return why


def _numbers(laid: Laid, known: Known) -> NDArray[np.int64]:
    """int64[n]: what the labels mean, -1 where that is not known."""
    found = map(known.number.get, laid.labels, repeat(-1))
    return np.fromiter(found, dtype=np.int64, count=len(laid.labels))


def _columns(laid: Laid, known: Known) -> _Columns:
    """All samples, in order.

    What comes before the sample is known only if it was read as nothing but labels, so the bytes after it can
    be nothing but the sample.
    """
    number = _numbers(laid, known)
    return _Columns(np.arange(len(number)), number, laid.value, laid.time, np.zeros_like(number))


def _of_first(
    series: Sequence[bytes], places: Iterable[int], known: Known, refused: Counter[str]
) -> Iterator[_Apart]:
    """Those series of 1.0 that stand at `places`, one by one."""
    for place in places:
        try:
            whole = SERIES.FromString(series[place])
        except DecodeError:
            refused["broken series"] += 1
            continue
        raw = list(whole.labels)
        at: object = series[place][: sum(map(len, raw)) + 2 * len(raw)]
        if at not in known.number or max(map(len, raw)) >= 0x80:
            at = joined_labels(raw)
        if whole.histograms:
            at = (_hinted(whole, 0), True, at)
        yield _Apart(place, at, whole, [0] * (len(whole.histograms) or len(whole.samples)))


def _of_second(request: Any) -> Iterator[_Apart]:
    """Series of 2.0: labels are numbers of texts, and each says its type."""
    symbols = list(request.symbols)
    for place, whole in enumerate(request.timeseries):
        try:
            texts = tuple([symbols[i] for i in whole.labels_refs])
        except IndexError:
            texts = (b"",)
        created = whole.created_timestamp
        starts = [one.start_timestamp or created for one in whole.histograms or whole.samples]
        yield _Apart(
            place, (_hinted(whole, whole.metadata.type), bool(whole.histograms), texts), whole, starts
        )


def _rows(
    apart: Iterable[_Apart], known: Known, why: Mapping[object, str], refused: Counter[str]
) -> tuple[_Columns, int]:
    """The samples of series that were read one by one, and how many of them are native histograms."""
    places: list[int] = []
    numbers: list[int] = []
    values: list[float] = []
    times: list[int] = []
    starts: list[int] = []
    histograms = 0
    for place, at, whole, began in apart:
        number = known.number.get(at)
        if number is None:
            refused[why[at]] += max(len(whole.samples) + len(whole.histograms), 1)
            continue
        histograms += len(whole.histograms)
        if whole.histograms:  # never both in one series; the sum of one says whether it is stale
            values += [
                one.sum if _is_stale(one.sum) else one.count_int or one.count_float
                for one in whole.histograms
            ]
            times += [one.timestamp for one in whole.histograms]
        else:
            values += [one.value for one in whole.samples]
            times += [one.timestamp for one in whole.samples]
        places += [place] * len(began)
        numbers += [number] * len(began)
        starts += began
    value = np.array(values, dtype=np.float64)
    wholes = [np.array(column, dtype=np.int64) for column in (places, numbers, times, starts)]
    return _Columns(wholes[0], wholes[1], value, wholes[2], wholes[3]), histograms


def _is_stale(value: float) -> bool:
    return value != value and bool(np.float64(value).view(np.int64) == STALE)


def _hinted(whole: Any, said: int) -> int:
    """The type that is said of a series, or what its histograms say themselves."""
    if whole.histograms and whole.histograms[0].reset_hint == _GAUGE_HISTOGRAM:
        return Type.GAUGE_HISTOGRAM
    return said


def _written(known: Known, rows: _Columns, histograms: int, refused: Mapping[str, int]) -> Written:
    """What the samples say."""
    number, value = rows.number, rows.value
    time, start = rows.time.clip(0, _LATEST), rows.start.clip(0, _LATEST)
    role = known.roles[number]
    missing = np.isnan(value)
    stale = missing & (value.view(np.int64) == STALE)
    needed = role != Role.NOT_NEEDED
    skipped = {
        "no count": int(np.count_nonzero(~needed)),
        "stale": int(np.count_nonzero(needed & stale)),
        "not a number": int(np.count_nonzero(needed & missing & ~stale)),
    }
    told, stream_of = known.told, known.stream_of
    signs = [
        Sign(told[stream_of[number[i]]][0].instance, int(time[i]) * MILLIS, _began(role[i], float(value[i])))
        for i in np.flatnonzero((role >= Role.UP) & (value > 0) & np.isfinite(value)).tolist()
    ]
    counts = np.flatnonzero((role == Role.COUNT) & ~missing)
    number = number[counts]
    distinct, which = np.unique(stream_of[number], return_inverse=True)
    streams = [told[i] for i in distinct.tolist()]
    tellers = tuple([teller for _, teller in streams])
    keys = known.catalogue.keys
    readings = Readings(
        keys=tuple([keys[i] for i in number.tolist()]),
        streams=tuple([stream for stream, _ in streams]),
        stream=which.astype(np.int64).ravel(),
        start=start[counts] * MILLIS,
        time=time[counts] * MILLIS,
        value=value[counts],
        cumulative=np.ones(len(counts), dtype=np.bool_),
        refused=dict(refused),
        skipped={reason: n for reason, n in skipped.items() if n},
        signs=tuple(signs),
        tellers=tellers if any(tellers) else (),
        catalogue=known.catalogue,
        counter=number,
    )
    return Written(readings, len(role) - histograms, histograms)


def _began(role: int, value: float) -> int:
    """The start (ns) that a sign of life says, 0 = none."""
    return min(int(value * 1000), _LATEST) * MILLIS if role == Role.START else 0
