"""Namespaces of one's own."""

import os
import sys

INSIDE = "HOOKD_HARD_INSIDE"


def alone(script):
    """Goes on as the first process but one of namespaces of its own: what it starts and mounts ends with it."""
    if os.environ.get(INSIDE):
        return
    if os.geteuid():
        sys.exit(f"{os.path.basename(script)}: needs root, for namespaces and mounts")
    init = '"$@"; exit $?'
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", init, "sh", sys.executable]
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*words, os.path.abspath(script), *sys.argv[1:]])
