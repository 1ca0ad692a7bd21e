"""What processes use, from /proc, and a contestant as a process whose every descendant is counted."""

import ctypes
import os
import resource
import signal as signals
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


def _stat(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid):
    """User and system time of a process and of its children that have ended and were waited for."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / TICKS if fields else 0.0


def descendants(pid):
    """The processes below one that live now."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(entry)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, front = [], [pid]
    while front:
        below = children.get(front.pop(), [])
        found.extend(below)
        front.extend(below)
    return found


def signal(pid, number):
    """Sends a signal to one that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def memory_kib(pids):
    """What processes hold of memory, shared pages divided by those who share them."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
        except OSError:
            continue
    return total


class Run:
    """The figures of one run: seconds of wall and CPU, exit status, and the peak of memory where it was watched."""

    def __init__(self, status, wall, cpu, memory):
        self.status, self.wall, self.cpu, self.memory = status, wall, cpu, memory


def run(command, log, watch_memory, cwd=None, env=None, timeout=1800):
    """Runs a command, and then ends what it left in the background (connections that it kept open), which is its cost too.

    It runs below a process of its own that adopts orphans, so that what they used is counted whatever became of their
    parents. Memory is watched only on demand: looking costs more than some contestants do.
    """
    reader, writer = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        for number in (signals.SIGTERM, signals.SIGHUP, signals.SIGINT):
            signals.signal(number, signals.SIG_DFL)
        os.close(reader)
        status = 1
        try:
            status = _supervise(command, log, watch_memory, cwd, env, timeout, writer)
        finally:
            os._exit(status)
    os.close(writer)
    try:
        with os.fdopen(reader) as pipe:
            text = pipe.read()
    except BaseException:
        # Told to end: so is all that runs. The supervisor last, since it adopts what loses its parent meanwhile.
        for number in (signals.SIGTERM, signals.SIGKILL):
            for pid in descendants(supervisor):
                signal(pid, number)
        signal(supervisor, signals.SIGKILL)
        raise
    finally:
        os.waitpid(supervisor, 0)
    fields = text.split()
    if len(fields) != 4:
        raise SystemExit(f"{command[0]}: the run was cut off, see {log}")
    return Run(int(fields[0]), float(fields[1]), float(fields[2]), int(fields[3]))


def _supervise(command, log, watch_memory, cwd, env, timeout, writer):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return 1
    begin = time.monotonic()
    with open(log, "wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env
        )
    ended, peak = threading.Event(), [0]
    own = os.getpid()

    def watch():
        while not ended.wait(0.1):
            peak[0] = max(peak[0], memory_kib(descendants(own)))

    watcher = threading.Thread(target=watch) if watch_memory else None
    if watcher:
        watcher.start()
    try:
        status = child.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        status = child.wait()
    wall = time.monotonic() - begin
    ended.set()
    if watcher:
        watcher.join()
    for number in (signals.SIGTERM, signals.SIGKILL):
        for pid in descendants(own):
            signal(pid, number)
        if _reap(5):
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.write(writer, f"{status} {wall:.4f} {used.ru_utime + used.ru_stime:.4f} {peak[0]}".encode())
    return 0


def _reap(timeout):
    """Waits for all children; says whether none is left."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return True
    return False
