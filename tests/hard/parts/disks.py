"""Disks that fill up in each phase: nothing is lost, the old release serves, and once there is room again the push goes live."""

import contextlib
import os
import time

from .world import Looker, World, run, wait_for, write, wrong_in

# Fills the disk, and says so. The build goes on as it likes.
FILL = "cat /dev/zero >{disk}/filler 2>/dev/null || :; touch {work}/filled"
# When the disk is full: before anything, in the build before or after what it writes, in the check, and before it with no inode left.
PHASES = ("fetch", "build", "activate", "finish", "inodes")
SIZE = 40 << 20


class Disk:
    """A small file system below a world."""

    def __init__(self, world, kind):
        self.path = f"{world.work}/small"
        os.makedirs(self.path)
        if kind == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes=2000", "small", self.path)
        else:
            with open(f"{world.work}/small.image", "wb") as file:
                file.truncate(SIZE)
            run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "2000", f"{world.work}/small.image")
            run("mount", "-o", "loop", f"{world.work}/small.image", self.path)

    def fill(self):
        with contextlib.suppress(OSError), open(f"{self.path}/filler", "ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def fill_inodes(self):
        os.makedirs(f"{self.path}/many", exist_ok=True)
        with contextlib.suppress(OSError):
            for number in range(100_000):
                os.close(os.open(f"{self.path}/many/{number}", os.O_CREAT))

    def empty(self):
        with contextlib.suppress(OSError):
            os.unlink(f"{self.path}/filler")
        for name in os.listdir(f"{self.path}/many") if os.path.exists(f"{self.path}/many") else ():
            os.unlink(f"{self.path}/many/{name}")


def part(hard):
    failures, told = [], {"disks filled": 0, "refused with 503 meanwhile": 0, "deployments that failed for it": 0, "looks at `current`": 0, "torn": 0, "lost": 0, "left behind": 0, "overlapped": 0}
    for kind in ("tmpfs", "ext4"):
        world = World(hard.place, hard.binary, hard.dice("disks"))
        disk = Disk(world, kind)
        world.state, world.site = f"{disk.path}/state", f"{disk.path}/site"
        world.config[0] = world.config[0].replace(f"{world.work}/state", world.state)
        world.limits('free_space = "0B"')
        repo = world.add("web", target='keep = 2\ncheck = "sh ./check.sh"\ncheck_timeout = "10s"')
        calm = {"check.sh": "true"}
        repo.push(more=calm)
        world.start()
        world.deliver("web")
        world.settle()
        looker = Looker(world, [world.targets["web"]])
        for _ in range(5 if hard.whole else 1):
            for phase in PHASES:
                failures += [f"{kind}, full in {phase}: {wrong}" for wrong in full_in(world, disk, repo, phase, calm, told)]
                told["disks filled"] += 1
        looks, torn = looker.stop()
        lost, left, overlapped = world.not_lost(), world.left_behind(), world.overlapped()
        failures += [f"{kind}: {failure}" for failure in torn + lost + left + overlapped]
        for what, count in (("looks at `current`", looks), ("torn", len(torn)), ("lost", len(lost)), ("left behind", len(left)),
                            ("overlapped", len(overlapped))):  # fmt: skip
            told[what] += count
        rows = world.ask("GET", "/api/v1/deployments?limit=1000")[1]
        told["deployments that failed for it"] += sum(row["outcome"] in ("failed", "rolled-back") for row in rows)
        if hard.verbose:
            print(*(f"{row['outcome']} in {row['phase']}: {row['reason']}" for row in rows), sep="\n")
        world.stop()
        run("umount", disk.path)
        world.close()
    return told, failures


def is_live(world, commit):
    return (world.target("web")["live"] or {}).get("commit") == commit


def full_in(world, disk, repo, phase, calm, told):
    """What went wrong when the disk was full in that phase, and after it."""
    filled = f"{world.work}/filled"
    with contextlib.suppress(OSError):
        os.unlink(filled)
    fill = FILL.format(disk=disk.path, work=world.work)
    before = wrong_in(f"{world.targets['web']}/current")
    if before:
        return [f"not whole before: {before}"]
    if phase in ("fetch", "inodes"):
        disk.fill() if phase == "fetch" else disk.fill_inodes()
        write(filled, "")
    repo.push(
        step=fill if phase == "build" else ":",
        more={"check.sh": fill, "build.sh": text_of_build(repo, fill)} if phase == "activate" else {"check.sh": fill if phase == "finish" else "true"},
    )
    answered = world.deliver("web")
    wrong = [] if answered in (202, 503) else [f"answered {answered}"]
    wait_for("the disk is full", lambda: answered == 503 or os.path.exists(filled) or has_ended(world, repo))
    # Deliveries meanwhile: stored or refused, and never a 202 that is not kept. 200 is for the duplicate of what is live by now: the
    # store has some room in its log, so that a release may go live that needs no more space.
    for _ in range(20):
        again = world.deliver("web")
        told["refused with 503 meanwhile"] += again == 503
        if again not in (202, 503) and not (again == 200 and is_live(world, repo.tip)):
            wrong.append(f"answered {again} while it was full")
    time.sleep(0.2)
    if torn := wrong_in(f"{world.targets['web']}/current"):
        wrong.append(f"not whole while it was full: {torn}")
    disk.empty()
    # The next push goes live by itself, whatever became of this one, and of a redelivery of it that builds late and fills the disk again.
    tip = repo.push(more=calm)
    wait_for("it accepts again", lambda: world.deliver("web") == 202)
    wait_for("the push after it is live", lambda: disk.empty() or is_live(world, tip))
    world.settle()
    if torn := wrong_in(f"{world.targets['web']}/current"):
        wrong.append(f"not whole when there was room: {torn}")
    return wrong


def has_ended(world, repo):
    with contextlib.suppress(OSError):
        row = world.target("web")
        return bool(row["last"]) and row["last"]["commit"] == repo.tip
    return False


def text_of_build(repo, fill):
    """A build whose last act fills the disk."""
    return repo.git("show", "main:build.sh") + f"\n{fill}\n"
