"""Property values between Pulumi's protocol (protobuf structs) and plain Python."""

from collections.abc import Collection, Iterable
from typing import Any

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

from offline.aws.resource import Props

UNKNOWN: str = rpc.UNKNOWN
"""What stands in a preview for a value that is not known before the update."""

# sdk/go/common/resource/plugin/rpc.go: one sentinel for each kind of value.
_UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"


def decode(message: struct_pb2.Struct) -> Props:
    """Returns the properties with secrets unwrapped, whole numbers as int, and unknowns as `UNKNOWN`."""
    return {key: _plain(value) for key, value in message.fields.items()}


def secret_keys(message: struct_pb2.Struct) -> frozenset[str]:
    """Returns the top-level keys whose value is, or holds somewhere inside, a secret."""
    return frozenset(key for key, value in message.fields.items() if _holds_secret(value))


def encode(properties: Props, secrets: Collection[str] = ()) -> struct_pb2.Struct:
    """Returns the properties as a message; those named in `secrets` are marked secret as a whole."""
    message = struct_pb2.Struct()
    for key, value in properties.items():
        wrapped = {_SIGNATURE: _SECRET, "value": value} if key in secrets and value is not None else value
        message.fields[key].CopyFrom(_value(wrapped))
    return message


def is_unknown(value: Any) -> bool:
    """Returns whether a decoded value is unknown or holds an unknown somewhere inside."""
    if isinstance(value, dict):
        return any(is_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(is_unknown(item) for item in value)
    return isinstance(value, str) and value == UNKNOWN


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
            return _plain(fields["value"])
        return {key: _plain(item) for key, item in fields.items()}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
    return value.bool_value if kind == "bool_value" else None


def _holds_secret(value: struct_pb2.Value) -> bool:
    kind = value.WhichOneof("kind")
    children: Iterable[struct_pb2.Value] = ()
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
            return True
        children = fields.values()
    elif kind == "list_value":
        children = value.list_value.values
    return any(_holds_secret(child) for child in children)


def _value(plain: Any) -> struct_pb2.Value:
    if plain is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(plain, bool):
        return struct_pb2.Value(bool_value=plain)
    if isinstance(plain, int | float):
        return struct_pb2.Value(number_value=plain)
    if isinstance(plain, str):
        return struct_pb2.Value(string_value=plain)
    if isinstance(plain, dict):
        fields = struct_pb2.Struct()
        for key, item in plain.items():
            fields.fields[key].CopyFrom(_value(item))
        return struct_pb2.Value(struct_value=fields)
    return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_value(item) for item in plain]))
