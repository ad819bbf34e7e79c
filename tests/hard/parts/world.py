"""A machine for the hard run: repositories behind real git servers, a forge that signs, a daemon that is started as systemd
starts it, and somebody who looks at the site all the time. Everything lives in namespaces of its own and ends with them."""

import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

SECRET = b"a secret for hard runs"
# What nothing comes near that is awaited, unless something hangs: seconds. Twenty runs at once on one core are still well below.
PATIENCE = float(os.environ.get('P','180'))
PORT, PORT_6 = 9000, 9006
# The descriptors at which systemd passes sockets.
SOCKETS = (3, 4)

# Says so if another build of the same repo runs, and who that is: a lock is free only when every process that had it is gone.
BUILD = """exec 9>>"$LOCKS/$HOOKD_REPO"
flock -n 9 || for p in /proc/[0-9]*; do
  if [ "$p" != "/proc/$$" ] && ls -l "$p/fd" 2>/dev/null | grep -q "$LOCKS/$HOOKD_REPO"; then
    echo "$HOOKD_REPO: deployment $HOOKD_DEPLOYMENT found ${{p#/proc/}} $(tr '\\0' ' ' <"$p/cmdline")of $(
      tr '\\0' '\\n' <"$p/environ" | grep HOOKD_DEPLOYMENT) below $(grep PPid "$p/status")"
  fi
done >>"$LOCKS/overlapped"
sleep 100000 &
mkdir -p out
cp index.html out/page.html
{step}
sha256sum files/* >out/sums
echo end >out/end
"""


def run(*words, **more):
    """Runs a program; its output, or an exception with what it said."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def program(name, package):
    """Where a program is, or an exception with the Debian package that has it."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise RuntimeError(f"needs {name}: apt-get install {package}")
    return found


def wait_for(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain until {what}")
        time.sleep(0.02)
    return found


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(text)


GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C.UTF-8"}


class Repo:
    """A bare repository that people push to."""

    def __init__(self, root, name):
        self.name, self.path, self.number, self.tip = name, f"{root}/{name}.git", 0, None
        run("git", "init", "-q", "--bare", "-b", "main", self.path, env={**os.environ, **GIT})

    def git(self, *words, data=None):
        more = {"input": data} if data is not None else {}
        return run("git", "--git-dir", self.path, *words, env={**os.environ, **GIT}, **more).decode().strip()

    def commit(self, files, message="a commit"):
        """Commits files on top of `main`."""
        stream = [f"commit refs/heads/main\nmark :1\ncommitter Alice <a@example.org> {1795342500 + self.number} +0000\n".encode()]
        stream.append(f"data {len(message.encode())}\n{message}\n".encode())
        if self.tip:
            stream.append(b"from refs/heads/main^0\n")
        for path, text in files.items():
            data = text.encode()
            stream.append(f"M 644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
        stream.append(b"get-mark :1\n")
        self.tip = self.git("fast-import", "--quiet", data=b"".join(stream))
        return self.tip

    def push(self, step=":", more=None):
        """The next version: each file has its number, so that a mixture shows. `step` is a line of the build."""
        self.number += 1
        number = self.number
        files = {"index.html": f"page {number}\n" * 50, "build.sh": BUILD.format(step=step)}
        files.update({f"files/{n}": f"{number} {n}\n" * 100 for n in range(10)})
        return self.commit({**files, **(more or {})}, f"version {number}")

    def point(self, commit):
        """Puts `main` on a commit."""
        self.git("update-ref", "refs/heads/main", commit)
        self.tip = commit
        return commit


def wrong_in(directory):
    """What is not whole in a directory that a build made; None if all is."""
    try:
        read = {name: text_of_whole(f"{directory}/{name}") for name in ("index.html", "out/page.html", "out/end")}
        number = read["index.html"].split()[1]
        if read["index.html"] != f"page {number}\n" * 50 or read["out/page.html"] != read["index.html"]:
            return "index.html is not of one version"
        if read["out/end"] != "end\n":
            return "the build did not end"
        for n in range(10):
            if text_of_whole(f"{directory}/files/{n}") != f"{number} {n}\n" * 100:
                return f"files/{n} is not of version {number}"
    except (OSError, IndexError) as error:
        return str(error)
    return None


def text_of_whole(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Looker:
    """A process that reads what `current` names, all the time, as a web server would."""

    def __init__(self, world, paths):
        self.paths, self.report = paths, f"{world.work}/looked-{next(world.serial)}"
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self.look()
            os._exit(0)

    def look(self):
        looks, torn, stop = 0, [], []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        ever = set()
        while not stop:
            for path in self.paths:
                link = f"{path}/current"
                try:
                    name = os.readlink(link)
                except OSError as error:
                    if path in ever:
                        torn.append(f"{link}: {error.strerror}")
                    continue
                ever.add(path)
                wrong = wrong_in(f"{path}/{name}")
                looks += 1
                # What was replaced while it was read may be gone by now.
                if wrong and os.readlink(link) == name:
                    torn.append(f"{link} -> {name}: {wrong}")
            time.sleep(0.002)
        write(self.report, json.dumps({"looks": looks, "torn": torn[:20]}))

    def stop(self):
        """How often it looked, and what it saw that was torn."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        found = json.loads(text_of(self.report) or '{"looks": 0, "torn": ["the looker died"]}')
        return found["looks"], found["torn"]


class Peaks(threading.Thread):
    """The highest memory of each kind of hookd's processes, kB, looked at all the time: `VmHWM`, the kernel's own peak, less the
    pages of program and libraries, which cost nothing that could not be read again. The daemon gives such pages back when it is
    quiet, so those of the time of the peak count: the more of the two looks between which it was."""

    KINDS = {"serve": "daemon", "git-worker": "worker", "command-supervisor": "supervisor"}

    def __init__(self):
        super().__init__(daemon=True)
        self.peaks = dict.fromkeys(self.KINDS.values(), 0)
        self.start()

    def run(self):
        before = {}
        while True:
            now = {(kind, pid): memory for kind, pid in processes() if (memory := self.memory(pid))}
            for process, (peak, files) in now.items():
                peak_before, files_before = before.get(process, (0, 0))
                if peak > peak_before:
                    self.peaks[process[0]] = max(self.peaks[process[0]], peak - max(files, files_before))
            before = now
            time.sleep(0.02)

    @staticmethod
    def memory(pid):
        """The peak so far, and the pages of files now, kB; nothing of a process that has ended."""
        lines = (line.split() for line in text_of(f"/proc/{pid}/status").splitlines())
        kilobytes = {words[0]: int(words[1]) for words in lines if words[0] in ("VmHWM:", "RssFile:")}
        return tuple(kilobytes.get(name, 0) for name in ("VmHWM:", "RssFile:")) if kilobytes else None


def processes():
    """Kind and id of hookd's processes in this namespace."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = text_of(f"/proc/{pid}/cmdline").split("\0")
        with contextlib.suppress(OSError, IndexError, KeyError):
            if "hookd" in os.readlink(f"/proc/{pid}/exe").rsplit("/", 1)[-1]:
                yield Peaks.KINDS[words[1]], int(pid)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class World:
    """Repositories, servers, configuration, daemon."""

    open = []

    def __init__(self, place, binary, dice, serial=itertools.count(1)):
        self.serial, self.dice, self.binary = serial, dice, binary
        self.work = f"{place}/{next(serial)}"
        self.state, self.site, self.origins = f"{self.work}/state", f"{self.work}/site", f"{self.work}/origins"
        for path in (self.work, self.site, self.origins, f"{self.work}/locks", f"{self.work}/tmp"):
            os.makedirs(path)
        write(f"{self.work}/secret", SECRET.decode(), 0o600)
        self.repos, self.targets, self.servers, self.process = {}, {}, [], None
        self.config = [f'state_dir = "{self.state}"\ncontrol = "{self.work}/control.sock"\nmax_jobs = 2\n']
        self.promised, self.latencies, self.lock = [], [], threading.Lock()
        World.open.append(self)
        # Held from start to start, as systemd holds them: who connects meanwhile waits.
        listen(SOCKETS[0], socket.AF_INET, "127.0.0.1", PORT)
        listen(SOCKETS[1], socket.AF_INET6, "::", PORT_6)

    # ---- What there is ----

    def add(self, name, url=None, keys="", target="keep = 2", repo=True):
        """A repo with the target `live`."""
        if repo:
            self.repos[name] = Repo(self.origins, name)
        self.targets[name] = f"{self.site}/{name}"
        self.config.append(
            f'[repo.{name}]\nurl = "{url or f"{self.origins}/{name}.git"}"\nfull_name = "alice/{name}"\nforge = "github"\n'
            f'secret = "file:{self.work}/secret"\npoll = "off"\n{keys}\n'
            f'[repo.{name}.deploy.live]\nbranch = "main"\npath = "{self.site}/{name}"\nisolation = "process"\n'
            f'build = "sh ./build.sh"\nenv = {{ LOCKS = "{self.work}/locks" }}\nkill_grace = "1s"\n{target}\n'
        )
        return self.repos.get(name)

    def limits(self, text):
        self.config.append(f"[limits]\n{text}\n")

    def http_server(self):
        """nginx with git's own backend, for all repositories; its URL."""
        at = f"{self.work}/nginx"
        os.makedirs(at)
        backend = run("git", "--exec-path").decode().strip() + "/git-http-backend"
        gate = socket.socket(socket.AF_UNIX)
        gate.bind(f"{at}/fcgi.sock")
        gate.listen(64)
        self.serve([program("fcgiwrap", "fcgiwrap"), "-c", "2"], stdin=gate)
        values = {
            "SCRIPT_FILENAME": backend, "GIT_PROJECT_ROOT": self.origins, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": "$uri",
            "QUERY_STRING": "$query_string", "REQUEST_METHOD": "$request_method", "CONTENT_TYPE": "$content_type",
            "CONTENT_LENGTH": "$content_length", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        temporary = "".join(f"{n}_temp_path {at}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        values = "".join(f'fastcgi_param {name} "{value}";' for name, value in values.items())
        write(
            f"{at}/nginx.conf",
            f"daemon off; user root; pid {at}/pid; error_log {at}/log; events {{}} http {{ access_log off; {temporary}"
            f"client_max_body_size 0; server {{ listen 127.0.0.1:8080; location / {{ fastcgi_pass unix:{at}/fcgi.sock; {values} }} }} }}\n",
        )
        self.serve([program("nginx", "nginx-light"), "-p", at, "-c", f"{at}/nginx.conf", "-e", f"{at}/log"])
        answers_at(8080)
        return "http://127.0.0.1:8080"

    def ssh_server(self):
        """OpenSSH; its URL, and the keys of a repo that name its key and the deploy key."""
        at = f"{self.work}/sshd"
        os.makedirs(at)
        for name in ("host", "deploy"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{at}/{name}")
        os.makedirs("/run/sshd", exist_ok=True)
        write(
            f"{at}/config",
            f"HostKey {at}/host\nAuthorizedKeysFile {at}/deploy.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "PermitRootLogin yes\nPidFile none\nListenAddress 127.0.0.1\nPort 2222\nMaxStartups 100\n",
        )
        self.serve([program("sshd", "openssh-server"), "-D", "-e", "-f", f"{at}/config"])
        answers_at(2222)
        write(f"{at}/known_hosts", "[127.0.0.1]:2222 " + text_of(f"{at}/host.pub"))
        return f"ssh://root@127.0.0.1:2222{self.origins}", f'ssh_key = "{at}/deploy"\nknown_hosts = "{at}/known_hosts"'

    def serve(self, words, stdin=subprocess.DEVNULL):
        log = open(f"{self.work}/servers.log", "ab")
        self.servers.append(subprocess.Popen(words, stdin=stdin, stdout=log, stderr=log, start_new_session=True))

    # ---- The daemon ----

    def start(self, strace=()):
        """Starts the daemon, and waits until it is ready."""
        if not self.try_start(strace):
            raise RuntimeError("the daemon refused to start:\n" + self.log())

    def try_start(self, strace=()):
        """Whether the daemon becomes ready; `strace` are arguments of strace, if it runs below it."""
        write(f"{self.work}/hookd.toml", "".join(self.config))
        path = f"{self.work}/notify.sock"
        with contextlib.suppress(OSError):
            os.unlink(path)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(path)
        notify.settimeout(0.02)
        script = 'export LISTEN_PID=$$ LISTEN_FDS=2; exec "$@"'
        words = ["sh", "-c", script, "sh", self.binary, "serve", "--log-format", "text"]
        if strace:
            words = ["strace", "-f", "-q", "--seccomp-bpf", "-o", f"{self.work}/strace.log", *strace, *words]
        with open(f"{self.work}/daemon.log", "ab") as log:
            environment = {
                "PATH": os.environ["PATH"], "HOME": self.work, "LANG": "C.UTF-8", "TMPDIR": f"{self.work}/tmp",
                "HOOKD_CONFIG": f"{self.work}/hookd.toml", "NOTIFY_SOCKET": path,
            }  # fmt: skip
            self.process = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=SOCKETS
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if b"READY=1" in notify.recv(4096):
                    notify.close()
                    return True
            if self.process.poll() is not None:
                notify.close()
                return False
        raise RuntimeError("the daemon does not become ready:\n" + self.log())

    def log(self):
        """The last lines of the daemon's log."""
        return "".join(text_of(f"{self.work}/daemon.log").splitlines(True)[-30:])

    def daemon_pid(self):
        return next((pid for kind, pid in processes() if kind == "daemon"), None)

    def kill(self):
        """Kills the daemon where it stands, and waits for its end."""
        if pid := self.daemon_pid():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        # strace waits for what the daemon left behind, which only the next daemon ends.
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        if self.process and self.process.poll() is None:
            if pid := self.daemon_pid():
                os.kill(pid, signal.SIGTERM)
            self.process.wait(PATIENCE)

    def close(self, keep=False):
        """Ends everything of it; keeps its files if asked to."""
        World.open.remove(self)
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for server in self.servers:
            with contextlib.suppress(OSError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        for number in SOCKETS:
            os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), number)
        if not keep:
            shutil.rmtree(self.work)

    @classmethod
    def close_all(cls):
        """Ends what a part left that failed in the middle: the next one has the same ports. Keeps its files."""
        for world in list(cls.open):
            with contextlib.suppress(Exception):
                world.close(keep=True)

    def ask(self, method, path, body=None):
        connection = UnixConnection(f"{self.work}/control.sock")
        try:
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def status(self):
        return self.ask("GET", "/api/v1/status")[1]

    def target(self, name):
        return next(row for row in self.status()["targets"] if row["target"] == f"{name}/live")

    # ---- The forge ----

    def body(self, name, commit, ref="refs/heads/main"):
        return json.dumps({
            "ref": ref, "before": "0" * 40, "after": commit, "commits": [], "pusher": {"name": "alice"},
            "repository": {"full_name": f"alice/{name}", "clone_url": f"https://github.com/alice/{name}.git"},
        }).encode()  # fmt: skip

    def deliver(self, name, commit=None, event="push", ref="refs/heads/main", delivery=None, patience=PATIENCE):
        """Sends a delivery, rightly signed; its status, or None if the connection broke. Notes what was promised."""
        body = self.body(name, commit or self.repos[name].tip, ref)
        delivery = delivery or f"{name}-{next(self.serial)}"
        headers = {
            "Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest(),
        }  # fmt: skip
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=patience)
        try:
            connection.request("POST", f"/hook/{name}", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        with self.lock:
            if answer.status == 202:
                self.promised.append(delivery)
                self.latencies.append(time.monotonic() - begun)
        return answer.status

    # ---- The promises ----

    def is_settled(self):
        """Whether nothing waits for its turn or runs, three times in a row: between the two a job is neither for a moment."""
        for _ in range(3):
            status = self.status()
            now = time.time() * 1000
            soon = [w for row in status["targets"] for w in row["waiting"] if (w.get("next_try") or 0) < now + 3000]
            if status["running"] or soon or any(row["running"] for row in status["targets"]):
                return False
            time.sleep(0.03)
        return True

    def settle(self):
        try:
            wait_for("nothing waits or runs", self.is_settled)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {json.dumps(self.status())}\n{self.log()}") from error

    def not_lost(self):
        """Deliveries that were promised, and that the database lacks."""
        import sqlite3

        store = sqlite3.connect(f"file:{self.state}/hookd.db?mode=ro", uri=True, timeout=PATIENCE)
        known = {name for (name,) in store.execute("SELECT delivery FROM deliveries")}
        verdict = store.execute("PRAGMA quick_check").fetchone()[0]
        store.close()
        lost = [name for name in self.promised if name not in known]
        return ([f"delivery {name} was answered with 202 and is lost" for name in lost]) + (
            [f"the database: {verdict}"] if verdict != "ok" else []
        )

    def disk_used(self):
        """Bytes of the daemon's state and of its log."""
        files = [f"{place}/{name}" for place, _, names in os.walk(self.state) for name in names if "/mirrors/" not in place]
        return sum(os.path.getsize(path) for path in [*files, f"{self.work}/daemon.log"] if os.path.exists(path))

    def overlapped(self):
        path = f"{self.work}/locks/overlapped"
        found = text_of(path).splitlines()
        write(path, "")
        return [f"two builds at once: {each}" for each in found]

    def left_behind(self):
        """What is there, with nothing running, that the manual does not name. A look at the remote may be under way."""
        end = time.monotonic() + PATIENCE / 3
        while (left := self.litter()) and time.monotonic() < end:
            time.sleep(0.05)
        return [f"left behind: {each}" for each in left]

    def litter(self):
        # One git worker may wait for the next call, with its directory.
        left, scratch = [], listed(f"{self.state}/scratch")
        others = [(kind, pid) for kind, pid in processes() if kind != "daemon"]
        if [kind for kind, _ in others] not in ([], ["worker"]):
            left += [f"process {pid}, a {kind}" for kind, pid in others]
        if len(scratch) > 1:
            left += [f"{self.state}/scratch/{each}" for each in scratch]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if "HOOKD_DEPLOYMENT=" in text_of(f"/proc/{pid}/environ"):
                left.append(f"process {pid} of a build: {text_of(f'/proc/{pid}/cmdline')!r}")
        for name, path in self.targets.items():
            releases = sorted(listed(f"{path}/releases"))
            # `keep`, the one before the live one, and the newest failed one.
            if any(not each.startswith("20") for each in releases) or len(releases) > 4:
                left.append(f"{path}/releases: {releases}")
            if not os.path.exists(f"{path}/.git") and "strategy" not in "".join(c for c in self.config if f"repo.{name}." in c):
                left += [f"{path}/{each}" for each in listed(path) if each not in ("current", "releases", "shared")]
        left += [f"{self.state}/payloads/{each}" for each in listed(f"{self.state}/payloads")]
        for place, directories, files in os.walk(f"{self.state}/mirrors"):
            for each in files:
                if each.endswith(".lock") and not each.endswith(".git.lock") or each.startswith(("pack_", "tmp_")):
                    left.append(f"{place}/{each}")
            directories[:] = [each for each in directories if len(each) != 2]
        return left


def listed(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def listen(number, family, address, port):
    """Listens, at that number of a descriptor."""
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(1024)
        os.dup2(made.fileno(), number)


def answers_at(port):
    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    wait_for(f"port {port} answers", answers)


def percentile(values, share):
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def seeded(seed, part):
    return random.Random(f"{seed} {part}")

def pace(seconds):
    """p50 and p99 of durations, as the report writes them."""
    return f"p50 {percentile(seconds, 0.5) * 1000:.0f} ms, p99 {percentile(seconds, 0.99) * 1000:.0f} ms ({len(seconds)})"
