"""JSON Schemas of model values, made from their type hints and docstrings: what `to_plain` writes, described for machines.

https://json-schema.org/draft/2020-12: `$defs` holds every class that is mentioned, so that a schema stands alone.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Union, get_args, get_origin, get_type_hints

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    IPv4Address: {"type": "string", "format": "ipv4"},
    IPv6Address: {"type": "string", "format": "ipv6"},
}


def schema(kind: type) -> dict[str, Any]:
    """The whole schema of a dataclass. Its `schema` field, where it has one with a default, names version and identity."""
    found: dict[str, Any] = {}
    body = _of(kind, found, "#/$defs/")
    version = next((f.default for f in fields(kind) if f.name == "schema"), None)
    identity = {"$id": f"https://{version}.json"} if isinstance(version, str) else {}
    return {"$schema": DIALECT, **identity, "title": kind.__name__, **body, "$defs": dict(sorted(found.items()))}


def components(*kinds: type) -> dict[str, Any]:
    """The schemas of several classes and of all that they mention, by name, as an OpenAPI document holds them."""
    found: dict[str, Any] = {}
    for kind in kinds:
        _of(kind, found, "#/components/schemas/")
    return dict(sorted(found.items()))


def _of(kind: Any, found: dict[str, Any], where: str) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(args, found, where)
    if origin is tuple:
        return _tuple(args, found, where)
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(args[1], found, where)}
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Enum)):
        name = kind.__name__
        if name not in found:
            found[name] = {}  # a class may mention itself
            found[name] = _object(kind, found, where) if is_dataclass(kind) else _enum(kind)
        return {"$ref": where + name}
    raise TypeError(f"{kind} has no JSON Schema here")


def _object(kind: Any, found: dict[str, Any], where: str) -> dict[str, Any]:
    hints, properties = get_type_hints(kind), {}
    for field in fields(kind):
        described = _of(hints[field.name], found, where)
        if field.name == "schema" and isinstance(field.default, str):
            described = {"const": field.default}
        elif field.default is not MISSING and isinstance(field.default, str | int | float) and "$ref" not in described:
            described["default"] = field.default
        properties[field.name.rstrip("_")] = described
    # Everything is always written; what is not known here must be tolerated by readers, since fields may be added.
    return {"type": "object", "description": _words(kind), "properties": properties, "required": list(properties)}


def _enum(kind: type[Enum]) -> dict[str, Any]:
    return {"type": "string", "description": _words(kind), "enum": [item.value for item in kind]}


def _union(args: tuple[Any, ...], found: dict[str, Any], where: str) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"} if item is type(None) else _of(item, found, where) for item in args]}


def _tuple(args: tuple[Any, ...], found: dict[str, Any], where: str) -> dict[str, Any]:
    if len(args) == 2 and args[1] is ...:
        return {"type": "array", "items": _of(args[0], found, where)}
    exact = [_of(item, found, where) for item in args]
    return {"type": "array", "prefixItems": exact, "minItems": len(exact), "maxItems": len(exact)}


def _words(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())
