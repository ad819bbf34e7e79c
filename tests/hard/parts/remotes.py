"""Git servers that misbehave, each with a repo of its own, while another repo is pushed to and has to go live all the time."""

import socket
import socketserver
import threading
import time

from .world import Looker, World, pace, wait_for

ADVERTISED = "0123456789012345678901234567890123456789"


def line(text):
    data = text.encode()
    return f"{len(data) + 4:04x}".encode() + data


def head(kind, more=""):
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\n{more}Connection: close\r\n\r\n".encode()


def advertisement(refs=("refs/heads/main",)):
    first = f"{ADVERTISED} HEAD\0multi_ack side-band-64k ofs-delta symref=HEAD:refs/heads/main\n"
    return line("# service=git-upload-pack\n") + b"0000" + line(first) + b"".join(line(f"{ADVERTISED} {ref}\n") for ref in refs) + b"0000"


class Way:
    """What a server does: with the question for its refs, and with the one for a pack."""

    def __init__(self, port):
        self.port = port
        self.stop = threading.Event()

    def answer(self, send, request):
        way = request.split("/")[1].removesuffix(".git")
        if "info/refs" in request:
            getattr(self, f"refs_{way}", self.refs)(send)
        else:
            getattr(self, f"pack_{way}")(send)

    def refs(self, send):
        send(head("advertisement") + advertisement())

    def refs_silent(self, send):
        self.stop.wait()

    def refs_slow(self, send):
        for byte in head("advertisement") + advertisement():
            send(bytes([byte]))
            if self.stop.wait(0.2):
                return

    def refs_cut(self, send):
        send(head("advertisement", "Content-Length: 4096\r\n") + advertisement()[:100])

    def refs_wrong(self, send):
        send(head("advertisement") + b"zzzz" * 1000)

    def refs_long(self, send):
        send(head("advertisement") + b"ffff" + b"x" * 10)

    def refs_html(self, send):
        send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>Please sign in</html>")

    def refs_broken(self, send):
        send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def refs_empty(self, send):
        pass

    def refs_circle(self, send):
        self.redirect(send, f"http://127.0.0.1:{self.port}/circle.git/info/refs?service=git-upload-pack")

    def refs_elsewhere(self, send):
        self.redirect(send, "http://127.0.0.2:8080/web.git/info/refs?service=git-upload-pack")

    def refs_local(self, send):
        self.redirect(send, "file:///etc/passwd")

    def refs_heads(self, send):
        send(b"HTTP/1.1 200 OK\r\n")
        while not self.stop.is_set():
            send(b"X-More: " + b"x" * 8000 + b"\r\n")

    def refs_endless(self, send):
        send(head("advertisement") + line("# service=git-upload-pack\n") + b"0000" + line(f"{ADVERTISED} HEAD\0\n"))
        count = 0
        while not self.stop.is_set():
            send(b"".join(line(f"{ADVERTISED} refs/heads/{count + n}\n") for n in range(1000)))
            count += 1000

    def refs_many(self, send):
        send(head("advertisement") + advertisement(["refs/heads/main", *(f"refs/heads/{'x' * 30}/{n}" for n in range(400_000))]))

    @staticmethod
    def redirect(send, place):
        send(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def pack_pack(self, send):
        """A pack that never ends: one blob of endless noise."""
        send(head("result") + line("NAK\n") + self.band(b"PACK\0\0\0\2\0\0\0\1\xbf\xff\xff\xff\xff\x0f\x78\x01"))
        block = b"\0\0\x80\xff\x7f" + b"x" * 32768
        while not self.stop.is_set():
            send(self.band(block))

    def pack_slowpack(self, send):
        send(head("result") + line("NAK\n"))
        while not self.stop.wait(0.2):
            send(self.band(b"P"))

    def pack_cutpack(self, send):
        send(head("result") + line("NAK\n") + self.band(b"PACK\0\0\0\2\0\0\0\7")[:-3])

    def pack_wrongpack(self, send):
        send(head("result") + line("NAK\n") + self.band(b"PACK\0\0\0\2\0\0\0\1" + bytes(range(256)) * 20))

    def pack_many(self, send):
        """Has the many refs, and no pack."""
        send(head("result") + line("NAK\n"))

    def pack_sorry(self, send):
        """Says that it is sorry, for ever."""
        send(head("result") + line("NAK\n"))
        while not self.stop.is_set():
            data = b"\x02" + b"sorry \x1b[31m\r\n" * 100
            send(f"{len(data) + 4:04x}".encode() + data)

    @staticmethod
    def band(data):
        return b"".join(f"{len(part) + 5:04x}\x01".encode() + part for part in (data[n : n + 60000] for n in range(0, len(data), 60000)))


WAYS = ("silent", "slow", "cut", "wrong", "long", "html", "broken", "empty", "circle", "elsewhere", "local", "heads", "endless", "many",
        "pack", "slowpack", "cutpack", "wrongpack", "sorry")  # fmt: skip


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
    request_queue_size = 128

    def __init__(self, port):
        self.way = Way(port)
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """The client may go at any time."""


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = self.rfile.readline().decode(errors="replace").split(" ")
        while self.rfile.readline().strip():
            pass
        if len(request) > 1:
            self.server.way.answer(self.connection.sendall, request[1])


def part(hard):
    world = World(hard.place, hard.binary, hard.dice("remotes"))
    server = Server(8090)
    world.limits('fetch_idle = "3s"\nfetch_total = "8s"')
    good = world.add("web", f"{world.http_server()}/web.git")
    for way in WAYS:
        world.add(way, f"http://127.0.0.1:8090/{way}.git", repo=False)
    good.push()
    world.start()
    world.deliver("web")
    world.settle()
    looker = Looker(world, [world.targets["web"]])
    failures, lived = [], []
    for _ in range(3 if hard.whole else 1):
        for way in world.dice.sample(WAYS, len(WAYS)):
            if world.deliver(way, commit=ADVERTISED) != 202:
                failures.append(f"{way}: the delivery was not accepted")
        # Real pushes meanwhile, until each of the others has had its answer.
        waiting = set(WAYS)
        end = time.monotonic() + 600
        while waiting and time.monotonic() < end:
            tip, begun = good.push(), time.monotonic()
            world.deliver("web")
            wait_for("the good repo is live", lambda tip=tip: (world.target("web")["live"] or {}).get("commit") == tip)
            lived.append(time.monotonic() - begun)
            rows = {row["target"].split("/")[0]: row for row in world.status()["targets"]}
            waiting = {way for way in waiting if not (rows[way]["last"] or {}).get("outcome")}
        failures += [f"{way}: no end in 10 minutes" for way in waiting]
    for way in WAYS:
        row = world.target(way)
        if row["live"] or not (row["last"] or {}).get("reason"):
            failures.append(f"{way}: {row['state']}, {row['last']}")
    server.way.stop.set()
    looks, torn = looker.stop()
    left = world.left_behind()
    failures += torn + world.not_lost() + world.overlapped() + left
    told = {
        "servers": len(WAYS), "real pushes meanwhile": len(lived), "push to 202": pace(world.latencies), "push to live": pace(lived),
        "looks at `current`": looks, "torn": len(torn), "left behind": len(left), "lost": len(world.not_lost()),
        "overlapped": len(world.overlapped()),
    }  # fmt: skip
    server.shutdown()
    world.close()
    return told, failures
