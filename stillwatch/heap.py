"""What Python does about garbage while objects are made by the million.

In: a stretch of work that makes what stays. Out: nothing. Never: a search for garbage that is not there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settling() -> Iterator[None]:
    """While what is made is there to stay: series and charts hold no cycles, and to look through all of them, again
    and again as they grow, takes longer than to make them. What stands at the end is never searched again."""
    gc.collect(1)  # lest what is garbage by now stays as well
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()
        gc.freeze()


def clear_out() -> None:
    """What was to stay, and is not needed any more, is searched for garbage as well; of millions of objects that
    takes some seconds."""
    gc.unfreeze()
    gc.collect()
