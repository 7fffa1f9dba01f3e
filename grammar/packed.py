"""Texts that were packed by gzip."""

from __future__ import annotations

MAX_UNPACKED = 1 << 30
"""Bytes of a file when it is unpacked."""

_GZIP = b"\x1f\x8b"


def unpacked(data: bytes) -> bytes:
    """The data, unpacked if it is a gzip file (RFC 1952).

    Raises:
        ValueError: it is a gzip file that is damaged, cut off or too large.
    """
    if not data.startswith(_GZIP):
        return data
    import zlib

    found = []
    size = 0
    try:
        while data.startswith(_GZIP):
            unpacker = zlib.decompressobj(wbits=31)
            found.append(unpacker.decompress(data, MAX_UNPACKED - size))
            size += len(found[-1])
            if size >= MAX_UNPACKED:
                raise ValueError(f"gzip: more than {MAX_UNPACKED >> 20} MB when unpacked")
            if not unpacker.eof:
                raise ValueError("gzip: the file is cut off")
            data = unpacker.unused_data
    except zlib.error as error:
        raise ValueError(f"gzip: {error}") from None
    return b"".join(found)
