"""Reads a stream's segment files as daemon/store/seglog_record.h and seglog_block.h describe them, without the program that wrote them."""
import os
import struct

HEAD = struct.Struct("<8sIIQII")
OLD_RECORD = struct.Struct("<4sIQqIHH")
BLOCK = struct.Struct("<4sII")
UNUSED = struct.Struct("<QQII")


def make_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        yield value


TABLE = list(make_table())


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def numbers(data, at):
    """A function that takes the next variable-length number, and one that takes so many bytes."""
    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(length):
        nonlocal at
        at += length
        return data[at - length:at]
    return number, text


def blocks(data):
    at = HEAD.size
    while at + BLOCK.size <= len(data):
        magic, crc, head_len = BLOCK.unpack_from(data, at)
        if magic != b"GHB2" or at + head_len > len(data):
            return
        number, text = numbers(data, at + BLOCK.size)
        first, _, _, count, topic_count = (number() for _ in range(5))
        topics = [text(number()).decode() for _ in range(topic_count)]
        topic, lies = 0, at + head_len
        for i in range(count):
            what = number()
            if what & 1:
                topic, _ = number(), number()
            end = lies + 4 + what // 2
            if end > len(data):
                return
            # A block that was not finished has been made as long as it says, with zeros. Summing up all of them would take too long.
            is_whole = any(data[lies:lies + 4]) and data[end - 1] != 0
            if is_whole or data[lies:lies + 4] == struct.pack("<I", crc32c(struct.pack("<II", crc, i) + data[lies + 4:end])):
                yield first + i, topics[topic], data[lies + 4:end]
            lies = end
        at = (lies + 7) & ~7
        if count > 1:
            at = (at + head_len + 7) & ~7


def old_records(data):
    at = HEAD.size
    while at + OLD_RECORD.size <= len(data):
        magic, _, number, _, payload_len, topic_len, _ = OLD_RECORD.unpack_from(data, at)
        end = at + OLD_RECORD.size + topic_len + payload_len
        if magic != b"GHR1" or end > len(data):
            return
        topic = data[at + OLD_RECORD.size:at + OLD_RECORD.size + topic_len].decode()
        yield number, topic, data[end - payload_len:end]
        at = (end + 7) & ~7


def unused(folder):
    """Ranges of numbers that never were a record's, because the process was killed while it wrote."""
    try:
        with open(os.path.join(folder, "unused"), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    return [range(first, to) for first, to, _, _ in UNUSED.iter_unpack(data[:len(data) // UNUSED.size * UNUSED.size])]


def follows(folder, last, number):
    """Nothing is missing between two numbers but what never was a record's."""
    ranges = unused(folder) if number != last + 1 else []
    return all(any(n in r for r in ranges) for n in range(last + 1, number))


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
        if magic != b"GHSEGLOG" or version not in (1, 2):
            raise AssertionError(f"{name}: begins with {data[:16]!r}")
        yield from (old_records if version == 1 else blocks)(data)
