"""Asks Amazon CloudWatch for sums by interval. It knows them minutes late. boto3 lives here.

In: metrics by namespace, name and dimensions. Out: by how much each interval has grown since it was told.
Never: a zero where CloudWatch has no point; credentials (boto3 finds them where the AWS tools do).

GetMetricData takes 500 metrics in a request and gives the rest of a long answer on further pages
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
)

from collector.asked import Answer, Counted, SourceFailed, Told, grown, nothing
from collector.bins import SeriesKey

AT_ONCE = 500  # metrics in a request
MOST_PAGES = 1000
FINEST = 60  # seconds: the usual resolution
MOST_SHOWN = 160
PASSING = {
    "Throttling",
    "ThrottlingException",
    "InternalServiceFault",
    "InternalFailure",
    "ServiceUnavailable",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of CloudWatch's whose statistic Sum is a count, and the series that it is here."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    key: SeriesKey


class CloudWatch:
    """One region. endpoint: another address than Amazon's, "" = theirs. width: of an interval, seconds; again: see
    `grown`: how long CloudWatch may take to know of everything.
    """

    settle = 0

    def __init__(
        self,
        name: str,
        region: str,
        metrics: Sequence[Metric],
        endpoint: str = "",
        timeout: int = 10,
        width: int = 60,
        every: int = 60,
        again: int = 3600,
        history: int = 0,
    ) -> None:
        """Raises ValueError: intervals that are no whole minutes."""
        if width % FINEST:
            raise ValueError(
                f"CloudWatch counts by the minute: `interval` must be whole minutes, not {width}s"
            )
        self.name = name
        self.every = every
        self.most = 6 * 3600
        self.history = history
        self._metrics = tuple(metrics)
        self._width = width
        self._again = -(-again // width) * width
        patience = Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"max_attempts": 1},  # a round tries again by itself
        )
        self._client = boto3.Session().client(
            "cloudwatch", region_name=region, endpoint_url=endpoint or None, config=patience
        )

    def close(self) -> None:
        self._client.close()

    def ask(self, since: int, now: int, memo: str) -> Answer:
        """See Source. Whole intervals that are over, and once more those of the last hour (`again`)."""
        until = now // self._width * self._width
        told = Told.unpack(memo)
        told = told if memo else replace(told, begun=since // self._width * self._width)
        first = max(since // self._width * self._width - self._again, told.begun)
        if until <= first or (not memo and until <= since):
            return Answer(nothing(), since, memo)
        counts = self._counts(first, until)
        readings, after = grown(
            self.name, counts, told, (first, until), self._again, now, self._width, quiet=False
        )
        return Answer(readings, max(until, since), after.pack())

    def check(self, now: int) -> str:
        """See Source: the last three hours."""
        until = now // self._width * self._width
        counts = self._counts(until - 3 * 3600, until)
        total = sum(sum(of.values()) for of in counts.values())
        there = f"{len(counts)} of {len(self._metrics)} metrics have points in the last 3 hours"
        return f"{there}, {total:,.10g} counted"

    def _counts(self, first: int, until: int) -> Counted:
        counts: Counted = {}
        for at in range(0, len(self._metrics), AT_ONCE):
            part = self._metrics[at : at + AT_ONCE]
            for which, moment, value in self._points(part, first, until):
                begin = int(moment.timestamp()) // self._width * self._width
                if first <= begin < until and math.isfinite(value) and value >= 0:
                    of = counts.setdefault(part[which].key, {})
                    of[begin] = of.get(begin, 0.0) + value
        return counts

    def _points(
        self, metrics: Sequence[Metric], first: int, until: int
    ) -> Iterator[tuple[int, datetime, float]]:
        """(place in `metrics`, start, sum) of each point. Raises SourceFailed."""
        asked: dict[str, Any] = {
            "MetricDataQueries": [self._query(i, metric) for i, metric in enumerate(metrics)],
            "StartTime": datetime.fromtimestamp(first, UTC),
            "EndTime": datetime.fromtimestamp(until, UTC),
        }
        for _ in range(MOST_PAGES):
            try:
                told = self._client.get_metric_data(**asked)
            except (BotoCoreError, ClientError) as error:
                raise _failed(error) from None
            for result in told["MetricDataResults"]:
                if result.get("StatusCode") in ("InternalError", "Forbidden"):
                    raise SourceFailed(f"CloudWatch answers {result['StatusCode']}: check the permissions")
                which = int(result["Id"][1:])
                for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                    yield which, moment, float(value)
            if not told.get("NextToken"):
                return
            asked["NextToken"] = told["NextToken"]
        raise SourceFailed(f"CloudWatch answers with more than {MOST_PAGES} pages: name fewer metrics")

    def _query(self, number: int, metric: Metric) -> dict[str, Any]:
        dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
        what = {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
        return {"Id": f"m{number}", "MetricStat": {"Metric": what, "Period": self._width, "Stat": "Sum"}}


def _failed(error: BotoCoreError | ClientError) -> SourceFailed:
    if isinstance(error, NoCredentialsError):
        return SourceFailed(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the "
            "machine a role that allows cloudwatch:GetMetricData"
        )
    if isinstance(error, ClientError):
        code, status = (
            str(error.response.get("Error", {}).get("Code", "")),
            int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)),
        )
        said = str(error.response.get("Error", {}).get("Message", ""))[:MOST_SHOWN]
        return SourceFailed(f"CloudWatch answers {code}: {said}", code in PASSING or status >= 500)
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return SourceFailed(
            f"CloudWatch cannot be reached ({type(error).__name__}); is `region` right, and may we go out to it?",
            passing=True,
        )
    return SourceFailed(f"CloudWatch cannot be asked: {str(error)[:MOST_SHOWN]}")
