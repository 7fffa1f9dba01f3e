"""The generation of this network namespace's nftables rule set.

The kernel counts every transaction that changes anything, whoever commits it
(net/netfilter/nf_tables_api.c, nf_tables_commit, nft_base_seq). nft(8) does not print the number,
so it is asked for here by netlink (include/uapi/linux/netfilter/nf_tables.h, NFT_MSG_GETGEN).
"""

from __future__ import annotations

import socket
import struct

from svcc.apply.system.errors import ToolError

_NETLINK_NETFILTER = 12
_GETGEN, _NEWGEN = (10 << 8) | 16, (10 << 8) | 15
_ERROR = 2
_REQUEST = 1
_GEN_ID = 1
_HEADER = struct.Struct("=IHHII")
_OF_NETFILTER = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_SECONDS = 10


def generation() -> int:
    """The number of the last transaction.

    Raises:
        ToolError: the kernel does not tell, for want of nf_tables or of rights.
    """
    request = _HEADER.pack(
        _HEADER.size + _OF_NETFILTER.size, _GETGEN, _REQUEST, 1, 0
    ) + _OF_NETFILTER.pack(socket.AF_UNSPEC, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as asked:
            asked.settimeout(_SECONDS)
            asked.bind((0, 0))
            asked.send(request)
            answer = asked.recv(65536)
    except OSError as error:
        raise ToolError(f"nf_tables: {error.strerror or error}") from error
    return _read(answer)


def _read(answer: bytes) -> int:
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        raise ToolError(f"nf_tables does not tell its generation: error {-code}")
    position = _HEADER.size + _OF_NETFILTER.size
    while kind == _NEWGEN and position + _ATTRIBUTE.size <= min(length, len(answer)):
        size, attribute = _ATTRIBUTE.unpack_from(answer, position)
        if attribute == _GEN_ID:
            (number,) = struct.unpack_from("!I", answer, position + _ATTRIBUTE.size)
            return int(number)
        position += max(4, -(-size // 4) * 4)
    raise ToolError("nf_tables does not tell its generation")
