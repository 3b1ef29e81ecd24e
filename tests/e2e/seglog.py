"""Reads a stream's segment files as daemon/store/seglog_record.h describes them, without the program that wrote them."""
import os
import struct

HEAD = struct.Struct("<8sIIQII")
RECORD = struct.Struct("<4sIQqIHH")


def read(folder):
    """(number, topic, payload) of every record, oldest first. A torn tail ends it, as it ends the log itself."""
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".seg"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        if len(data) < HEAD.size:
            continue
        magic, version, _, _, _, _ = HEAD.unpack_from(data)
        if (magic, version) != (b"GHSEGLOG", 1):
            raise AssertionError(f"{name}: begins with {data[:16]!r}")
        at = HEAD.size
        while at + RECORD.size <= len(data):
            magic, _, number, _, payload_len, topic_len, _ = RECORD.unpack_from(data, at)
            end = at + RECORD.size + topic_len + payload_len
            if magic != b"GHR1" or end > len(data):
                break
            topic = data[at + RECORD.size:at + RECORD.size + topic_len].decode()
            yield number, topic, data[end - payload_len:end]
            at = (end + 7) & ~7
