"""The whole run: its parts, what they found, and the report."""

import os
import platform
import subprocess
import time
import traceback

from . import disks, floods, kills, remotes, trees
from .world import Peaks, World, run, seeded

# Promised by the manual, kB.
DAEMON_MAX, WORKER_MAX = 64 << 10, 512 << 10
PARTS = {"kills": kills.part, "disks": disks.part, "remotes": remotes.part, "trees": trees.part, "floods": floods.part}


class Hard:
    """The place, the binary, the seed, and the length: `whole`, or bounded."""

    def __init__(self, place, binary, seed, whole, minutes, verbose):
        self.place, self.binary, self.seed, self.whole = f"{place}/disk", binary, seed, whole
        self.minutes, self.verbose = minutes, verbose
        self.failures, self.parts, self.begun = [], {}, time.time()
        self.peaks = Peaks()
        # A file system like that of a server, sparse, and gone with this process's mounts.
        image = f"{place}/image"
        with open(image, "wb") as file:
            file.truncate(8 << 30)
        run("mkfs.ext4", "-q", "-F", image)
        os.makedirs(self.place)
        run("mount", "-o", "loop", image, self.place)

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.place], check=False)

    def dice(self, part):
        return seeded(self.seed, part)

    def run(self, wanted):
        """Runs the parts; prints as it goes."""
        print(f"hard: seed {self.seed}, {'whole' if self.whole else 'bounded'}", flush=True)
        for name in wanted or PARTS:
            begun = time.monotonic()
            try:
                told, failures = PARTS[name](self)
            except Exception:
                told, failures = {}, [traceback.format_exc()]
                World.close_all()
            told["seconds"] = round(time.monotonic() - begun)
            self.parts[name] = told
            for failure in failures:
                print(f"hard: {name}: FAILED: {failure}; seed {self.seed}", flush=True)
            self.failures += [f"{name}: {failure}" for failure in failures]
            print(f"hard: {name}: " + ", ".join(f"{what} {value}" for what, value in told.items()), flush=True)
        for kind, most in (("daemon", DAEMON_MAX), ("worker", WORKER_MAX)):
            peak = self.peaks.peaks[kind]
            print(f"hard: peak memory of a {kind}: {peak >> 10} MiB", flush=True)
            if peak >= most:
                self.failures.append(f"memory: a {kind} took {peak >> 10} MiB, not less than {most >> 10}")
                print(f"hard: FAILED: {self.failures[-1]}; seed {self.seed}", flush=True)

    def report(self):
        """What was done and found, in Markdown."""
        day = time.strftime("%Y-%m-%d", time.gmtime(self.begun))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
        machine = f"{os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, ext4 on a loop device"
        version = run(self.binary, "--version").decode().strip()
        lines = [
            "# Report of a hard run",
            "",
            f"{version}, {day}, {'at full length' if self.whole else 'bounded'}, seed {self.seed}. Machine: {machine}. "
            "Made by `tests/hard/run"
            + (" --whole" if self.whole else "")
            + " --report`; what each part does stands at the top of its file in [parts](parts).",
            "",
            "| promise | broken |",
            "|---|---|",
        ]
        total = {what: sum(told.get(what, 0) for told in self.parts.values()) for what in ("lost", "torn", "overlapped", "left behind")}
        lines += [f"| {what} | {count} |" for what, count in total.items()]
        for kind, most in (("daemon", DAEMON_MAX), ("worker", WORKER_MAX)):
            lines.append(f"| a {kind} below {most >> 10} MiB | peak {self.peaks.peaks[kind] / 1024:.0f} MiB |")
        lines.append(f"| anything else | {len(self.failures)} |")
        for name, told in self.parts.items():
            lines += ["", f"## {name.capitalize()}", "", "| | |", "|---|---|"]
            lines += [f"| {what} | {value} |" for what, value in told.items()]
        lines += ["", *(f"- {failure}" for failure in self.failures)]
        return "\n".join(lines).rstrip() + "\n"

