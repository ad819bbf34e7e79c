"""From a push to what is live: hookd beside the ways that people have with git, rsync and ostree.

Everything is served by nginx and git-http-backend on loopback. git fetches into a bare mirror and checks out into a new directory
with two workers; the others are below. They sync nothing; hookd syncs all of a release before it goes live.
"""

import contextlib, http.client, os, pathlib, random, shutil, statistics, subprocess, time

from .ground import LONG, HOOKD, SECRET, Failed, Server, deliver, empty, free_port, output, push, say, wait

BEFORE = os.environ.get("HOOKD_BEFORE")  # another hookd to compare with
ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
HEAD = ["work", "who", "median/ms", "least", "most", "ratio to git", "ratio to hookd"]
LARGE, SMALL, CHANGED = 20_000, 40, 20
MIRROR_ROUNDS = 25
FIRST = f"first, {LARGE:,} files"
LARGE_PUSH, SMALL_PUSH = (f"{CHANGED} of {files:,} files changed" for files in (LARGE, SMALL))


def run(*arguments, **more):
    return output(*arguments, env=ENV | more.pop("env", {}), **more)


class Early(Exception):
    """What was pushed is live before anybody was told."""


class Origin:
    """A bare repository whose files are made of words and noise, so that they compress by half."""

    def __init__(self, root, name, files, size=(1000, 9000)):
        self.path, self.files, self.size, self.random = root / f"{name}.git", files, size, random.Random(7)
        self.count = 0
        run("git", "-c", "init.defaultBranch=main", "init", "-q", "--bare", str(self.path))
        self.commit(range(files))
        self.pack()

    def pack(self):
        """One pack of all: what a server does of itself."""
        run("git", "-C", str(self.path), "-c", "pack.threads=2", "repack", "-qad")

    def commit(self, changed):
        fast_import = ["git", "-C", str(self.path), "fast-import", "--quiet", "--force"]
        with subprocess.Popen(fast_import, stdin=subprocess.PIPE, env=ENV) as process:
            write = process.stdin.write
            write(b"commit refs/heads/main\nmark :1\ncommitter b <b@localhost> %d +0000\ndata 4\npush" % (1_700_000_000 + self.count))
            write(b"\nfrom refs/heads/main^0" if self.count else b"")
            for number in changed:
                body = self.random.randbytes(self.random.randrange(*self.size)).hex().encode()
                write(b"\nM 100644 inline d%d/e%d/page%d.html\ndata %d\n%s" % (number % 40, number % 400, number, len(body), body))
            write(b"\n")
        self.count += 1
        return run("git", "-C", str(self.path), "rev-parse", "main").strip()

    def push(self, changed=CHANGED):
        return self.commit(self.random.sample(range(self.files), min(changed, self.files)))


class Git:
    """A bare mirror and a new directory for each commit, by the git program."""

    name = "git"

    def __init__(self, place, url):
        self.place, self.url, self.count = place, url, 0
        self.place.mkdir()

    def first(self):
        run("git", "clone", "-q", "--bare", self.url, str(self.place / "mirror"))
        self.checkout("main")

    def push(self, _commit):
        # The branch moves on: from what it names the server tells what is new.
        run("git", "-C", str(self.place / "mirror"), "fetch", "-q", "origin", "+main:main")
        self.checkout("main")

    def checkout(self, commit):
        self.count += 1
        new = self.place / f"release{self.count}"
        new.mkdir()
        index = {"GIT_INDEX_FILE": str(self.place / f"index{self.count}")}
        options = ["-c", "checkout.workers=2", "-c", "checkout.thresholdForParallelism=1"]
        run("git", f"--git-dir={self.place}/mirror", f"--work-tree={new}", *options, "checkout", "-q", "-f", commit, "--", ".", env=index)

    def settle(self):
        releases = sorted(self.place.glob("release*"), key=lambda path: int(path.name.removeprefix("release")))
        run("rm", "-rf", *map(str, releases[:-1]))

    def stop(self):
        pass


class Pull(Git):
    """One directory, changed in place: a fetch, and writing what changed. Nobody can go back, and visitors see it half done."""

    name = "git pull, in place"

    def first(self):
        run("git", "clone", "-q", self.url, str(self.place / "site"))

    def push(self, _commit):
        run("git", "-C", str(self.place / "site"), "pull", "-q", "--ff-only")


class Worktree(Git):
    """A bare mirror and a worktree for each commit."""

    name = "git fetch, git worktree add"

    def checkout(self, commit):
        self.count += 1
        run("git", "-C", str(self.place / "mirror"), "worktree", "add", "-q", "--detach", str(self.place / f"release{self.count}"), commit)


class Shallow(Git):
    """A clone of the newest commit for each release."""

    name = "git clone --depth 1"

    def first(self):
        self.push(None)

    def push(self, _commit):
        self.count += 1
        run("git", "clone", "-q", "--depth", "1", self.url, str(self.place / f"release{self.count}"))


class Copied(Pull):
    """A clone that is pulled, and copied to a directory for each release."""

    def first(self):
        super().first()
        self.copy()

    def push(self, commit):
        super().push(commit)
        self.copy()


class Rsync(Copied):
    """A copy shares with the release before what did not change."""

    name = "git pull, rsync --link-dest"

    def copy(self):
        self.count += 1
        before = [f"--link-dest={self.place}/release{self.count - 1}"] if self.count > 1 else []
        run("rsync", "-a", "--exclude=.git", *before, f"{self.place}/site/", f"{self.place}/release{self.count}/")


class Ostree(Copied):
    """The clone is committed to a repository of ostree, and checked out with hard links."""

    name = "git pull, ostree"

    def first(self):
        run("ostree", "init", f"--repo={self.place}/repo", "--mode=bare-user")
        super().first()

    def copy(self):
        self.count += 1
        repo = f"--repo={self.place}/repo"
        run("ostree", "commit", repo, "--branch=site", "--skip-if-unchanged", "--link-checkout-speedup",
            f"--tree=dir={self.place}/site")
        run("ostree", "checkout", repo, "-U", "-H", "site", str(self.place / f"release{self.count}"))


class Links(Pull):
    """Fetches, and copies the release before with hard links: the least that a new directory costs, if nobody writes in place."""

    name = "limit: git fetch, cp -al"

    def push(self, _commit):
        self.count += 1
        run("git", "-C", str(self.place / "site"), "fetch", "-q")
        run("cp", "-al", str(self.place / "site"), str(self.place / f"release{self.count}"))


class Changed(Pull):
    """Fetches with libgit2 in this process, and writes what changed into the one directory: the least that a push costs."""

    name = "limit: fetch by libgit2, write what changed"

    def push(self, _commit):
        import pygit2

        repo = pygit2.Repository(str(self.place / "site"))
        before = repo.revparse_single("refs/remotes/origin/main").tree
        repo.remotes["origin"].fetch(["+refs/heads/main:refs/remotes/origin/main"])
        after = repo.revparse_single("refs/remotes/origin/main").tree
        for delta in before.diff_to_tree(after).deltas:
            (self.place / "site" / delta.new_file.path).write_bytes(repo[delta.new_file.id].data)


class Hookd:
    """A daemon, and a signed delivery for each push."""

    def __init__(self, place, url, name="hookd", program=HOOKD, lines=""):
        self.name, self.place = name, place
        place.mkdir()
        (place / "secret").write_bytes(SECRET)
        (place / "secret").chmod(0o600)
        port = free_port()
        (place / "hookd.toml").write_text(
            f'listen = "127.0.0.1:{port}"\nstate_dir = "{place}/state"\ncontrol = "{place}/control.sock"\n'
            f'[repo.site]\nurl = "{url}"\nfull_name = "bench/site"\nforge = "github"\nsecret = "file:secret"\npoll = "off"\n'
            f'[repo.site.deploy.production]\nbranch = "main"\npath = "{place}/www"\n{lines}'
        )
        command = [program, "serve", "--config", place / "hookd.toml", "--log-format", "text"]
        self.server = Server(*command, port=port, env=ENV).__enter__()

    def first(self):
        self.push("1" * 40)

    def push(self, commit):
        before = self.live()
        # It looks at the remote after each deployment, and may have seen this push then.
        if before and before.endswith(commit[:7]):
            raise Early
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=LONG)) as connection:
            deliver(connection, "site", push("site", 0, commit))
        wait(f"{self.name}: a new release", lambda: self.live() != before)

    def live(self):
        with contextlib.suppress(OSError):
            return os.readlink(self.place / "www/current")

    def settle(self):
        """Until what follows a deployment is done: its end, the look at the remote, the spare."""
        quiet, before = 0, None
        while quiet < 10:
            time.sleep(0.1)
            now = self.work()
            quiet, before = quiet + 1 if now == before else 0, now

    def work(self):
        """The children, and the processor time of each: a worker that waits for the next fetch takes none."""
        found = {}
        for thread in pathlib.Path(f"/proc/{self.server.process.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in thread.read_text().split():
                    with contextlib.suppress(OSError):
                        stat = pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(") ", 1)[1].split()
                        found[child] = (stat[11:13], stat[0] == "D")
        return found

    def stop(self):
        self.server.stop()


class Pushes:
    """What was measured, milliseconds by work and contender, and why a contender could not be."""

    def __init__(self, directory, base, root, is_short):
        self.place, self.base, self.root, self.is_short = directory, base, root, is_short
        self.times, self.failed, self.packs = {}, {}, {}

    def contenders(self, place, url, wanted):
        place.mkdir()
        found = []
        for name, make in wanted.items():
            try:
                found.append(make(place / name, url))
            except Failed as error:
                self.failed["start", name] = str(error)
        return found

    def measure(self, what, contenders, turn, act):
        """Lets each act, in an order that changes; who fails is out."""
        turn %= len(contenders) or 1
        for contender in contenders[turn:] + contenders[:turn]:
            os.sync()  # what others wrote is not this one's to bring to the disk
            try:
                begun = time.perf_counter()
                act(contender)
                took = (time.perf_counter() - begun) * 1000
                contender.settle()
            except Early:
                say(f"{contender.name} had deployed this before it was told")
                continue
            except Failed as error:
                say(f"{contender.name}: {error}")
                self.failed[what, contender.name] = str(error)
                contenders.remove(contender)
                contender.stop()
                continue
            if what:
                self.times.setdefault(what, {}).setdefault(contender.name, []).append(took)

    def all(self):
        """Who brings pushes live."""
        found = {"git": Git, "hookd": Hookd}
        if BEFORE:
            found["before"] = lambda place, url: Hookd(place, url, "hookd before", BEFORE)
        tools = {Pull: "git", Worktree: "git", Shallow: "git", Rsync: "rsync", Ostree: "ostree", Links: "cp"}
        if not self.is_short:
            found["no-spare"] = lambda place, url: Hookd(place, url, "hookd, spare = false", lines="spare = false\n")
            found |= {peer.__name__: peer for peer, tool in tools.items() if shutil.which(tool)}
        with contextlib.suppress(ImportError):
            import pygit2  # noqa: F401

            found["Changed"] = Changed
        return found

    def site(self, files, rounds, first):
        """Pushes to a site of so many files, after first deployments of it."""
        origin = Origin(self.root, f"site{files}", files)
        url = f"{self.base}/site{files}.git"
        beginners = {"git": Git, "hookd": Hookd, "Shallow": Shallow}
        if BEFORE:
            beginners["before"] = self.all()["before"]
        for turn in range(first):
            say(f"push to live: first deployment of {files:,} files, round {turn + 1} of {first}")
            place = self.place / "first"
            here = self.contenders(place, url, beginners)
            self.measure(FIRST, here, turn, lambda contender: contender.first())
            for contender in here:
                contender.stop()
            empty(place)
        what = f"{CHANGED} of {files:,} files changed"
        with self.running(url, self.all()) as here:
            for turn in range(rounds):
                say(f"push to live: {what}, round {turn + 1} of {rounds}")
                commit = origin.push()
                self.measure(what, here, turn, lambda contender: contender.push(commit))
        shutil.rmtree(origin.path)

    @contextlib.contextmanager
    def running(self, url, wanted):
        """Contenders that have deployed once."""
        place = self.place / "running"
        here = self.contenders(place, url, wanted)
        try:
            self.measure("", here, 0, lambda contender: contender.first())
            yield here
        finally:
            for contender in here:
                contender.stop()
            empty(place)

    def slopes(self, sizes, changes, rounds):
        """Pushes to sites of small files: with a few changed by the number of files, and with more changed in that of 20,000."""
        for files in sizes:
            say(f"slopes: a site of {files:,} files")
            origin = Origin(self.root, f"slope{files}", files, (200, 800))
            with self.running(f"{self.base}/slope{files}.git", {"git": Git, "hookd": Hookd}) as here:
                for changed in [CHANGED, *(changes if files == LARGE else [])]:
                    for turn in range(rounds):
                        commit = origin.push(changed)
                        self.measure(("slope", files, changed), here, turn, lambda contender: contender.push(commit))
            shutil.rmtree(origin.path)

    def mirror(self, counts):
        """Pushes to a small site, each brought live, and what one takes after so many: how a mirror fares that is fetched into all the time."""
        origin = Origin(self.root, "mirror", SMALL)
        with self.running(f"{self.base}/mirror.git", {"hookd": Hookd}) as here:
            [hookd] = here
            for count in counts:
                while origin.count < count:
                    with contextlib.suppress(Early):
                        hookd.push(origin.push(1))
                    if origin.count % 250 == 0:
                        say(f"mirror: {origin.count:,} of {counts[-1]:,} pushes")
                        origin.pack()
                origin.pack()
                for turn in range(MIRROR_ROUNDS):
                    commit = origin.push(1)
                    self.measure(("mirror", count), here, turn, lambda contender: contender.push(commit))
                packs = list(hookd.place.glob("state/**/objects/pack/*.pack"))
                self.packs[count] = (len(packs), sum(pack.stat().st_size for pack in packs) / 2**20)
        shutil.rmtree(origin.path)

    def mirror_rows(self):
        for count, (packs, size) in self.packs.items():
            if mine := self.median(("mirror", count)):
                yield [f"{count:,}", f"{mine:,.0f}", f"{packs:,}", f"{size:.1f}"]

    def median(self, what, name="hookd"):
        found = self.times.get(what, {}).get(name)
        return statistics.median(found) if found else None

    def rows(self):
        for what in [FIRST, LARGE_PUSH, SMALL_PUSH]:
            for name, times in self.times.get(what, {}).items():
                figures = [f"{value:,.0f}" for value in (statistics.median(times), min(times), max(times))]
                yield [what, name, *figures, *(ratio(self.median(what, name), self.median(what, to)) for to in ("git", "hookd"))]
            for name in [name for failed, name in self.failed if failed == what]:
                yield [what, name, f"failed: {self.failed[what, name]}", "", "", "", ""]

    def slope_rows(self):
        slopes = [what for what in self.times if isinstance(what, tuple)]
        for _, files, changed in slopes:
            mine, other = (self.median(("slope", files, changed), name) for name in ("hookd", "git"))
            cells = [f"{value:,.0f}" if value else self.failed.get((("slope", files, changed), name), "") for value, name in ((mine, "hookd"), (other, "git"))]
            yield [f"{files:,}", f"{changed:,}", *cells, ratio(mine, other)]


def ratio(one, other):
    return f"{one / other:.2f}" if one and other else ""


@contextlib.contextmanager
def served(directory):
    """nginx with git-http-backend; the address, and the directory of the repositories."""
    port, place = free_port(), directory / "served"
    root = place / "srv"
    root.mkdir(parents=True)
    backend = run("git", "--exec-path").strip() + "/git-http-backend"
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(f"{kind}_temp_path {place}/{kind}; " for kind in ["client_body", "fastcgi", "proxy", "uwsgi", "scgi"])
    (place / "nginx.conf").write_text(
        f"daemon off; pid {place}/pid; error_log {place}/error.log; {user} worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; location / {{"
        f" fastcgi_pass unix:{place}/fcgi; fastcgi_param SCRIPT_FILENAME {backend}; fastcgi_param GIT_PROJECT_ROOT {root};"
        " fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param PATH_INFO $uri; fastcgi_param QUERY_STRING $query_string;"
        " fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;"
        " fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; fastcgi_param GIT_PROTOCOL $http_git_protocol; } } }\n"
    )
    backends = Server("fcgiwrap", "-c", "2", "-s", f"unix:{place}/fcgi", env=ENV)
    try:
        with Server(shutil.which("nginx"), "-p", place, "-c", place / "nginx.conf", port=port):
            wait("fcgiwrap", (place / "fcgi").exists)
            yield f"http://127.0.0.1:{port}", root
    finally:
        backends.stop()
        empty(place)
