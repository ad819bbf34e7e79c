"""Accepting deliveries: hookd beside other receivers, and beside stores of the same bytes."""

import functools, json, os, re, shutil, statistics, subprocess, time

from .ground import (HERE, SECRET, Daemon, Failed, Server, empty, free_port, middle, output, push, say, sign, spread, wait)

HEAD = ["connections", "body", "what", "per second", "p50/ms", "p99/ms", "failed", "hookd is"]
REDIS_BYTES = 512 << 20  # most that a round stores: it is all in memory, too
POSTGRES_CONNECTIONS = 1100
STORES = ["Redis, appendfsync always", "PostgreSQL, synchronous_commit"]
LIMITS = ["limit: fdatasync of a growing file", "limit: fdatasync of a file in place"]


class Accept:
    def __init__(self, directory, found, rounds, seconds):
        self.place, self.found, self.rounds, self.seconds = directory / "accept", found, rounds, seconds
        self.rates, self.postgres_data = {}, None
        self.contenders = {"hookd": self.hookd, "hookd, deliveries it ignores": functools.partial(self.hookd, git_ref="refs/heads/topic")}
        peers = {
            "eatmydata": {"hookd without syncs": functools.partial(self.hookd, under=["eatmydata"])},
            "webhook": {"webhook": self.webhook}, "webhookd": {"webhookd": self.webhookd}, "flask": {"Flask, gunicorn": self.flask},
            "redis-server": {STORES[0]: self.redis}, "postgres": {STORES[1]: self.postgres},
        }
        for program, contender in peers.items():
            self.contenders |= contender if found[program] else {}
        self.alone = {LIMITS[0]: functools.partial(self.synced, True), LIMITS[1]: functools.partial(self.synced, False)}

    def rows(self, cells):
        """The table; what is measured stays in `rates` by cell and contender: rate, median and 99th percentile in ms."""
        for connections, kib in cells:
            here = self.contenders | (self.alone if connections == 1 else {})
            done, failed = {what: [] for what in here}, {}
            for turn in range(self.rounds):
                say(f"accept: {connections} connections, {kib} KiB, round {turn + 1} of {self.rounds}")
                # Each begins in turn: what the disk still does for the one before meets all.
                order = list(here)
                for what in order[turn % len(order):] + order[:turn % len(order)]:
                    if what not in failed:
                        try:
                            done[what].append(self.fresh(here[what], connections, kib * 1024))
                        except Failed as error:
                            say(f"accept: {what}: {error}")
                            failed[what] = str(error)
            base = statistics.median([rate for rate, *_ in done["hookd"]] or [float("nan")])
            for what in here:
                head = [connections, f"{kib} KiB", what]
                if what in failed:
                    yield [*head, f"failed: {failed[what]}", "", "", "", ""]
                    continue
                rates, p50, p99, errors = zip(*done[what])
                rate = statistics.median(rates)
                self.rates[connections, kib, what] = (rate, statistics.median(p50), statistics.median(p99))
                ratio = f"{base / rate:.2f} ×" if rate and base == base else ""
                yield [*head, spread(rates), middle(p50), middle(p99), f"{sum(errors):.0f}", ratio]

    def fresh(self, contender, connections, size):
        """A contender in a directory of its own, which is gone afterwards."""
        self.place.mkdir()
        try:
            os.sync()
            return contender(connections, size)
        finally:
            empty(self.place)

    def wrk(self, server, path, connections, size, git_ref="refs/heads/main"):
        """Deliveries a second, median and 99th percentile in ms, failed."""
        body = self.place / "body"
        body.write_bytes(push("site0", size, git_ref=git_ref))
        environment = {**os.environ, "BENCH_BODY": str(body), "BENCH_SIGNATURE": sign(body.read_bytes()), "BENCH_RUN": str(time.monotonic_ns())}
        threads = "1" if connections < 64 else "2"
        url = f"http://127.0.0.1:{server.port}{path}"
        load = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{self.seconds}s", "--timeout", "10s", "-s", str(HERE / "accept.lua"), url]
        line = next(line for line in output(*load, env=environment).splitlines() if line.startswith("RESULT"))
        return tuple(map(float, line.split()[1:]))

    def hookd(self, connections, size, under=(), git_ref="refs/heads/main"):
        with Daemon(self.place / "hookd").serve(*under) as server:
            return self.wrk(server, "/hook/site0", connections, size, git_ref)

    def webhook(self, connections, size):
        port, path = free_port(), self.place / "hooks.json"
        rule = {"type": "payload-hmac-sha256", "secret": SECRET.decode(), "parameter": {"source": "header", "name": "X-Hub-Signature-256"}}
        path.write_text(json.dumps([{"id": "site0", "execute-command": "/bin/true", "trigger-rule": {"match": rule}}]))
        with Server("webhook", "-hooks", path, "-ip", "127.0.0.1", "-port", port, port=port) as server:
            return self.wrk(server, "/hooks/site0", connections, size)

    def webhookd(self, connections, size):
        port, script = free_port(), self.place / "site0.sh"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        with Server("webhookd", "-listen-addr", f"127.0.0.1:{port}", "-hook-scripts", self.place, port=port) as server:
            return self.wrk(server, "/site0", connections, size)

    def flask(self, connections, size):
        port = free_port()
        command = [self.found["flask"] / "bin/gunicorn", "--workers", "4", "--threads", "4", "--preload", "--bind", f"127.0.0.1:{port}", "receiver:app"]
        with Server(*command, port=port, cwd=HERE / "peers", env={**os.environ, "SECRET": SECRET.decode()}) as server:
            return self.wrk(server, "/hooks/site0", connections, size)

    def redis(self, connections, size):
        port = free_port()
        options = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--save", "", "--dir", self.place]
        with Server("redis-server", "--port", port, "--bind", "127.0.0.1", *options, port=port) as server:
            # It counts requests, not seconds: a short go tells how many these are.
            rate, *_ = self.redis_load(server, connections, size, max(200, connections))
            count = max(connections, min(int(rate * self.seconds), REDIS_BYTES // size))
            return self.redis_load(server, connections, size, count)

    def redis_load(self, server, connections, size, count):
        load = ["redis-benchmark", "-p", server.port, "-c", connections, "-n", count, "-d", size, "-r", 1_000_000_000, "-t", "set", "--csv"]
        row = output(*map(str, load)).splitlines()[-1].replace('"', "").split(",")
        return float(row[1]), float(row[4]), float(row[6]), 0.0

    def postgres(self, connections, size):
        port, bin_, as_user = free_port(), self.found["postgres"], []
        if os.geteuid() == 0:
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data = self.place / "data"
        shutil.copytree(self.postgres_cluster(as_user), data, symlinks=True)
        if as_user:
            output("chown", "-R", "postgres:postgres", str(data))
        options = ["synchronous_commit=on", f"max_connections={POSTGRES_CONNECTIONS}", f"unix_socket_directories={data}", "listen_addresses=127.0.0.1"]
        options = [word for option in options for word in ("-c", option)]
        with Server(*as_user, bin_ / "postgres", "-D", data, "-p", port, *options, port=port, cwd="/") as server:
            psql = ["psql", "-qAt", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c"]
            wait("PostgreSQL", lambda: subprocess.run([*psql, "select 1"], capture_output=True, check=False).returncode == 0)
            # As it comes, since hookd packs nothing either.
            output(*psql, "create table delivery (id bigserial primary key, body bytea); alter table delivery alter body set storage external")
            script = self.place / "insert.sql"
            script.write_text(f"insert into delivery (body) values (decode(repeat('78', {size}), 'hex'));\n")
            load = ["-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c", connections, "-j", 2, "-T", self.seconds, "-f", script, "postgres"]
            prefix = str(self.place / "log")
            text = output(str(bin_ / "pgbench"), "-n", "-M", "prepared", "-l", f"--log-prefix={prefix}", *map(str, load))
            took = sorted(int(line.split()[2]) / 1000 for path in self.place.glob("log.*") for line in path.read_text().splitlines())
            at = lambda part: took[int((len(took) - 1) * part)]
            return float(re.search(r"^tps = ([\d.]+)", text, re.M)[1]), at(0.5), at(0.99), 0.0

    def postgres_cluster(self, as_user):
        """An empty cluster, made once."""
        if not self.postgres_data:
            place = self.place.parent / "postgres"
            place.mkdir()
            if as_user:
                shutil.chown(place, "postgres", "postgres")
            output(*as_user, str(self.found["postgres"] / "initdb"), "-D", str(place / "data"), "-A", "trust", "-U", "postgres", cwd="/")
            self.postgres_data = place / "data"
        return self.postgres_data

    def synced(self, grows, _, size):
        """One write after another, each followed by its sync."""
        took, block = [], b"x" * size
        with open(self.place / "synced", "wb", buffering=0) as file:
            if not grows:
                file.write(block)
                os.fsync(file.fileno())
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                begun = time.monotonic()
                if not grows:
                    file.seek(0)
                file.write(block)
                os.fdatasync(file.fileno())
                took.append((time.monotonic() - begun) * 1000)
        took.sort()
        return len(took) / self.seconds, statistics.median(took), took[(len(took) - 1) * 99 // 100], 0.0
