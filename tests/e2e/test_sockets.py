#!/usr/bin/python3
"""What the service manager and the daemon do for each other: listening sockets that are passed as systemd passes them, taken
over by name or by address, and what the daemon says about itself.

    tests/e2e/test_sockets.py BUILD

The daemon is started by this script itself in another role (--activate), which opens sockets, puts them where systemd
puts them, and becomes the daemon.
"""
import os
import signal
import socket
import sys
import tempfile

import gateway
from gateway import check

FIRST = 3


def activate(sockets, command):
    """sockets: NAME=HOST:PORT or NAME=PATH with commas between them."""
    fds = []
    for entry in sockets.split(","):
        name, where = entry.split("=")
        if where.startswith("/"):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(where)
        else:
            host, port = where.rsplit(":", 1)
            listening = socket.create_server((host, int(port)))
        listening.listen()
        fds.append((name, os.dup2(listening.fileno(), 100 + len(fds))))  # away from where they will go
    for i, (_, fd) in enumerate(fds):
        os.dup2(fd, FIRST + i, inheritable=True)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(fds))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in fds)
    os.execv(command[0], command)


def starter(sockets):
    return [sys.executable, "-B", os.path.abspath(__file__), "--activate", sockets]


def talk(where):
    with gateway.raw.Client(where, "somebody") as client:
        client.subscribe("t")
        client.send(gateway.raw.publish("t", b"hello"))
        check(client.message().payload == b"hello", "a message goes round")


def by_name(suite):
    port = gateway.free_port()
    with gateway.Gateway(suite.build, prefix=starter(f"other=127.0.0.1:0,mqtt=127.0.0.1:{port}"),
                         listen=("mqtt://127.0.0.1:0?access=open&fd=mqtt",)) as gw:
        check(gw.port() == port, "the listener has the socket of that name")
        talk(port)
        gateway.wait_for(lambda: gw.logged("1 sockets from the service manager are closed"), "the other one is closed, and the log says so")
        check(gw.stop() == 0, "it ends in order")


def by_address(suite):
    port = gateway.free_port()
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder:
        path = os.path.join(folder, "mqtt.sock")
        with gateway.Gateway(suite.build, prefix=starter(f"a=127.0.0.1:{port},b={path}"),
                             listen=(f"mqtt://127.0.0.1:{port}?access=open", f"unix://{path}?access=open")) as gw:
            talk(port)
            talk(path)
            check(not gw.logged("from the service manager are closed"), "both are wanted")
            check(gw.stop() == 0, "it ends in order")
        check(os.path.exists(path), "a socket's file that somebody else has made is his to remove")


def refused(suite, sockets, uri, pattern):
    gw = gateway.Gateway(suite.build, prefix=starter(sockets), listen=(uri,))
    try:
        gw.launch()
        check(gw.wait() == 1, "it does not start")
        gateway.wait_for(lambda: gw.logged(pattern), f"the log says {pattern}: {gw.log}")
    finally:
        gw.end()


def wrong_name(suite):
    refused(suite, "mqtt=127.0.0.1:0", "mqtt://127.0.0.1:0?access=open&fd=nodes",
            'expected a socket named "nodes" from the service manager')


def wrong_address(suite):
    """access=open is judged by the URI: a socket that everybody reaches must not come in by a loopback URI."""
    refused(suite, "mqtt=0.0.0.0:0", "mqtt://127.0.0.1:0?access=open&fd=mqtt", "listens elsewhere")


def of_somebody_else(suite):
    port = gateway.free_port()
    with gateway.Gateway(suite.build, prefix=[*starter(f"mqtt=127.0.0.1:{port}"), "/usr/bin/env", "LISTEN_PID=1"],
                         listen=("mqtt://127.0.0.1:0?access=open",)) as gw:
        check(gw.port() != port, "sockets for another process are left alone")
        talk(gw.port())


def told(suite, abstract):
    """READY, RELOADING, STOPPING, and the watchdog's bark, on the socket that is named for it."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-e2e-") as folder, socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = f"@gatehouse-e2e-{os.getpid()}" if abstract else os.path.join(folder, "notify")
        manager.bind(path.replace("@", "\0", 1))
        manager.settimeout(gateway.raw.LONG)

        def hear(expected):
            while True:
                said = manager.recv(100).decode()
                if said == expected:
                    return
                check(said == "WATCHDOG=1", f"expected {expected}, heard {said}")

        with gateway.Gateway(suite.build, prefix=("/usr/bin/env", f"NOTIFY_SOCKET={path}", "WATCHDOG_USEC=300000")) as gw:
            hear("READY=1")
            hear("WATCHDOG=1")
            gw.process.send_signal(signal.SIGHUP)
            hear("RELOADING=1")
            hear("READY=1")
            check(gw.stop() == 0, "it ends in order")
            hear("STOPPING=1")


def main():
    if sys.argv[1] == "--activate":
        activate(sys.argv[2], sys.argv[3:])
    suite = gateway.Suite(sys.argv[1])
    suite.run("a listener takes over the socket with its name", by_name, suite)
    suite.run("a listener takes over the socket at its address", by_address, suite)
    suite.run("a name that was not passed is an error", wrong_name, suite)
    suite.run("a socket that listens elsewhere than the URI says is an error", wrong_address, suite)
    suite.run("sockets for another process are left alone", of_somebody_else, suite)
    suite.run("the service manager is told what goes on", told, suite, False)
    suite.run("the service manager is told what goes on, at an abstract address", told, suite, True)
    return suite.end()


if __name__ == "__main__":
    gateway.run(main)
