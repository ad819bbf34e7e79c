"""How large hookd is, and what it costs with more deliveries behind it, with more repos, and under load."""

import contextlib, http.client, os, pathlib, re, shutil, signal, socket, statistics, subprocess, time

from .ground import (LONG, TOP, Daemon, Failed, HOOKD, Server, deliver, empty, free_port, output, push, say, spread, wait)

HISTORY_HEAD = ["deliveries", "start/ms", "one delivery/ms", "per second", "p50/ms", "p99/ms", "status/ms", "history/ms", "memory/MiB"]
REPOS_HEAD = ["repos", "start/ms", "one delivery/ms", "push to live/ms", "status/ms", "memory/MiB"]
IDLE = 8  # seconds after the start: it gives back what only that took
GIVEN_BACK = 10  # until what a flood took shall be given back


class Growth:
    def __init__(self, directory, accept, is_short):
        self.directory, self.accept, self.is_short = directory, accept, is_short
        self.values = {}

    @contextlib.contextmanager
    def own(self, name):
        """A directory that is gone afterwards."""
        place = self.directory / name
        place.mkdir()
        try:
            yield place
        finally:
            empty(place)

    def start(self, daemon):
        """Seconds until the daemon says READY=1."""
        path = daemon.place / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(LONG)
            begun = time.monotonic()
            server = daemon.serve(env={**os.environ, "NOTIFY_SOCKET": str(path)})
            try:
                while b"READY=1" not in notify.recv(4096):
                    pass
                return time.monotonic() - begun
            except TimeoutError:
                raise Failed("hookd did not become ready") from None
            finally:
                server.stop()

    def size(self):
        """Rows of a table: the program, its start, and its memory."""
        yield ["size of the program", f"{os.path.getsize(HOOKD) / 2**20:.1f} MiB"]
        with self.own("size") as place:
            daemon = Daemon(place / "hookd", 10)
            starts = [self.start(daemon) * 1000 for _ in range(3 if self.is_short else 9)]
            yield ["start to READY=1, ten repos", f"{spread(starts)} ms"]
            self.accept.place = daemon.place
            with daemon.serve() as server:
                time.sleep(IDLE)
                idle = self.values["idle"] = server.memory()
                yield ["memory, idle, ten repos", f"{idle:.1f} MiB, of it {server.memory('RssAnon'):.1f} MiB of its own"]
                yield ["memory of the git worker that waits", f"{sum(map(private, children(server.process.pid))):.1f} MiB of its own"]
                count, end = 0, 20_000 if self.is_short else 100_000
                while count < end:
                    rate, *_ = self.accept.wrk(server, "/hook/site0", 64, 10240)
                    count += int(rate * self.accept.seconds)
                yield [f"memory, peak, {count:,} signed deliveries of 10 KiB", f"{server.memory('VmHWM'):.1f} MiB"]
                time.sleep(GIVEN_BACK)
                after = self.values["after"] = server.memory()
                yield ["memory, ten seconds later", f"{after:.1f} MiB, of it {server.memory('RssAnon'):.1f} MiB of its own"]

    def history(self, counts):
        """Rows by deliveries in the store, with a tenth as many deployments, of a hundred repos."""
        for count in counts:
            say(f"growth: {count:,} deliveries in the store")
            with self.own("history") as place:
                daemon = Daemon(place / "hookd", extra=["history_count = 10000000"])
                with daemon.serve():
                    pass
                output(str(TOP / "tests/bench/history"), str(daemon.place), str(count), str(max(count // 10, 1)), "100")
                os.sync()  # what was made is not hookd's to bring to the disk
                starts = [self.start(daemon) * 1000 for _ in range(3)]
                self.accept.place = daemon.place
                with daemon.serve() as server:
                    one = self.singles(server)
                    rate, p50, p99, _ = self.accept.wrk(server, "/hook/site0", 64, 10240)
                    told = [[daemon.ask(command) * 1000 for _ in range(3 if self.is_short else 9)] for command in ["status", "history"]]
                    status, shown = map(statistics.median, told)
                    start = statistics.median(starts)
                    self.values["history", count] = {"start": start, "one delivery": one, "hookd status": status, "hookd history": shown, "rate": rate, "p99": p99}
                    yield [f"{count:,}", f"{start:.0f}", f"{one:.1f}", f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}",
                           f"{status:.0f}", f"{shown:.0f}", f"{server.memory():.1f}"]

    def singles(self, server):
        """Milliseconds of one delivery, the next after its answer."""
        took = []
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG)) as connection:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(50):
                # Not for the branch that is deployed: what a deployment does meanwhile is none of it.
                body = push("site0", 10240, git_ref="refs/heads/topic")
                begun = time.monotonic()
                deliver(connection, "site0", body)
                took.append((time.monotonic() - begun) * 1000)
        return statistics.median(took)

    def repos(self, counts):
        """Rows by repos in the configuration."""
        for count in counts:
            say(f"growth: {count:,} repos")
            with self.own("repos") as place:
                daemon = Daemon(place / "hookd", count)
                starts = [self.start(daemon) * 1000 for _ in range(3)]
                with daemon.serve() as server:
                    one = self.singles(server)
                    live = []
                    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG)) as connection:
                        for number in range(min(count, 10)):
                            begun = time.monotonic()
                            deliver(connection, f"site{number}", push(f"site{number}", 10240, daemon.commit))
                            wait("a first deployment", daemon.current(number).exists)
                            live.append((time.monotonic() - begun) * 1000)
                    status = statistics.median(daemon.ask("status") * 1000 for _ in range(3))
                    start = statistics.median(starts)
                    self.values["repos", count] = {"start": start, "one delivery": one, "push to live": statistics.median(live), "hookd status": status}
                    yield [f"{count:,}", f"{start:.0f}", f"{one:.1f}", f"{statistics.median(live):.0f}", f"{status:.0f}", f"{server.memory():.1f}"]

    def many(self):
        """Rows of a table: many repositories pushed within a second."""
        count = 50 if self.is_short else 200
        with self.own("many") as place:
            daemon = Daemon(place / "hookd", count)
            with daemon.serve() as server:
                begun = time.monotonic()
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG)) as connection:
                    for number in range(count):
                        deliver(connection, f"site{number}", push(f"site{number}", 10240, daemon.commit))
                told = time.monotonic() - begun
                wait("all sites are live", lambda: all(daemon.current(number).exists() for number in range(count)))
                took = time.monotonic() - begun
                yield [f"{count} repos pushed, all answered", f"{told:.2f} s"]
                yield [f"{count} repos pushed, all live", f"{took:.2f} s"]
                yield ["processor time of the daemon and its workers", f"{server.processor():.2f} s"]
                yield ["peak memory of the daemon", f"{server.memory('VmHWM'):.1f} MiB"]

    def flips(self):
        """Rows of a table: requests to nginx while the site that it serves is deployed again and again."""
        count = 50 if self.is_short else 1000
        with self.own("flips") as place, nginx(place) as port:
            site = place / "site"
            load = subprocess.Popen(["wrk", "-t1", "-c16", "-d600s", f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
            try:
                begun = time.monotonic()
                for number in range(count):
                    flip(site, number % 2)
                took = time.monotonic() - begun
                load.send_signal(signal.SIGINT)
                text = load.communicate()[0]
            finally:
                load.kill()
        requests = int(re.search(r"(\d+) requests in", text)[1])
        bad = re.findall(r"Non-2xx or 3xx responses: (\d+)", text) + re.findall(r"(?:connect|read|write|timeout) (\d+)", text)
        self.values["flips"] = sum(map(int, bad))
        yield [f"{count:,} renames of `current` under load: requests", f"{requests:,}"]
        yield ["of them failed", f"{self.values['flips']}"]
        yield ["one rename, with both syncs", f"{took / count * 1000:.1f} ms"]


@contextlib.contextmanager
def nginx(place):
    """A web server for the site there."""
    site, port = place / "site", free_port()
    for number in range(2):
        (site / f"releases/{number}").mkdir(parents=True)
        (site / f"releases/{number}/index.html").write_text("x" * 10_000)
    (site / "current").symlink_to("releases/0")
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"{kind}_temp_path {place}/{kind}; " for kind in ["client_body", "fastcgi", "proxy", "uwsgi", "scgi"])
    (place / "nginx.conf").write_text(
        f"daemon off; pid {place}/pid; error_log {place}/error.log; {user} worker_processes 1; events {{}} http {{ access_log off;"
        f" {temporary} server {{ listen 127.0.0.1:{port}; root {site}/current; }} }}\n"
    )
    with Server(shutil.which("nginx"), "-p", place, "-c", place / "nginx.conf", port=port):
        yield port


def flip(site, number):
    """As hookd does it: a link beside the one in force, and one rename."""
    (site / "next").symlink_to(f"releases/{number}")
    descriptor = os.open(site, os.O_RDONLY)
    os.fsync(descriptor)
    os.rename(site / "next", site / "current")
    os.fsync(descriptor)
    os.close(descriptor)


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def private(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.M)) / 1024
