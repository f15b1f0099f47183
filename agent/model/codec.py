"""Values to plain JSON data and back, checked against their type hints.

Own code rather than a library because the privileged broker speaks these values and imports the standard library only.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class CodecError(ValueError):
    """Data does not have the shape of the type asked for; the message names the place."""


def to_plain(value: Any) -> Any:
    """A value as dicts, lists, strings, numbers, booleans and None. A field named `from_` becomes the key `from`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, IPv4Address | IPv6Address):
        return str(value)
    return value


def from_plain(kind: type[T], data: Any, where: str = "$") -> T:
    """The value of type `kind` that `data` describes.

    Unknown keys are ignored, so that a newer capture can be read; missing keys take the field's default.
    Raises `CodecError`.
    """
    result: T = _decode(kind, data, where)
    return result


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, data: Any, where: str) -> Any:
    if kind is Any:
        return data
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, data, where)
    if origin is tuple:
        return _decode_tuple(get_args(kind), data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise CodecError(f"{where}: expected an object")
        value_kind = get_args(kind)[1]
        return {str(key): _decode(value_kind, item, f"{where}.{key}") for key, item in data.items()}
    if is_dataclass(kind):
        return _decode_dataclass(kind, data, where)
    return _decode_scalar(kind, data, where)


def _decode_union(kind: Any, data: Any, where: str) -> Any:
    options = get_args(kind)
    if data is None and type(None) in options:
        return None
    problem: CodecError | None = None
    for option in options:
        if option is not type(None):
            try:
                return _decode(option, data, where)
            except CodecError as error:
                problem = error
    raise problem or CodecError(f"{where}: no type fits")


def _decode_tuple(args: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise CodecError(f"{where}: expected a list")
    if len(args) == 2 and args[1] is ...:
        return tuple(_decode(args[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(args) != len(data):
        raise CodecError(f"{where}: expected {len(args)} items, found {len(data)}")
    return tuple(_decode(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(args, data, strict=True)))


def _decode_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise CodecError(f"{where}: expected an object")
    hints, found = _hints(kind), {}
    for f in fields(kind):
        key = f.name.rstrip("_")
        if key in data:
            found[f.name] = _decode(hints[f.name], data[key], f"{where}.{key}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise CodecError(f"{where}: {key} is missing")
    return kind(**found)


def _decode_scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(kind, type) and (issubclass(kind, Enum) or kind in (IPv4Address, IPv6Address)):
        try:
            return kind(data)
        except ValueError as error:
            raise CodecError(f"{where}: {error}") from error
    if not isinstance(kind, type) or not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise CodecError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {type(data).__name__}")
    return data
