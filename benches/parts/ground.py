"""What all parts stand on: servers that end with the block, the file system, deliveries, and tables."""

import contextlib, hashlib, hmac, json, os, pathlib, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parents[1]
TOP = HERE.parent
HOOKD = os.environ.get("HOOKD", str(TOP / "target/release/hookd"))
SECRET = b"benchmark-secret-of-32-bytes----"
IMAGE_BYTES = 24 << 30  # sparse; at most half of what is free is taken
LONG = 120  # seconds, for what must come about
STUCK = 600  # seconds after which a program that shall end is stuck
BEGUN = time.monotonic()


class Failed(Exception):
    """A contender or a part can't be measured; the others can."""


def say(text):
    """A line of progress."""
    spent = int(time.monotonic() - BEGUN)
    print(f"{spent // 60:3}:{spent % 60:02}  {text}", file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(what, ready, limit=LONG):
    end = time.monotonic() + limit
    while not ready():
        if time.monotonic() > end:
            raise Failed(f"{what} did not come about within {limit} s")
        time.sleep(0.0005)


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def output(*arguments, **more):
    name = pathlib.Path(arguments[0]).name
    try:
        ran = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=STUCK, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{name}: {error}") from None
    if ran.returncode:
        last = (ran.stderr or ran.stdout).strip().splitlines()[-1:]
        raise Failed(f"{name} ended with {ran.returncode}: {''.join(last)}")
    return ran.stdout


class Server:
    """A program that runs until the end of the block. The end of its output tells why it ended early."""

    def __init__(self, *arguments, port=None, **more):
        self.port, self.name = port, pathlib.Path(arguments[0]).name
        self.log = tempfile.TemporaryFile()
        # A process group of its own: the interrupt key is for the script, which ends what it started.
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            start_new_session=True, **more,
        )

    def __enter__(self):
        try:
            wait(f"{self.name} on port {self.port}", lambda: self.process.poll() is not None or answers(self.port))
            self.check()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None or issubclass(kind, Failed):
                self.check()
        finally:
            self.stop()

    def check(self):
        """Fails if the program has ended."""
        if self.process.poll() is not None:
            self.log.seek(max(0, self.log.tell() - 4096))
            last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise Failed(f"{self.name} ended with {self.process.returncode}: {''.join(last)}")

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        # Children that outlive it, as those of fcgiwrap do, would keep the disk.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def memory(self, field="VmRSS"):
        """MiB, of /proc/PID/status."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1]) / 1024

    def processor(self):
        """Seconds that the program and the children that have ended took."""
        ticks = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return sum(map(int, ticks[11:15])) / os.sysconf("SC_CLK_TCK")


def sign(body):
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


def push(name, size=0, after="1" * 40, git_ref="refs/heads/main"):
    """A push of GitHub's, filled up to a size."""
    payload = {
        "ref": git_ref, "before": "0" * 40, "after": after, "created": False, "deleted": False, "forced": False,
        "repository": {"full_name": f"bench/{name}"}, "pusher": {"name": "bench"},
        "head_commit": {"id": after, "message": ""}, "commits": [],
    }
    payload["head_commit"]["message"] = "x" * max(0, size - len(json.dumps(payload)))
    return json.dumps(payload).encode()


def headers(body, delivery):
    return {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": f"sha256={sign(body)}"}


def deliver(connection, name, body, delivery=None):
    """Sends a push on a connection, and waits for the answer."""
    connection.request("POST", f"/hook/{name}", body, headers(body, delivery or f"one-{time.monotonic_ns()}"))
    answer = connection.getresponse()
    answer.read()
    if answer.status not in (200, 202):
        raise Failed(f"a delivery was answered with {answer.status}")


def spread(values, digits=0):
    """Median, least and most."""
    values = sorted(values)
    text = [f"{value:,.{digits}f}" for value in (statistics.median(values), values[0], values[-1])]
    return f"{text[0]} ({text[1]} to {text[2]})" if len(values) > 1 else text[0]


def middle(values, digits=1):
    value = statistics.median(values)
    return "" if value != value else f"{value:,.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def disk():
    """A directory on a file system of its own, as far as that may be made: that of the machine may have no journal, and others
    write to it."""
    with tempfile.TemporaryDirectory(prefix="hookd-bench-", ignore_cleanup_errors=True) as top:
        top = pathlib.Path(top)
        top.chmod(0o755)
        image, place = top / "image", top / "disk"
        place.mkdir()
        size = min(IMAGE_BYTES, shutil.disk_usage(top).free // 2)
        with open(image, "wb") as file:
            file.truncate(size)
        # A site of 200,000 files takes as many inodes for each release, and small files.
        mkfs = ["mkfs.ext4", "-q", "-i", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)]
        quiet = {"check": False, "capture_output": True}
        mounted = os.geteuid() == 0 and subprocess.run(mkfs, **quiet).returncode == 0
        mounted = mounted and subprocess.run(["mount", "-o", "loop", str(image), str(place)], **quiet).returncode == 0
        place.chmod(0o755)
        try:
            yield place, f"ext4 of {size >> 30} GiB on a loop device" if mounted else "the file system of the temporary directory"
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", str(place)], check=False)


def empty(place):
    """Removes a directory, and gives its blocks back to the machine's disk."""
    shutil.rmtree(place, ignore_errors=True)
    if os.geteuid() == 0 and os.path.ismount(place.parent):
        subprocess.run(["fstrim", str(place.parent)], check=False, capture_output=True)


def repositories(root, count):
    """Bare repositories with one commit each; gives that commit."""
    first = root / "site0.git"
    if not first.exists():
        output("git", "-c", "init.defaultBranch=main", "init", "-q", "--bare", "--template=", str(first))
        stream = b"commit refs/heads/main\ncommitter b <b@localhost> 1700000000 +0000\ndata 0\nM 644 inline index.html\ndata 6\nhello\n"
        subprocess.run(["git", "-C", str(first), "fast-import", "--quiet"], input=stream, check=True)
    for number in range(1, count):
        if not (root / f"site{number}.git").exists():
            shutil.copytree(first, root / f"site{number}.git")
    return output("git", "-C", str(first), "rev-parse", "main").strip()


class Daemon:
    """A hookd with a state directory of its own and repositories that are deployed to directories."""

    def __init__(self, place, count=1, extra=()):
        self.place, self.count = place, count
        place.mkdir(exist_ok=True)
        self.commit = repositories(place.parent / "srv", count)
        (place / "secret").write_bytes(SECRET)
        (place / "secret").chmod(0o600)
        self.port, self.config = free_port(), place / "hookd.toml"
        # All of one address: more than a forge ever opens.
        limits = ["[limits]", "connections = 2048", *extra]
        lines = [f'listen = "127.0.0.1:{self.port}"', f'state_dir = "{place}/state"', f'control = "{place}/control.sock"', *limits]
        for number in range(count):
            lines += [
                f"[repo.site{number}]", f'url = "{place.parent}/srv/site{number}.git"', f'full_name = "bench/site{number}"',
                'forge = "github"', 'secret = "file:secret"', 'poll = "off"', f"[repo.site{number}.deploy.live]", 'branch = "main"',
                f'path = "{place}/www/site{number}"',
            ]
        self.config.write_text("\n".join(lines) + "\n")

    def serve(self, *under, **more):
        command = [*under, HOOKD, "serve", "--config", self.config, "--log-format", "text"]
        return Server(*command, port=self.port, **more)

    def ask(self, command):
        """Seconds that a command of a person takes."""
        begun = time.monotonic()
        output(HOOKD, command, "--json", "--config", str(self.config))
        return time.monotonic() - begun

    def current(self, number):
        return self.place / f"www/site{number}/current/index.html"
