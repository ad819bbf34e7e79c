"""SIGKILL at random moments, and at the Nth call of a named system call, of the daemon, its workers and its supervisors, under a
stream of signed deliveries for four repos behind real servers."""

import contextlib
import os
import signal
import threading
import time

from .world import Looker, World, pace, processes, wrong_in

REPOS = ("web", "ssh", "file", "place")
# What is recorded, moved, synced and begun by: strace kills at the entry of one of these calls.
STEPS = ("rename,renameat,renameat2", "fsync", "fdatasync", "symlinkat", "unlink,unlinkat", "mkdirat", "pwrite64", "ftruncate", "linkat",
         "execve", "fchmod,fchmodat", "utimensat", "openat")  # fmt: skip
# Rounds between two looks at all promises. A job that is killed three times in one phase is given up, as the manual says.
ROUNDS = 8
# What a deployment may say that was killed itself, as it was asked to be; a check whose supervisor was killed rolls back.
TOLD = ("kill", "signal", "died", "ended", "was rolled back before")


class Kills:
    def __init__(self, hard):
        self.hard, self.dice = hard, hard.dice("kills")
        self.counts = dict.fromkeys(("daemon", "everything", "worker", "supervisor", "named step"), 0)
        self.sent = self.told = self.done = 0
        self.lived = []
        self.failures = []

    def run(self, kills, deliveries, budget):
        world = self.world = World(self.hard.place, self.hard.binary, self.dice)
        http, (ssh, keys) = world.http_server(), world.ssh_server()
        world.add("web", f"{http}/web.git")
        world.add("ssh", f"{ssh}/ssh.git", keys)
        world.add("file")
        world.add("place", target='strategy = "in-place"')
        for name in REPOS:
            world.repos[name].push()
        world.start()
        self.stream(len(REPOS), fresh=1)
        self.look_at_all()
        looker = Looker(world, [world.targets[name] for name in REPOS if name != "place"])
        end, per_round = time.monotonic() + budget, max(1, deliveries // kills)
        while self.done < kills and time.monotonic() < end and len(self.failures) < 5:
            for _ in range(ROUNDS):
                self.round(per_round)
            self.look_at_all()
        looks, torn = looker.stop()
        self.failures += torn
        world.close(keep=bool(self.failures))
        return {
            "kills": self.done, **{f"kills of {way}": count for way, count in self.counts.items()}, "deliveries": self.sent,
            "answered with 202": len(world.promised), "lost": self.count("lost"), "looks at `current`": looks, "torn": len(torn),
            "overlapped": self.count("at once"), "left behind": self.count("left behind"), "failed by a kill, and told": self.told,
            "push to 202, restarts included": pace(world.latencies), "push to live": pace(self.lived),
        }  # fmt: skip

    def count(self, word):
        return sum(word in failure for failure in self.failures)

    # ---- One round ----

    def round(self, deliveries):
        """Deliveries, and a kill among them or after them."""
        way = self.dice.choices(list(self.counts), (40, 15, 12, 8, 25))[0]
        self.log(f"round {way}")
        if way == "named step":
            self.world.kill()
            step, when = self.dice.choice(STEPS), self.dice.randint(1, 40)
            self.log(f"step {step} {when}")
            self.killer(step, when)
        sender = threading.Thread(target=self.stream, args=(deliveries, 0.15))
        sender.start()
        time.sleep(self.dice.random() * 0.6)
        if way == "named step":
            # If the call did not come, the round ends as the others do.
            with contextlib.suppress(Exception):
                self.world.process.wait(self.dice.random())
        struck = self.strike(way)
        if self.world.process.poll() is not None or way == "named step":
            self.world.kill()
            self.world.start()
        sender.join()
        self.counts[way] += struck
        self.done += struck

    def log(self, text):
        """Notes in the daemon's log what is done to it."""
        with open(f"{self.world.work}/daemon.log", "a", encoding="utf-8") as file:
            file.write(f"---- {time.strftime('%FT%T')} {text}\n")

    def killer(self, step, when):
        """A daemon below strace. It may die before it is ready."""
        if not self.world.try_start(("-e", f"trace={step}", "-e", f"inject={step}:signal=KILL:when={when}")):
            self.world.start()

    def strike(self, way):
        """Kills; whether there was anything to kill."""
        if way == "named step":
            return True
        # A worker or a supervisor may come in a moment.
        end = time.monotonic() + 1
        while not (victims := self.victims(way)) and time.monotonic() < end:
            time.sleep(0.005)
        for pid in victims:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if way in ("daemon", "everything"):
            self.world.process.wait()
        return bool(victims)

    def victims(self, way):
        if way == "daemon":
            # A child that is about to become something else looks like it.
            return [self.world.process.pid]
        every = list(processes())
        if way == "everything":
            return [pid for _, pid in self.dice.sample(every, len(every))]
        return [pid for kind, pid in every if kind == way][:1]

    def stream(self, count, fresh):
        """Signed deliveries of all kinds; of a share of them the push is new."""
        for _ in range(count):
            name = self.dice.choice(REPOS) if fresh < 1 else REPOS[_ % len(REPOS)]
            repo = self.world.repos[name]
            kind = self.dice.random()
            if kind < fresh:
                repo.push(step=self.dice.choice((":", ":", "sleep 0.1", "sleep 0.4")))
                self.world.deliver(name)
            elif kind < 0.6:
                self.world.deliver(name)
            elif kind < 0.8:
                self.world.deliver(name, ref="refs/heads/other")
            elif kind < 0.9:
                self.world.deliver(name, event="ping")
            elif self.world.promised:
                # A redelivery.
                promised = self.dice.choice(self.world.promised)
                self.world.deliver(promised.split("-")[0], delivery=promised)
            self.sent += 1

    # ---- What was promised ----

    def look_at_all(self):
        """Lets everything come to its end, and looks at each promise."""
        world = self.world
        world.settle()
        for name in REPOS:
            wrong = self.not_live(name)
            if wrong and any(word in wrong for word in TOLD):
                # It was told that a kill ended it. The next push heals it.
                self.told += 1
                world.repos[name].push()
                world.deliver(name)
                world.settle()
                wrong = self.not_live(name)
            if wrong:
                self.failures.append(wrong)
        begun = time.monotonic()
        name = self.dice.choice(REPOS)
        world.repos[name].push()
        world.deliver(name)
        tip = world.repos[name].tip
        while (world.target(name)["live"] or {}).get("commit") != tip and time.monotonic() < begun + 60:
            time.sleep(0.01)
        self.lived.append(time.monotonic() - begun)
        world.settle()
        self.failures += world.not_lost() + world.overlapped() + world.left_behind()

    def not_live(self, name):
        """Why the tip of a repo is not live and whole; None if it is."""
        row, tip = self.world.target(name), self.world.repos[name].tip
        directory = self.world.targets[name] + ("" if name == "place" else "/current")
        live = (row["live"] or {}).get("commit")
        if live != tip:
            last = row["last"] or {}
            waits = f"; waits: {row['waiting']}" if row["waiting"] else ""
            return f"{name}: {live} is live instead of {tip}, {row['state']}: {last.get('outcome')}, {last.get('reason')}{waits}"
        wrong = wrong_in(directory)
        return wrong and f"{name}: {directory} is not whole: {wrong}"


def part(hard):
    kills = Kills(hard)
    told = kills.run(*((1000, 20000, hard.minutes * 60) if hard.whole else (60, 600, 45)))
    return told, kills.failures
