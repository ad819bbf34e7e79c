"""Trees and submodules that a pusher made to do harm, one after the other, with good pushes of the same repo between."""

import os
import time

from .world import Looker, World, pace, wait_for, wrong_in

# How long it may take to try some of them, when not all are asked for.
SECONDS = 60
NOBODYS = "0123456789012345678901234567890123456789"


def tree(repo, entries):
    """Writes a tree as it is, however malformed: mode, name and object of each entry."""
    data = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    return repo.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=data)


def blob(repo, data):
    return repo.git("hash-object", "-w", "--stdin", data=data)


def commit(repo, oid, message="evil"):
    who = "A <a@example.org> 1795342500 +0000"
    text = f"tree {oid}\nauthor {who}\ncommitter {who}\n\n{message}\n"
    return repo.git("hash-object", "-w", "-t", "commit", "--literally", "--stdin", data=text.encode())


def nested(repo, entries, width, depth):
    """A tree of `width` times `width` … times these entries."""
    oid = tree(repo, entries)
    for _ in range(depth):
        oid = tree(repo, [("40000", f"d{n:04}", oid) for n in range(width)])
    return oid


def big(repo, size):
    """A blob of zeros, made without having it in memory."""
    import subprocess

    zeros = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
    words = ["git", "--git-dir", repo.path, "-c", "core.bigFileThreshold=1m", "-c", "core.compression=1", "hash-object", "-w", "--stdin"]
    oid = subprocess.run(words, stdin=zeros.stdout, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    zeros.wait()
    return oid


def with_modules(repo, modules, more=()):
    text = blob(repo, modules.encode())
    return tree(repo, sorted([("100644", ".gitmodules", text), ("160000", "lib", NOBODYS), *more], key=lambda entry: entry[1]))


def evil(repo, whole, dice):
    """The trees by name, in any order."""
    page, empty = blob(repo, b"evil\n"), tree(repo, [])
    script = blob(repo, b"touch /escaped\n")

    def file_at(name, mode="100644"):
        return lambda: tree(repo, [(mode, name, page)])

    def link(target):
        return lambda: tree(repo, [("120000", "link", blob(repo, target.encode())), ("100644", "page", page)])

    def below(name, oid=None):
        return lambda: tree(repo, [("40000", name, oid or tree(repo, [("100755", "hooks", script)]))])

    def modules(text):
        return lambda: with_modules(repo, text)

    module = '[submodule "{0}"]\n\tpath = lib\n\turl = {1}\n'
    found = {
        "10^8 empty directories": lambda: nested(repo, [("40000", "d", empty)], 10, 8),
        "10^9 files": lambda: nested(repo, [("100644", f"f{n}", page) for n in range(10)], 10, 8),
        "10^7 submodules": lambda: nested(repo, [("160000", f"s{n:05}", NOBODYS) for n in range(10_000)], 10, 3),
        "10,000 levels": lambda: nested(repo, [("100644", "page", page)], 1, 2000 if not whole else 10_000),
        "a big blob": lambda: tree(repo, [("100644", "big", big(repo, (1 << 30) if whole else (128 << 20)))]),
        "blobs just small enough": lambda: tree(repo, [("100644", f"big{n}", big(repo, 99 << 20)) for n in range(3 if whole else 1)]),
        "a blob that is not there": lambda: tree(repo, [("100644", "page", NOBODYS)]),
        "a tree that is not there": lambda: tree(repo, [("40000", "d", NOBODYS)]),
        "a blob as a tree": lambda: tree(repo, [("40000", "d", page)]),
        "case": lambda: tree(repo, [("100644", "A", page), ("40000", "a", tree(repo, [("100644", "b", page)]))]),
        "a file twice": lambda: tree(repo, [("100644", "a", page), ("100644", "a", page)]),
        "a link and a directory of one name": lambda: tree(
            repo, [("120000", "a", blob(repo, b"/tmp")), ("40000", "a", tree(repo, [("100644", "escaped", page)]))]
        ),
        "a long name": file_at("x" * 5000), "an empty name": file_at(""), "a name with a slash": file_at("../../../escaped"),
        "an absolute name": file_at("/escaped"), "a dot": below("."), "dots": below(".."), ".git": below(".git"), ".GIT": below(".GIT"),
        "git~1": below("git~1"), ".git and a blank": below(".git "), ".git and an invisible": below(".g\u200cit"), "a newline": file_at("a\nb"),
        "a strange mode": file_at("a", "107777"), "a link to /etc": link("/etc"), "a link to above": link("../../../../../../etc"),
        "a link to itself": link("link"), "a long link": link("x" * 100_000), "an empty link": link(""),
        "a link with a NUL": lambda: tree(repo, [("120000", "link", blob(repo, b"/etc\0x"))]),
        "a submodule to the shell": modules(module.format("lib", "ext::sh -c touch% /escaped")),
        "a submodule as an option": modules(module.format("lib", "--upload-pack=touch /escaped")),
        "a submodule of lines": modules(module.format("lib", '"http://127.0.0.1:6379/ HTTP/1.1\\nSET x"')),
        "a submodule on this machine": modules(module.format("lib", "http://127.0.0.1:8080/web.git")),
        "a submodule with a name of above": modules(module.format("../../../escaped", "./lib.git")),
        "a submodule with a path of above": modules('[submodule "lib"]\n\tpath = ../../escaped\n\turl = ./lib.git\n'),
        "a submodule of itself": modules(module.format("lib", "./web.git")),
        "10 MB of .gitmodules": modules(module.format("lib", "./lib.git") * 100_000),
        ".gitmodules as a link": lambda: tree(repo, [("120000", ".gitmodules", blob(repo, b"/etc/passwd")), ("160000", "lib", NOBODYS)]),
        "a subject of 60 MiB": lambda: tree(repo, [("100644", "page", page)]),
    }  # fmt: skip
    for name in dice.sample(list(found), len(found)):
        make = found[name]
        yield name, commit(repo, make(), "x" * (60 << 20) if name.startswith("a subject") else name)


def outside(world):
    """What is there besides what hookd may write: names below the work directory, and where the trees point."""
    names = {f"{world.work}/{name}" for name in os.listdir(world.work)} | {f"{world.site}/{name}" for name in os.listdir(world.site)}
    return names | {name for name in ("/escaped", "/tmp/escaped") if os.path.lexists(name)}


def part(hard):
    world = World(hard.place, hard.binary, hard.dice("trees"))
    repo = world.add("web", f"{world.http_server()}/web.git", target='keep = 2\ntimeout = "60s"')
    good = repo.push()
    world.start()
    world.deliver("web")
    world.settle()
    looker, before = Looker(world, [world.targets["web"]]), outside(world)
    failures, lived, ends = [], [], {}
    end = time.monotonic() + SECONDS
    for name, oid in evil(repo, hard.whole, world.dice):
        if not hard.whole and time.monotonic() > end:
            break
        begun, last = time.monotonic(), world.target("web")["last"]["id"]
        repo.point(oid)
        world.deliver("web")
        wait_for(f"{name} has ended", lambda last=last: world.target("web")["last"]["id"] > last and world.is_settled())
        row = world.target("web")["last"]
        ends[row["outcome"]] = ends.get(row["outcome"], 0) + 1
        if hard.verbose:
            print(f"{name}: {row['outcome']} after {time.monotonic() - begun:.1f} s: {row['reason'][:200]}", flush=True)
        if (found := outside(world)) != before:
            failures.append(f"{name}: wrote {found - before}")
            before = found
        # Each of them has no build.sh: none goes live.
        if row["outcome"] != "failed" or not row["reason"]:
            failures.append(f"{name}: {row['outcome']}, {row['reason']}")
        begun = time.monotonic()
        repo.point(good)
        good = repo.push()
        world.deliver("web")
        wait_for("a good push after it is live", lambda: (world.target("web")["live"] or {}).get("commit") == good)
        lived.append(time.monotonic() - begun)
        if wrong := wrong_in(f"{world.targets['web']}/current"):
            failures.append(f"after {name}: {wrong}")
    world.settle()
    looks, torn = looker.stop()
    lost, left, overlapped = world.not_lost(), world.left_behind(), world.overlapped()
    told = {
        "evil trees": sum(ends.values()), **{f"ended as {end}": count for end, count in ends.items()}, "push to 202": pace(world.latencies),
        "good push after one, to live": pace(lived), "looks at `current`": looks, "torn": len(torn), "lost": len(lost),
        "left behind": len(left), "overlapped": len(overlapped),
    }  # fmt: skip
    world.close()
    return told, failures + torn + lost + left + overlapped
