"""How far each signal is: what is judged already, and what still learns and what it waits for.

In: the detectors' memory after a step. Out: a line in the log when that changes, words for /healthz.
Never: a word when nothing changed; a list of thousands.
"""

from __future__ import annotations

import logging

import numpy as np

from detectors.learning import WORDS, Learning, learning
from detectors.memory import Memory
from detectors.plan import Plan

log = logging.getLogger(__name__)

MOST_NAMED = 20


class Progress:
    """waiting: signal ("service/name") -> what it waits for, MOST_NAMED at most."""

    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        self.judged = 0
        self._known: dict[str, int] = {}

    def look(self, memory: Memory, plan: Plan) -> None:
        """Notice how far each signal is now."""
        now = learning(memory.columns, plan)
        names = [f"{signal.service}/{signal.name}" for signal in plan.signals]
        known = dict(zip(names, now.tolist(), strict=True))
        if known == self._known:
            return
        changed = [name for name, stage in known.items() if self._known.get(name) != stage]
        self._known = known
        self.judged = int(np.count_nonzero(now == Learning.READY))
        self.waiting = {
            name: WORDS[Learning(stage)] for name, stage in known.items() if stage != Learning.READY
        }
        for stage in Learning:
            of = [name for name in changed if known[name] == stage]
            if of:
                more = f" and {len(of) - MOST_NAMED} more" if len(of) > MOST_NAMED else ""
                log.info("%s: %s%s", WORDS[stage], ", ".join(of[:MOST_NAMED]), more)
        self.waiting = dict(list(self.waiting.items())[:MOST_NAMED])
