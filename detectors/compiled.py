"""Loops over time that numpy cannot say are compiled; this is the one place that names the compiler.

In: a plain function over arrays and numbers. Out: the same function, compiled at its first call and
cached beside its file. Never: anything that the plain function would not do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function`; its plain form stays reachable as `.py_func`, which the tests use as a twin."""
    return cast(Callable[P, R], njit(cache=True)(function))
