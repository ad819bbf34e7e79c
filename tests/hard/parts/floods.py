"""Strangers who flood the daemon, while a forge delivers real pushes from an address of its own."""

import contextlib
import os
import random
import signal
import socket
import time

from .world import PORT, PORT_6, Looker, World, pace, percentile, run, wait_for

# Any address of this network reaches this machine from itself.
NETWORK = "2001:db8::/32"
FREEBIND = 78


def connect(source=None, timeout=5):
    """A connection to the daemon from an address: of loopback for IPv4, of the network for IPv6."""
    six = source is not None and ":" in source
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(timeout)
    if six:
        made.setsockopt(socket.IPPROTO_IPV6, FREEBIND, 1)
    if source:
        made.bind((source, 0))
    made.connect(("2001:db8::1", PORT_6) if six else ("127.0.0.1", PORT))
    return made


def request(body=b"{}", more="", path="/hook/web", length=None):
    length = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\nContent-Length: {length}\r\n{more}\r\n".encode() + body


SIGNED_WRONGLY = "X-Hub-Signature-256: sha256=" + "0" * 64 + "\r\nX-GitHub-Delivery: {}\r\n"


def one(source, data):
    with contextlib.suppress(OSError), connect(source) as made:
        made.sendall(data)
        made.recv(4096)


def four(dice):
    return f"127.{dice.randrange(2, 250)}.{dice.randrange(250)}.{dice.randrange(1, 250)}"


def unsigned(dice, _):
    one("127.9.9.9", request())


def signed_wrongly(dice, _):
    one("127.9.9.9", request(more=SIGNED_WRONGLY.format(dice.random())))


def many_addresses(dice, _):
    one(four(dice), request(more=SIGNED_WRONGLY.format(dice.random())))


def one_network(dice, _):
    """One /64, as a single machine has it."""
    one(f"2001:db8:0:1::{dice.randrange(1, 1 << 16):x}:{dice.randrange(1 << 16):x}", request(more=SIGNED_WRONGLY.format(0)))


def many_networks(dice, _):
    one(f"2001:db8:{dice.randrange(1 << 16):x}:{dice.randrange(1 << 16):x}::9", request(more=SIGNED_WRONGLY.format(0)))


def healthz(dice, _):
    one("127.9.9.9", b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")


def nowhere(dice, _):
    one(four(dice), request(path=f"/hook/{dice.random()}"))


def wide(dice, _):
    """The hook of all repos: the payload has to say which."""
    one(four(dice), request(b'{"repository":{"full_name":"alice/web"},"x":"' + b"x" * 60_000 + b'"}', path="/hook", more=SIGNED_WRONGLY.format(0)))


def large(dice, _):
    """Bodies as large as they may be, and larger."""
    with contextlib.suppress(OSError), connect(four(dice)) as made:
        size = dice.choice((25 << 20, 400 << 20))
        made.sendall(request(b"", length=size, more=SIGNED_WRONGLY.format(0)))
        for _ in range(size >> 16):
            made.sendall(bytes(1 << 16))


def endless_head(dice, _):
    with contextlib.suppress(OSError), connect(four(dice)) as made:
        made.sendall(b"POST /hook/web HTTP/1.1\r\n")
        for number in range(100_000):
            made.sendall(b"X-%d: " % number + b"x" * 1000 + b"\r\n")


def hold(held, most, made):
    """Keeps connections open; the oldest goes."""
    held.append(made)
    if len(held) > most:
        held.pop(0).close()


def slow_bodies(dice, held):
    with contextlib.suppress(OSError):
        made = connect(four(dice))
        made.sendall(request(b"{", length=1 << 20, more=SIGNED_WRONGLY.format(0)))
        hold(held, 300, made)
        for each in held[-20:]:
            each.sendall(b"x")


def slow_heads(dice, held):
    with contextlib.suppress(OSError):
        made = connect("127.9.9.9" if dice.random() < 0.5 else four(dice))
        made.sendall(b"POST /hook/web HTTP/1.1\r\nX")
        hold(held, 300, made)


def garbage(dice, _):
    one(four(dice), dice.randbytes(dice.randrange(1, 3000)))


FLOODS = (unsigned, signed_wrongly, many_addresses, one_network, many_networks, healthz, nowhere, wide, large, endless_head, slow_bodies,
          slow_heads, garbage)  # fmt: skip


def flooder(flood, seed, seconds, report):
    """A process that floods for so long."""
    if pid := os.fork():
        return pid
    with contextlib.suppress(BaseException):
        signal.alarm(int(seconds) + 30)
        dice, held, count, end = random.Random(seed), [], 0, time.monotonic() + seconds
        while time.monotonic() < end:
            flood(dice, held)
            count += 1
        with open(report, "w", encoding="utf-8") as file:
            file.write(str(count))
    os._exit(0)


def part(hard):
    world = World(hard.place, hard.binary, hard.dice("floods"))
    run("ip", "-6", "route", "replace", "local", NETWORK, "dev", "lo")
    repo = world.add("web", f"{world.http_server()}/web.git")
    repo.push()
    world.start()
    world.deliver("web")
    world.settle()
    looker = Looker(world, [world.targets["web"]])
    failures, told = [], {}
    seconds, lived, requests = 20 if hard.whole else 2, [], 0
    disk = world.disk_used()
    for flood in FLOODS:
        name, answers = flood.__name__.replace("_", " "), []
        reports = [f"{world.work}/flood-{flood.__name__}-{n}" for n in range(2)]
        flooders = [flooder(flood, f"{hard.seed} {report}", seconds, report) for report in reports]
        end = time.monotonic() + seconds
        while time.monotonic() < end or not answers:
            tip, begun = repo.push(), time.monotonic()
            status = world.deliver("web")
            answers.append(time.monotonic() - begun)
            if status != 202:
                failures.append(f"{name}: a real push was answered with {status}")
                break
            wait_for("a real push is live", lambda tip=tip: (world.target("web")["live"] or {}).get("commit") == tip)
            lived.append(time.monotonic() - begun)
        for pid in flooders:
            os.waitpid(pid, 0)
        sent = sum(int(open(report, encoding="utf-8").read()) for report in reports if os.path.exists(report))
        requests += sent
        told[f"{name}: sent; push to 202"] = f"{sent}; {pace(answers)}"
        if hard.verbose:
            print(f"{name}: {sent}, {pace(answers)}, daemon {hard.peaks.peaks['daemon'] >> 10} MiB", flush=True)
    world.settle()
    looks, torn = looker.stop()
    lost, left, overlapped = world.not_lost(), world.left_behind(), world.overlapped()
    written = world.disk_used() - disk
    # A stranger's request may leave a line in the log for a while, and never its body.
    if written > max(64 << 20, requests * 1500):
        failures.append(f"{requests} requests of strangers wrote {written >> 20} MiB")
    told = {
        "floods": len(FLOODS), "requests of strangers": requests, "written for them": f"{written >> 10} KiB", "real pushes meanwhile": len(lived),
        "push to 202": pace(world.latencies), "push to live": pace(lived), "looks at `current`": looks, "torn": len(torn),
        "lost": len(lost), "left behind": len(left), "overlapped": len(overlapped), **told,
    }  # fmt: skip
    # Bounded by the time that heads and bodies have, on whatever machine.
    if percentile(world.latencies, 0.5) > 10:
        failures.append(f"half of the real pushes waited longer than {percentile(world.latencies, 0.5):.1f} s for their 202")
    world.close()
    return told, failures + torn + lost + left + overlapped
