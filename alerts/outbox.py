"""What is to be delivered, what became of it, and when to try again. Pure.

In: a message that is due, and what is known of earlier tries. Out: a named decision.
Never: the network, the database, a clock (the time comes as an argument).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a message stands: what the place itself calls its channel and the message."""

    channel: str
    id: str


Outcome = Literal["refused", "permanent", "unknown", "no_credentials"]


class SendFailed(Exception):
    """A message was not delivered, or nobody knows.

    outcome: refused (not taken, send again later), permanent (not taken, and the same will never be),
    unknown (it may stand there: look before sending again), no_credentials (nothing gets through until
    a person acts). retry_after: seconds that the place asked us to wait, 0 if it did not say.
    """

    def __init__(self, message: str, outcome: Outcome, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.retry_after = retry_after
