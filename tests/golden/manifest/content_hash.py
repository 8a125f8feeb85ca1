"""The content hash of a manifest, written down a second time; prints the one that the_hash_is_pinned expects.

Needs nothing but Python: python3 tests/golden/manifest/content_hash.py
"""

import hashlib
import struct


def cell(value):
    if value is None:
        return b"\x00"
    if isinstance(value, bool):
        return b"\x01" + bytes([value])
    if isinstance(value, int):
        return b"\x02" + value.to_bytes(16, "little", signed=True)
    if isinstance(value, float):
        bits = 0x7FF8000000000000 if value != value else struct.unpack("<Q", struct.pack("<d", value))[0]
        return b"\x03" + bits.to_bytes(8, "little")
    if isinstance(value, str):
        text = value.encode()
        return b"\x04" + len(text).to_bytes(8, "little") + text
    raise TypeError(type(value))


def content_hash(columns, rows):
    total = 0
    for row in rows:
        digest = hashlib.sha256(b"".join(cell(value) for value in row)).digest()
        total = (total + int.from_bytes(digest, "little")) % 2**256
    text = b"skewless rows 1\n" + len(columns).to_bytes(8, "little")
    for name in columns:
        text += len(name.encode()).to_bytes(8, "little") + name.encode()
    text += len(rows).to_bytes(8, "little") + total.to_bytes(32, "little")
    return "sha256:" + hashlib.sha256(text).hexdigest()


if __name__ == "__main__":
    print(content_hash(["a", "b", "c"], [(1, "x", 0.5), (None, "", float("nan"))]))
