"""An HTTP server that does as a test says, and counts: what uplinks post to.

    server = web.Server()
    server.plan.extend([web.status(503), web.reset])       the next two requests
    server.usual = web.take                                all others
    server.taken                                           records, in order
"""
import collections
import gzip
import http.server
import json
import socket
import threading

import gateway
from gateway import check


class Server(http.server.ThreadingHTTPServer):
    """Takes posts. `plan`: what to do with the next requests, one function each; then `usual`."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port=0, tls=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.port = self.server_address[1]
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.lock = threading.Lock()
        self.plan = collections.deque()
        self.usual = take
        self.taken = []  # records that were taken, in order
        self.posts = []  # every request: (path, headers, records)
        self.running = self.most_running = self.connections = 0
        self.release = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # resets are what some tests are about

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def end(self):
        self.release.set()
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet, or the client's delayed acknowledgement holds up every answer

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def records_of(self, body):
        kind = self.headers.get("Content-Type", "")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if kind == "application/json":
            return json.loads(body)
        if kind == "application/x-ndjson":
            check(not body or body.endswith(b"\n"), "every line of a body has its end")
            return [json.loads(line) for line in body.splitlines()]
        return [{"payload": body.decode(), "topic": self.headers.get("Gatehouse-Topic"),
                 "seq": self.headers.get("Gatehouse-Seq")}]

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        records = self.records_of(body)
        server = self.server
        with server.lock:
            server.posts.append((self.path, self.headers, records))
            server.running += 1
            server.most_running = max(server.most_running, server.running)
            action = server.plan.popleft() if server.plan else server.usual
        try:
            action(self, records)
        finally:
            with server.lock:
                server.running -= 1

    do_PUT = do_POST

    def answer(self, status, text="", **headers):
        data = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def keep(self, records):
        with self.server.lock:
            self.server.taken += records


# ---- what a server may do ------------------------------------------------------------------------------------------


def take(handler, records):
    handler.keep(records)
    handler.answer(200, "thanks")


def status(number, text="", **headers):
    return lambda handler, records: handler.answer(number, text, **headers)


def reset(handler, _records):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


def hang(handler, _records):
    handler.server.release.wait(gateway.LONG)
    handler.close_connection = True


def half(handler, _records):
    """Half an answer, and the connection is gone."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nso f")
    handler.close_connection = True


def take_and_vanish(handler, records):
    """The answer never comes: the records will come again."""
    handler.keep(records)
    handler.close_connection = True


def refuse_large(handler, records):
    if len(records) > 5:
        handler.answer(413, "too large")
    else:
        take(handler, records)


def refuse_bad(handler, records):
    if any("bad" in record["payload"] for record in records):
        handler.answer(422, "there is a bad one")
    else:
        take(handler, records)


def each(verdict):
    def action(handler, records):
        results = [verdict(record) for record in records]
        handler.keep([record for record, result in zip(records, results) if result < 300])
        handler.answer(207, json.dumps({"results": [{"status": result} for result in results]}),
                       Content_Type="application/json")
    return action
