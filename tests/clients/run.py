#!/usr/bin/env python3
"""Runs tests with clients that others released: `run.py MODULE…`, with CLUSTERCTL naming the program under test.

Makes a virtual environment with the clients of requirements.txt below TARGET (else the system's temporary directory), once
for each set of requirements, and runs the modules in it."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
WITHOUT_DEPENDENCIES = HERE / "without-dependencies.txt"


def environment(target: Path) -> Path:
    """The interpreter of a virtual environment that has the clients."""
    wanted = REQUIREMENTS.read_bytes() + WITHOUT_DEPENDENCIES.read_bytes() + sys.version.encode()
    root = target / "clients" / hashlib.sha256(wanted).hexdigest()[:16]
    root.parent.mkdir(parents=True, exist_ok=True)
    # Several tests start at once.
    with open(root.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = root / "complete"
        if not complete.exists():
            make(root)
            complete.touch()
    return root / "bin" / "python"


def make(root: Path) -> None:
    run("python3-venv", [sys.executable, "-m", "venv", "--clear", str(root)])
    pip = [str(root / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    index = "python3-pip, and a package index that pip reaches"
    run(index, [*pip, "install", "--quiet", "--requirement", str(REQUIREMENTS)])
    run(index, [*pip, "install", "--quiet", "--no-deps", "--requirement", str(WITHOUT_DEPENDENCIES)])


def run(needed: str, command: list) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(
            f"The clients cannot be installed: `{' '.join(command)}` failed. It needs {needed}; tests/run installs"
            f" Debian's packages.\n{done.stdout}"
        )


def main() -> None:
    if "CLUSTERCTL" not in os.environ:
        sys.exit("CLUSTERCTL must name the program under test, such as target/debug/clusterctl.")
    target = Path(os.environ.get("TARGET") or tempfile.gettempdir()).absolute()
    python = environment(target)
    os.environ["PYTHONPATH"] = f"{HERE / 'before'}:{HERE}"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    # No proxy between a client and loopback.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    modules = sys.argv[1:] or sorted(path.stem for path in HERE.glob("test_*.py"))
    os.execv(python, [str(python), "-m", "unittest", "--verbose", *modules])


if __name__ == "__main__":
    main()
