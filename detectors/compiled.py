"""Loops over time that numpy cannot say are compiled; this is the one place that names the compiler.

In: a plain function over arrays and numbers. Out: the same function, compiled at its first call and kept in
a cache. Never: anything that the plain function would not do.

The compiler's own cache asks only whether the file of a function has changed, not the files of the functions
that it calls. So the cache lies in a folder named by a hash of all the files of this room. Nor does it lock:
two processes that compile at once may write under one name, and the next one would run the wrong code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.core import config
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")


def _cache() -> Path:
    """The folder of this version's compiled code; those of other versions beside it are removed."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(here.glob("*.py")):
        digest.update(file.read_bytes())
    base = here / "__pycache__"
    try:
        base.mkdir(exist_ok=True)
        writable = os.access(base, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        base = Path(tempfile.gettempdir()) / f"stillwatch-{os.getuid()}"
        base.mkdir(mode=0o700, exist_ok=True)
    mine = base / f"compiled-{digest.hexdigest()[:16]}"
    for old in base.glob("compiled-*"):
        if old != mine:
            shutil.rmtree(old, ignore_errors=True)
    return mine


CACHE = _cache()
setattr(config, "CACHE_DIR", str(CACHE))  # noqa: B010  the compiler makes its settings when imported


def is_cached(function: Callable[..., Any]) -> bool:
    """Has an earlier run kept the compiled code of `function`? If not, its first use takes a while.

    The folder alone says nothing: it is made as soon as the file of such a function is imported.
    """
    room = function.__module__.rpartition(".")[2]
    return any(CACHE.glob(f"*/{room}.{function.__qualname__}-*.nbc"))


_turn = threading.RLock()
_deep = [0]


@contextmanager
def _alone() -> Iterator[None]:
    """While no other thread or process reads or writes the cache."""
    with _turn:
        _deep[0] += 1
        try:
            if _deep[0] > 1:
                yield
                return
            folder = Path(getattr(config, "CACHE_DIR"))  # noqa: B009  see above
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:
                flock(lock, LOCK_EX)
                yield
        finally:
            _deep[0] -= 1


class _Cache(FunctionCache):
    """The compiler's cache of one function, used by one at a time."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with _alone():
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, data: Any) -> None:
        with _alone():
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function`; its plain form stays reachable as `.py_func`, which the tests use as a twin."""
    return _compiled(function, counts=True, inside=False)


def compiled_in_place(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, for what makes no array: it spends no time on counting who still holds those it is given."""
    return _compiled(function, counts=False, inside=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled_in_place`, for what is short or called from one place: it becomes part of each caller."""
    return _compiled(function, counts=False, inside=True)


def polynomial(function: Callable[P, R]) -> Callable[P, R]:
    """As `inlined`, for sums of products: where the processor can, it rounds once for both."""
    return _compiled(function, counts=False, inside=True, fastmath={"contract"})


def _compiled(function: Callable[P, R], counts: bool, inside: bool, **more: Any) -> Callable[P, R]:
    # Division as in numpy: by zero it gives infinity, as the plain form does, and costs no branch. The next two are
    # always said, since what is not said is as in whoever calls the function first. Nobody calls these from C.
    compile_: Any = njit  # whose last options its types don't name
    made = compile_(
        function, error_model="numpy", _nrt=counts, forceinline=inside, no_cfunc_wrapper=True, **more
    )
    if made is not function:  # the compiler can be switched off
        made._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return cast(Callable[P, R], made)


def _plain(address: int) -> None:
    """Ask for the memory at `address` (bytes) ahead of its use; nothing waits for it."""


def _made(typing: Any, address: Any) -> Any:
    del typing

    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        del signature
        number = ir.IntType(32)
        pointer = builder.inttoptr(given[0], ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(prefetch, [pointer, number(1), number(3), number(1)])  # to be written, soon, data
        return context.get_dummy_value()

    return types.void(types.uintp), build


ahead: Callable[[int], None] = _plain if getattr(config, "DISABLE_JIT") else cast(Any, intrinsic(_made))  # noqa: B009  as above
