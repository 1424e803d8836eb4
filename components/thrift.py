"""Thrift's compact protocol, in which Parquet's footers are written: read to plain values, and written back to the same bytes.

A struct is field id -> (type, value), in the order read; a list is (type of its elements, elements); numbers are int, text is bytes.
The protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. Maps do not occur in footers.
"""

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)
Struct = dict[int, tuple[int, Any]]
_MORE = 0x80


def read_struct(raw: bytes) -> Struct:
    """Read a struct that starts at the first byte. Raises ValueError for a type that footers do not have."""
    return read_prefix(raw)[0]


def read_prefix(raw: bytes) -> tuple[Struct, int]:
    """Read a struct and return how many bytes it takes. Raises IndexError where the bytes end before it, ValueError as `read_struct`."""
    reader = _Reader(raw)
    return reader.struct(), reader.at


def write_struct(fields: Struct) -> bytes:
    """Write a struct; what `read_struct` returned becomes the bytes that it was read from."""
    written, last = [], 0
    for field, (kind, value) in fields.items():
        near = 0 < field - last < 16
        written.append(bytes([field - last << 4 | kind]) if near else bytes([kind]) + _varint(_zigzag(field)))
        written.append(_write(kind, value))
        last = field
    return b"".join([*written, b"\0"])


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.raw[self.at - size : self.at]

    def varint(self) -> int:
        number = shift = 0
        while (byte := self.take(1)[0]) >= _MORE:
            number, shift = number | (byte - _MORE) << shift, shift + 7
        return number | byte << shift

    def integer(self) -> int:
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def struct(self) -> Struct:
        fields: Struct = {}
        last = 0
        while header := self.take(1)[0]:
            last = last + (header >> 4) if header >> 4 else self.integer()
            fields[last] = (header & 15, self.value(header & 15))
        return fields

    def elements(self) -> tuple[int, list[Any]]:
        header = self.take(1)[0]
        size, kind = header >> 4 if header >> 4 < 15 else self.varint(), header & 15
        return kind, list(self.take(size)) if kind in (TRUE, FALSE) else [self.value(kind) for _ in range(size)]

    def value(self, kind: int) -> Any:
        match kind:
            case 1 | 2:
                return kind == TRUE
            case 3 | 7:
                return self.take(1 if kind == BYTE else 8)
            case 4 | 5 | 6:
                return self.integer()
            case 8:
                return self.take(self.varint())
            case 9 | 10:
                return self.elements()
            case 12:
                return self.struct()
        raise ValueError(f"Parquet footer: expected types 1 to 10 and 12 of Thrift's compact protocol, found {kind}; the file is damaged")


def _write(kind: int, value: Any) -> bytes:
    match kind:
        case 1 | 2:
            return b""  # the type says it
        case 4 | 5 | 6:
            return _varint(_zigzag(value))
        case 8:
            return _varint(len(value)) + bytes(value)
        case 9 | 10:
            element, values = value
            head = bytes([len(values) << 4 | element]) if len(values) < 15 else bytes([0xF0 | element]) + _varint(len(values))
            return head + (bytes(values) if element in (TRUE, FALSE) else b"".join(_write(element, each) for each in values))
        case 12:
            return write_struct(value)
    return bytes(value)


def _zigzag(number: int) -> int:
    return number << 1 ^ number >> 63


def _varint(number: int) -> bytes:
    written = bytearray()
    while number >= _MORE:
        written.append(number & 127 | _MORE)
        number >>= 7
    return bytes([*written, number])
