#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Look keys up through an fkv mount with nothing but the standard library.

    read_features.py /fkv/words queen king castle
    read_features.py /fkv/ads/v/43 1234 5678

One write() of a request and its keys to the table's batch file, then read() until it returns
nothing: the layout is that of fkv_protocol.h (docs/PROTOCOL.md). Vectors are asked for as f32.
"""
import fcntl
import os
import struct
import sys

MAGIC = 0x31564B46
INFO = struct.Struct("<IIQQIIIIQ16x")          # struct fkv_info, 64 bytes
REQUEST = struct.Struct("<IIQQIIQQQQ")         # struct fkv_lookup, its first half
REPLY = struct.Struct("<iIQQQIIQ16x")          # … and its second
IOC_INFO = 2 << 30 | INFO.size << 16 | ord("F") << 8 | 0x51
KEY_U64, KEY_BYTES = 1, 2
FORM_STORED, FORM_F32 = 0, 1
FOUND = 0
BODY_MAX = 64 << 20  # the longest answer we want


class Table:
    """A table's directory in the mount, or one version's."""

    def __init__(self, path):
        self.fd = os.open(os.path.join(path, "batch"), os.O_RDWR | os.O_CLOEXEC)
        info = INFO.unpack(fcntl.ioctl(self.fd, IOC_INFO, bytes(INFO.size)))
        self.key_type, self.dim = info[4], info[6]

    def close(self):
        os.close(self.fd)

    def _encode(self, keys):
        if self.key_type == KEY_U64:
            return struct.pack(f"<{len(keys)}Q", *map(int, keys))
        texts = [key.encode() for key in keys]
        ends, end = [], 0
        for text in texts:
            end += len(text)
            ends.append(end)
        return struct.pack(f"<{len(ends)}I", *ends) + b"".join(texts)

    def get(self, keys):
        """(version, [value or None, …]): a value is a tuple of floats, or bytes."""
        encoded = self._encode(keys)
        half = REQUEST.size + REPLY.size
        form = FORM_F32 if self.dim else FORM_STORED
        request = REQUEST.pack(MAGIC, form, 0, 0, len(keys), self.key_type, half, len(encoded),
                               0, BODY_MAX)
        os.write(self.fd, request + bytes(REPLY.size) + encoded)
        reply = bytearray()
        while part := os.read(self.fd, 1 << 20):
            reply += part
        error, _, version, *places = REPLY.unpack_from(reply, REQUEST.size)
        if error:
            raise OSError(-error, os.strerror(-error))
        body = memoryview(reply)[half:]
        return version, [self._value(body, i, *places) for i in range(len(keys))]

    def _value(self, body, i, values_off, locs_off, stride, value_len, _body_len):
        if body[i] != FOUND:
            return None
        if stride:
            start, length = values_off + i * stride, value_len
        else:
            off8, length = struct.unpack_from("<II", body, locs_off + 8 * i)
            start = values_off + 8 * off8
        value = bytes(body[start:start + length])
        return struct.unpack(f"<{self.dim}f", value) if self.dim else value


def show(value):
    if value is None:
        return "(absent)"
    if isinstance(value, bytes):
        return repr(value[:60])
    numbers = ", ".join(f"{x:.4f}" for x in value[:5])
    return f"[{numbers}, … {len(value)} in all]" if len(value) > 5 else f"[{numbers}]"


def main(argv):
    if len(argv) < 3:
        sys.exit("usage: read_features.py TABLE_DIRECTORY KEY...")
    table = Table(argv[1])
    version, values = table.get(argv[2:])
    table.close()
    print(f"version {version}")
    for key, value in zip(argv[2:], values):
        print(f"  {key:16} {show(value)}")


if __name__ == "__main__":
    main(sys.argv)
