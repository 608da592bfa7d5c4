"""Messages and incidents as text, and back: what is kept until it is delivered. Pure.

In: a dataclass of ours, or such text. Out: JSON, or the same dataclass.
Never: code that is run on reading (so no pickle), an object that the text names by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def pack(value: object) -> str:
    """A frozen dataclass of texts, numbers, tuples, float64 arrays and other such dataclasses as one line.

    NaN and infinity are kept (as Python's JSON writes them). What equals its default is kept too.
    """
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def unpack(kind: type[T], text: str) -> T:
    """What `pack` wrote. Fields that the text lacks get their defaults, those that `kind` lacks are left out.

    Raises ValueError where the text does not hold such a thing.
    """
    try:
        return cast(T, _shaped(kind, json.loads(text)))
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a stored {kind.__name__}: {error}") from None


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    return value


def _shaped(kind: Any, value: Any) -> object:
    if isinstance(kind, type) and is_dataclass(kind):
        return _built(kind, value)
    origin, inside = get_origin(kind), get_args(kind)
    if origin is tuple:
        if isinstance(value, str):  # where there may be several now there was one
            value = [value] if value else []
        if len(inside) == 2 and inside[1] is Ellipsis:
            return tuple(_shaped(inside[0], one) for one in value)
        return tuple(_shaped(one, part) for one, part in zip(inside, value, strict=True))
    if origin in (Union, UnionType):
        return None if value is None else _shaped(next(k for k in inside if k is not NoneType), value)
    if origin is np.ndarray:
        return _array(value)
    if origin is Literal and value not in inside:
        raise ValueError(f"not a stored value: found {value!r}, expected one of {inside}")
    return value


def _built(kind: type[Any], value: Any) -> object:
    hints = get_type_hints(kind)
    given: dict[str, object] = {}
    for field in fields(kind):
        if field.name in value:
            given[field.name] = _shaped(hints[field.name], value[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    return kind(**given)


def _array(value: Any) -> NDArray[np.float64]:
    return np.array(value, dtype=np.float64)
