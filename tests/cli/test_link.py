#!/usr/bin/python3
"""The command line against a daemon that behaves as no daemon should: one that refuses, lies, or goes away.

    tests/cli/test_link.py BUILD

The daemon is a script here: a Unix socket, and what it says to each packet.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import gateway  # noqa: E402
import raw  # noqa: E402
from gateway import check  # noqa: E402



class Heard:
    """A PUBLISH from the command line, with the two properties it may have."""

    def __init__(self, packet):
        body = packet.body
        size = body[0] << 8 | body[1]
        self.topic = body[2:2 + size].decode()
        self.qos = packet.flags >> 1 & 3
        self.retain = packet.flags & 1 == 1
        at = 2 + size
        self.id = body[at:at + 2] if self.qos else b""
        at += 2 if self.qos else 0
        length, at = raw.read_length(body, at)
        properties = body[at:at + length]
        self.payload = body[at + length:]
        self.response_topic = None
        if properties[:1] == b"\x08":
            self.response_topic = properties[3:3 + (properties[1] << 8 | properties[2])].decode()


class Daemon:
    """Serves one connection after another. What it does is overridden: each method returns bytes, or None to hang up."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(os.path.join(self.folder.name, "control.sock"))
        self.door.listen()
        self.heard = []
        self.subscribed = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.door.close()
        self.folder.cleanup()

    def serve(self):
        while True:
            try:
                connection, _ = self.door.accept()
            except OSError:
                return
            try:
                self.talk(connection)
            except OSError:
                pass
            finally:
                connection.close()

    def talk(self, connection):
        reader = raw.Reader(5)
        while True:
            data = connection.recv(65536)
            if not data:
                return
            for packet in reader.feed(data):
                answer = self.answer(packet)
                if answer is None:
                    return
                connection.sendall(answer)
                if packet.kind == raw.SUBSCRIBE:
                    self.subscribed.set()

    def answer(self, packet):
        if packet.kind == raw.CONNECT:
            return self.on_connect()
        if packet.kind == raw.SUBSCRIBE:
            return self.on_subscribe(packet)
        if packet.kind == raw.PUBLISH:
            heard = Heard(packet)
            self.heard.append(heard)
            return self.on_publish(heard)
        return b""

    def on_connect(self):
        return raw.packet(raw.CONNACK, 0, b"\0\0\0")

    def on_subscribe(self, packet):
        count, at = 0, 3
        while at < len(packet.body):
            at += 3 + (packet.body[at] << 8 | packet.body[at + 1])
            count += 1
        return raw.packet(raw.SUBACK, 0, packet.body[:2] + b"\0" + self.codes(count))

    def codes(self, count):
        return b"\1" * count

    def on_publish(self, heard):
        return self.acknowledge(heard) + self.reply(heard)

    def acknowledge(self, heard, reason=0):
        return raw.packet(raw.PUBACK, 0, heard.id + bytes([reason])) if heard.qos else b""

    def reply(self, heard):
        return b""

    def command(self, suite, *words, **options):
        program = os.path.join(suite.build, "daemon", "cli", "gatehouse")
        return subprocess.Popen([program, "--runtime", self.folder.name, *words], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def run(self, suite, *words, status=0, stdin=b""):
        process = self.command(suite, *words, stdin=subprocess.PIPE)
        out, err = (text.decode() for text in process.communicate(stdin, timeout=60))
        check(process.returncode == status, f"gatehouse {' '.join(words)}: status {process.returncode}: {err}")
        return out, err


def message(topic, payload, qos=0, retain=False, packet_id=7):
    return raw.publish(topic, payload, qos, packet_id, version=5, retain=retain)


def a_refused_connection_is_status_3(suite):
    class Refusing(Daemon):
        def on_connect(self):
            return raw.packet(raw.CONNACK, 0, b"\0\x87\0")

    with Refusing() as daemon:
        check("not authorized" in daemon.run(suite, "status", status=3)[1].lower(), "the reason is told")


def a_daemon_that_hangs_up_is_status_3(suite):
    class AtOnce(Daemon):
        def on_connect(self):
            return None

    class Later(Daemon):
        def on_publish(self, heard):
            return None

    with AtOnce() as daemon:
        check("closed the connection" in daemon.run(suite, "status", status=3)[1], "at once")
    with Later() as daemon:
        daemon.run(suite, "pub", "a", "1", status=3)
        daemon.run(suite, "stream", "list", status=3)


def rubbish_is_status_3(suite):
    class Rubbish(Daemon):
        def on_connect(self):
            return b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10

    with Rubbish() as daemon:
        daemon.run(suite, "status", status=3)


def a_goodbye_ends_sub_with_status_3(suite):
    class Ending(Daemon):
        def on_subscribe(self, packet):
            return super().on_subscribe(packet) + message("a", b"1") + raw.packet(raw.DISCONNECT, 0, b"\x8b\0")

    with Ending() as daemon:
        out, err = daemon.run(suite, "sub", "a", status=3)
        check(out == "a 1\n", "what came before is shown")
        check("shutting down" in err.lower(), f"the reason is told: {err}")


def a_refused_subscription_is_status_1(suite):
    class Refusing(Daemon):
        def codes(self, count):
            return b"\1" * (count - 1) + b"\x87"

    with Refusing() as daemon:
        check("not authorized" in daemon.run(suite, "sub", "a", "b", status=1)[1].lower(), "the reason is told")
        daemon.run(suite, "status", status=1)


def a_refused_message_is_status_1(suite):
    class Full(Daemon):
        def on_publish(self, heard):
            return self.acknowledge(heard, 0x97 if heard.payload == b"2" else 0)

    with Full() as daemon:
        check("quota" in daemon.run(suite, "pub", "a", "2", status=1)[1].lower(), "the reason is told")
        daemon.run(suite, "pub", "a", "1")
        daemon.heard.clear()
        daemon.run(suite, "pub", "a", "-l", status=1, stdin=b"1\n2\n3\n")
        check([h.payload for h in daemon.heard] == [b"1", b"2", b"3"], "the lines behind it are sent, too")


def an_answer_that_is_not_json_is_status_1(suite):
    class Lying(Daemon):
        def reply(self, heard):
            return message(heard.response_topic, b"\x1b[2Jnot json", qos=1)

    with Lying() as daemon:
        _, err = daemon.run(suite, "stream", "list", status=1)
        check("expected JSON" in err and "\x1b" not in err, f"it is told and not obeyed: {err!r}")


def a_request_nobody_serves_is_status_1(suite):
    class Deaf(Daemon):
        def on_publish(self, heard):
            return self.acknowledge(heard, 0x10)

    with Deaf() as daemon:
        check("nobody answers on $gatehouse/ctl/stream/list" in daemon.run(suite, "stream", "list", status=1)[1], "told")


def an_answer_may_come_before_the_acknowledgement(suite):
    class Hasty(Daemon):
        def on_publish(self, heard):
            return message(heard.response_topic, b'{"streams":[]}', qos=1) + self.acknowledge(heard)

    with Hasty() as daemon:
        check(daemon.run(suite, "stream", "list", "--json")[0] == '{"streams":[]}\n', "and counts")


def an_answer_for_somebody_else_is_not_ours(suite):
    class Crowded(Daemon):
        def reply(self, heard):
            token = json.loads(heard.payload)["clientToken"]
            wrong = [b"{}", b"not json", b'{"clientToken":7}', b'{"clientToken":"' + token.encode() + b'x"}']
            right = json.dumps({"state": {"reported": {"n": 1}}, "version": 3, "clientToken": token}).encode()
            return b"".join(message(heard.topic + end, text) for text in wrong for end in ("/accepted", "/rejected")) + \
                message("$aws/things/other/shadow/get/accepted", right) + message(heard.topic + "/accepted", right)

    with Crowded() as daemon:
        out, _ = daemon.run(suite, "shadow", "get", "t", "--json")
        check(json.loads(out) == {"state": {"reported": {"n": 1}}, "version": 3}, f"ours, without our token: {out}")


def requests_are_what_the_topics_say(suite):
    class Answering(Daemon):
        def reply(self, heard):
            if heard.response_topic:
                return message(heard.response_topic, b'{"name":"n","state":"down"}', qos=1)
            token = json.loads(heard.payload)["clientToken"]
            return message(heard.topic + "/accepted", json.dumps({"version": 1, "clientToken": token}).encode())

    with Answering() as daemon:
        for words, topic, payload in (
                (("stream", "list"), "$gatehouse/ctl/stream/list", {}),
                (("plugin", "list"), "$gatehouse/ctl/plugin/list", {}),
                (("uplink", "list"), "$gatehouse/ctl/uplink/list", {}),
                (("plugin", "restart", 'q"x'), "$gatehouse/ctl/plugin/restart", {"name": 'q"x'}),
                (("uplink", "cut", "c"), "$gatehouse/ctl/uplink/cut", {"name": "c"}),
                (("uplink", "restore", "c"), "$gatehouse/ctl/uplink/restore", {"name": "c"}),
                (("shadow", "get", "t"), "$aws/things/t/shadow/get", {}),
                (("shadow", "delete", "t", "--name", "n"), "$aws/things/t/shadow/name/n/delete", {}),
                (("shadow", "update", "t", '{"state":null,"version":2}'), "$aws/things/t/shadow/update",
                 {"state": None, "version": 2}),
                (("shadow", "update", "t", '{"desired":{"a":1},"reported":null}'), "$aws/things/t/shadow/update",
                 {"state": {"desired": {"a": 1}, "reported": None}}),
                (("shadow", "update", "t", '{"clientToken":"mine","x":1}'), "$aws/things/t/shadow/update", {"x": 1})):
            daemon.heard.clear()
            daemon.run(suite, *words)
            check(len(daemon.heard) == 1 and daemon.heard[0].topic == topic, f"{words} asks on {topic}")
            asked = json.loads(daemon.heard[0].payload)
            if topic.startswith("$aws/"):
                check(asked.pop("clientToken").startswith("gatehouse-"), "with a token of its own")
            check(asked == payload, f"{words}: {asked}")


def lines_are_published_as_they_come(suite):
    with Daemon() as daemon:
        process = daemon.command(suite, "pub", "-l", "-q", "1", "a", stdin=subprocess.PIPE)
        process.stdin.write(b"one\ntwo\n\nthr")
        process.stdin.flush()
        gateway.wait_for(lambda: len(daemon.heard) == 2, "whole lines are published while the input is open")
        process.stdin.write(b"ee\n" + b"x" * 100000 + b"\nend")
        _, err = process.communicate(timeout=60)
        check(process.returncode == 0, err.decode())
        check([h.payload for h in daemon.heard] == [b"one", b"two", b"three", b"x" * 100000, b"end"],
              "and all of them in order")


def all_of_the_input_is_one_message(suite):
    data = bytes(range(256)) * 1000
    with Daemon() as daemon:
        daemon.run(suite, "pub", "-s", "--retain", "a", stdin=data)
        daemon.run(suite, "pub", "-s", "--retain", "a")
        check([(h.payload, h.retain) for h in daemon.heard] == [(data, True), (b"", True)], "byte by byte, and empty, too")
        check("too long" in daemon.run(suite, "pub", "-s", "a", status=1, stdin=b"x" * (6 << 20))[1], "or it is too long")


def an_acknowledgement_is_awaited_and_no_more_than_16_are_open(suite):
    class Slow(Daemon):
        """Acknowledges nothing until the window must be full."""
        waiting = b""

        def on_publish(self, heard):
            self.waiting += self.acknowledge(heard)
            if len(self.heard) < 16 or 16 < len(self.heard) < 20:
                return b""
            given, self.waiting = self.waiting, b""
            return given

    with Slow() as daemon:
        out, _ = daemon.run(suite, "pub", "-l", "--json", "a", stdin=b"".join(b"%d\n" % i for i in range(20)))
        check(out == '{"published":20}\n' and len(daemon.heard) == 20, "all are acknowledged at last")


def a_signal_ends_sub_with_status_0(suite):
    class Talking(Daemon):
        def on_subscribe(self, packet):
            return super().on_subscribe(packet) + message("a", b"1")

    for number in (signal.SIGINT, signal.SIGTERM):
        with Talking() as daemon:
            process = daemon.command(suite, "sub", "a", "--count", "2", "--timeout", "1000")
            check(process.stdout.readline() == b"a 1\n", "a line is there at once")
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            check(process.returncode == 0 and not err, f"status {process.returncode}: {err.decode()}")


def a_message_is_a_line(suite):
    class Talking(Daemon):
        def on_subscribe(self, packet):
            return super().on_subscribe(packet) + message("t/\u00fc", b"two\nlines \xc3\xbc", retain=True) + \
                message("b", b"\xff\0", qos=1) + message("e", b"") + message("never", b"behind the count")

    with Talking() as daemon:
        out, _ = daemon.run(suite, "sub", "-n", "3", "#")
        check(out == "t/\u00fc two\\x0alines \u00fc\nb \\xff\\x00\ne \n", f"as text: {out!r}")
        out, _ = daemon.run(suite, "sub", "-n", "3", "#", "--json")
        check([json.loads(line) for line in out.splitlines()] == [
            {"topic": "t/\u00fc", "payload": "two\nlines \u00fc", "qos": 0, "retain": True},
            {"topic": "b", "base64": "/wA=", "qos": 1, "retain": False},
            {"topic": "e", "payload": "", "qos": 0, "retain": False}], f"as JSON: {out}")


def a_message_too_long_is_left_out_and_told(suite):
    class Talking(Daemon):
        def on_subscribe(self, packet):
            return super().on_subscribe(packet) + message("a", b"x" * (3 << 20), qos=1) + message("b", b"2")

    with Talking() as daemon:
        out, err = daemon.run(suite, "sub", "-n", "1", "#")
        check(out == "b 2\n" and "left out" in err, f"{out[:80]} {err}")


def what_was_retained_ends_with_our_own_mark(suite):
    class Retaining(Daemon):
        def on_publish(self, heard):
            return self.acknowledge(heard) + message("late", b"3", retain=True) + message(heard.topic, heard.payload) + \
                message("never", b"4", retain=True)

        def on_subscribe(self, packet):
            return super().on_subscribe(packet) + message("a", b"1", retain=True) + message("b", b"2")

    with Retaining() as daemon:
        out, _ = daemon.run(suite, "sub", "--retained-only", "#")
        check(out == "a 1\nlate 3\n", f"only what is retained, and all of it: {out}")


def a_limit_of_time_ends_sub(suite):
    with Daemon() as daemon:
        daemon.run(suite, "sub", "--timeout", "1", "a")
        check("0 of 1" in daemon.run(suite, "sub", "--timeout", "1", "--count", "1", "a", status=1)[1], "what is missing is told")


def a_pipe_that_is_full_is_status_1(suite):
    class Talking(Daemon):
        def on_subscribe(self, packet):
            return super().on_subscribe(packet) + message("a", b"1")

    with Talking() as daemon, open("/dev/full", "wb") as full:
        program = os.path.join(suite.build, "daemon", "cli", "gatehouse")
        done = subprocess.run([program, "--runtime", daemon.folder.name, "sub", "a"], stdout=full, stderr=subprocess.PIPE,
                              timeout=60, check=False)
        check(done.returncode == 1, f"it ends: {done.stderr}")


TESTS = (a_refused_connection_is_status_3, a_daemon_that_hangs_up_is_status_3, rubbish_is_status_3,
         a_goodbye_ends_sub_with_status_3, a_refused_subscription_is_status_1, a_refused_message_is_status_1,
         an_answer_that_is_not_json_is_status_1, a_request_nobody_serves_is_status_1,
         an_answer_may_come_before_the_acknowledgement, an_answer_for_somebody_else_is_not_ours,
         requests_are_what_the_topics_say, lines_are_published_as_they_come, all_of_the_input_is_one_message,
         an_acknowledgement_is_awaited_and_no_more_than_16_are_open, a_signal_ends_sub_with_status_0, a_message_is_a_line,
         a_message_too_long_is_left_out_and_told, what_was_retained_ends_with_our_own_mark, a_limit_of_time_ends_sub,
         a_pipe_that_is_full_is_status_1)


def main():
    suite = gateway.Suite(sys.argv[1])
    for test in TESTS:
        suite.run(test.__name__.replace("_", " "), test, suite)
    return suite.end()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main())
