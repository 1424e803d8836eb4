"""A Parquet file put together from the columns of others, row group by row group: pages are copied as they are, none is made again.

The bytes are those that Polars would have written of the same rows, as long as it wrote all the parts: encodings, statistics and indexes of
a column chunk hang on its rows alone, and what hangs on the place in the file is moved here. Only what Polars writes is understood.
Field numbers are those of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from components.thrift import I32, I64, LIST, STRUCT, Struct, read_struct, write_struct

_MAGIC = b"PAR1"
_SCHEMA, _NUM_ROWS, _GROUPS, _CREATED_BY = 2, 3, 4, 6
_ELEMENT_NAME, _CHILDREN = 4, 5
_COLUMNS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_AT, _GROUP_COMPRESSED = 1, 2, 3, 5, 6
_END, _META, _OFFSETS_AT, _OFFSETS_SIZE, _BOUNDS_AT, _BOUNDS_SIZE = 2, 3, 4, 5, 6, 7
_CODEC, _BYTES, _COMPRESSED, _PAGE_AT, _INDEX_AT, _DICTIONARY_AT = 4, 6, 7, 9, 10, 11
_PAGES, _PLACE = 1, 1


class Source(Protocol):
    """A file that can be read at any place."""

    def seek(self, offset: int, whence: int, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """Return the place."""

    def read(self, size: int, /) -> bytes:
        """Read from the place on."""


class Sink(Protocol):
    """A file that is written from its start to its end."""

    def write(self, raw: bytes, /) -> int:
        """Write at the end."""


@dataclass(frozen=True)
class Part:
    """A Parquet file to take columns from."""

    file: Source
    footer: Struct
    indexes: bytes
    """What stands between the last row group and the footer."""
    indexes_at: int

    @classmethod
    def open(cls, file: Source) -> "Part":
        """Read what stands after the row groups."""
        file.seek(-8, 2)
        size = int.from_bytes(bytes(file.read(4)), "little")
        file.seek(-8 - size, 2)
        end, footer = file.tell(), read_struct(bytes(file.read(size)))
        chunks = (chunk for group in footer[_GROUPS][1][1] for chunk in group[_COLUMNS][1][1])
        start = min((chunk[_BOUNDS_AT][1] for chunk in chunks), default=end)
        file.seek(start, 0)
        return cls(file, footer, bytes(file.read(end - start)), start)

    @property
    def elements(self) -> dict[bytes, Struct]:
        """The schema, name -> SchemaElement."""
        return {element[_ELEMENT_NAME][1]: element for element in self.footer[_SCHEMA][1][1][1:]}

    @property
    def heights(self) -> list[int]:
        """The rows of each row group."""
        return [group[_GROUP_ROWS][1] for group in self.footer[_GROUPS][1][1]]

    @property
    def codecs(self) -> set[int]:
        """How the pages are compressed."""
        return {chunk[_META][1][_CODEC][1] for group in self.footer[_GROUPS][1][1] for chunk in group[_COLUMNS][1][1]}

    def take_group(self, number: int) -> "dict[bytes, _Chunk]":
        """Read the column chunks of a row group, by name."""
        chunks = self.footer[_GROUPS][1][1][number][_COLUMNS][1][1]
        first, last = _start(chunks[0]), _start(chunks[-1]) + chunks[-1][_META][1][_COMPRESSED][1]
        self.file.seek(first, 0)
        pages = memoryview(bytes(self.file.read(last - first)))
        return {name: self._cut(chunk, pages, first) for name, chunk in zip(self.elements, chunks, strict=True)}

    def _cut(self, chunk: Struct, pages: memoryview, first: int) -> "_Chunk":
        at = _start(chunk) - first
        bounds, offsets = chunk[_BOUNDS_AT][1] - self.indexes_at, chunk[_OFFSETS_AT][1] - self.indexes_at
        return _Chunk(
            chunk,
            pages[at : at + chunk[_META][1][_COMPRESSED][1]],
            self.indexes[bounds : bounds + chunk[_BOUNDS_SIZE][1]],
            self.indexes[offsets : offsets + chunk[_OFFSETS_SIZE][1]],
        )


@dataclass(frozen=True)
class _Chunk:
    """One column of one row group: its ColumnChunk, its pages, the smallest and largest values of them, and their places."""

    told: Struct
    pages: memoryview
    bounds: bytes
    offsets: bytes


def can_splice(like: Part, parts: Sequence[Part]) -> bool:
    """Whether the parts make a file `like` this one: of the same writer, with the same types, in row groups of the same heights.

    Not where a column, wanted or not, is nested: such a one has several chunks.
    """
    found = {name: element for part in parts for name, element in part.elements.items()}
    same_writer = all(part.footer[_CREATED_BY] == like.footer[_CREATED_BY] for part in parts)
    same_types = all(found.get(name) == element for name, element in like.elements.items())
    same_codec = len(set[int]().union(*(part.codecs for part in parts))) <= 1
    flat = not any(_CHILDREN in element for element in found.values())
    return same_writer and same_types and same_codec and flat and all(part.heights == parts[0].heights for part in parts)


def splice(like: Part, parts: Sequence[Part], target: Sink) -> int:
    """Write the columns of `like`, in its order, each from the last part that has it; return the number of rows.

    like: a file of Polars' with the schema wanted; its rows do not matter. Columns of the parts that it lacks are left out.
    Holds a row group of compressed pages. Raises ValueError where `can_splice` says no.
    """
    if not can_splice(like, parts):
        raise ValueError("splice: expected parts of one writer that have the columns wanted in equal row groups, found others; sink them")
    writing = _Writing(target)
    for number, group in enumerate(parts[0].footer[_GROUPS][1][1]):
        chunks = {name: chunk for part in parts for name, chunk in part.take_group(number).items()}
        writing.add_group(group, [chunks[name] for name in like.elements])
    return writing.finish(like.footer)


@dataclass
class _Writing:
    target: Sink
    at: int = 0
    pending: list[bytes | memoryview] = field(default_factory=lambda: [_MAGIC])
    groups: list[Struct] = field(default_factory=list)
    bounds: list[tuple[Struct, bytes]] = field(default_factory=list)
    offsets: list[tuple[Struct, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = len(_MAGIC)

    def add_group(self, group: Struct, chunks: Sequence[_Chunk]) -> None:
        at = self.at
        columns = [self._add_chunk(chunk) for chunk in chunks]
        sums = [sum(chunk[_META][1][size][1] for chunk in columns) for size in (_BYTES, _COMPRESSED)]
        placed = zip((_GROUP_BYTES, _GROUP_COMPRESSED, _GROUP_AT), (*sums, at), strict=True)
        self.groups.append({**group, **{number: (I64, value) for number, value in placed}, _COLUMNS: (LIST, (STRUCT, columns))})
        self._flush()

    def _add_chunk(self, chunk: _Chunk) -> Struct:
        """Put the pages of a chunk, and the metadata that Polars writes after them; return the ColumnChunk for the footer."""
        meta, shift = chunk.told[_META][1], self.at - _start(chunk.told)
        moved = {number: (I64, meta[number][1] + shift) for number in (_PAGE_AT, _INDEX_AT, _DICTIONARY_AT) if number in meta}
        told = {**chunk.told, _END: (I64, chunk.told[_END][1] + shift), _META: (STRUCT, {**meta, **moved})}
        self._put(chunk.pages)
        self._put(write_struct(told[_META][1]))
        self.bounds.append((told, chunk.bounds))
        self.offsets.append((told, _move_pages(chunk.offsets, shift)))
        return told

    def finish(self, footer: Struct) -> int:
        """Write the page indexes and the footer; return the number of rows."""
        for indexes, at, size in ((self.bounds, _BOUNDS_AT, _BOUNDS_SIZE), (self.offsets, _OFFSETS_AT, _OFFSETS_SIZE)):
            for chunk, raw in indexes:
                chunk[at], chunk[size] = (I64, self.at), (I32, len(raw))
                self._put(raw)
        num_rows = sum(group[_GROUP_ROWS][1] for group in self.groups)
        written = write_struct({**footer, _NUM_ROWS: (I64, num_rows), _GROUPS: (LIST, (STRUCT, self.groups))})
        self._put(written + len(written).to_bytes(4, "little") + _MAGIC)
        self._flush()
        return int(num_rows)

    def _put(self, raw: bytes | memoryview) -> None:
        self.pending.append(raw)
        self.at += len(raw)

    def _flush(self) -> None:
        self.target.write(b"".join(self.pending))
        self.pending.clear()


def _start(chunk: Struct) -> int:
    """Return where the pages of a ColumnChunk start."""
    meta = chunk[_META][1]
    return int(meta.get(_DICTIONARY_AT, meta[_PAGE_AT])[1])


def _move_pages(raw: bytes, shift: int) -> bytes:
    """Move the pages that an OffsetIndex tells of."""
    index = read_struct(raw)
    pages = [{**page, _PLACE: (I64, page[_PLACE][1] + shift)} for page in index[_PAGES][1][1]]
    return write_struct({**index, _PAGES: (LIST, (STRUCT, pages))})
