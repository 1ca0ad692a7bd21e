"""A cluster on this machine for one test, and how tests wait: on events, never on time."""

import contextlib
import faulthandler
import functools
import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import marathon
import requests

# A test that hangs says where, and ends.
LIMIT_SECONDS = 240


def claimed_ports(count):
    """The first of `count` ports that no other test takes: whoever listens on the one before them has them all."""
    while True:
        first = random.randrange(22_000, 30_000, count + 1)
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
            claim.listen(1)
            return claim, first + 1
        except OSError:
            claim.close()


class Cluster:
    """`clusterctl up` on free ports, with its state in a directory of its own."""

    def __init__(self, agents=2, resources="cpus:8;mem:4096;disk:4096", make_files=None):
        self.dir = Path(tempfile.mkdtemp(prefix="clients-"))
        self.dir.chmod(0o755)
        # Where tasks may fetch from and what they may mount, if there is anything.
        self.files = self.dir / "files"
        if make_files:
            make_files(self.files)
        self.claim, self.first_port = claimed_ports(400)
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.dir / "config")}
        for name in ["PYTHONPATH", "CLUSTERCTL_URL", "CLUSTERCTL_LOG"]:
            environment.pop(name, None)
        command = [
            os.environ["CLUSTERCTL"], "up", "--json", "--port", "0", "--dir", str(self.dir / "state"),
            "--agents", str(agents), "--resources", resources, "--task-ports", f"{self.first_port}-{self.first_port + 399}",
        ]
        if make_files:
            command += ["--file-root", str(self.files), "--allow-host-path", str(self.files)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            self.url = self.hear("up_ready")["url"]
        except BaseException:
            self.stop()
            raise

    def hear(self, kind):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["type"] == kind:
                return event
            if event["type"] == "error":
                raise AssertionError(f"`clusterctl up` failed: {line}")
        raise AssertionError(f"`clusterctl up` ended before it said {kind}")

    def stop(self):
        """As Ctrl-C does; its tasks end with it."""
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):
            self.hear("up_stopped")
        self.process.wait()
        self.process.stdout.close()
        self.claim.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    """A test with a cluster of its own and the released Python client."""

    agents = 2
    maxDiff = None

    def setUp(self):
        faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        self.cluster = self.make_cluster()
        self.addCleanup(self.cluster.stop)
        self.client = marathon.MarathonClient(self.cluster.url)

    def make_cluster(self):
        return Cluster(agents=self.agents)

    def until(self, so, what):
        """Waits, on the event stream, until `so()` is true. The stream begins with an event, so that nothing is missed."""
        stream = self.client.event_stream(raw=True)
        for _ in stream:
            if so():
                stream.close()
                return
        self.fail(f"the stream of events ended before {what}")

    def deployed(self, answer=None):
        """Waits until a deployment, or every one, is over."""
        wanted = answer and (answer.get("deploymentId") or answer["id"])

        def over():
            ids = [deployment.id for deployment in self.client.list_deployments()]
            return wanted not in ids if wanted else not ids

        self.until(over, f"deployment {wanted or ''} is over")

    def running(self, app):
        return sorted(task.id for task in self.client.list_tasks(app) if task.state == "TASK_RUNNING")

    def until_running(self, app, count, but=()):
        def so():
            ids = self.running(app)
            return len(ids) == count and not set(ids) & set(but)

        self.until(so, f"{count} instances of {app} run")


def port_answers(host, port):
    with contextlib.suppress(OSError, requests.RequestException):
        return requests.get(f"http://{host}:{port}/", timeout=5).status_code == 200
    return False


class Recorder(threading.Thread):
    """Follows the event stream with the client's own parser until the stream ends; what it raises is kept."""

    def __init__(self, url, **how):
        super().__init__(daemon=True)
        self.stream = marathon.MarathonClient(url).event_stream(**how)
        self.events = []
        self.error = None
        self.begun = threading.Event()
        self.start()
        self.begun.wait()

    def run(self):
        try:
            for event in self.stream:
                self.events.append(event)
                self.begun.set()
        except Exception as error:  # whatever the client does not understand
            self.error = error
        self.begun.set()

    def types(self):
        return {event.event_type for event in self.events}


def serving(port="$PORT0"):
    """A command that answers over HTTP."""
    return f"exec {sys.executable} -m http.server --bind 0.0.0.0 {port}"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving_files(directory):
    """A server of files as long as it is entered; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
