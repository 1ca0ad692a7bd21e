"""During a rolling restart enough instances answer, at every moment: asked of every instance's port on a clock."""

import math
import socket
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from marathon.models import MarathonApp, MarathonHealthCheck
from marathon.models.app import MarathonUpgradeStrategy, PortDefinition

from cluster import ClusterTest

INSTANCES = 4
EVERY_SECONDS = 0.05

# Says whose answer it is, so that a port that went to another instance is not counted twice.
SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ['MESOS_TASK_ID'].encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT0'])), Answer).serve_forever()
"""


def ask(address):
    """Which instance answers there, if any."""
    try:
        with socket.create_connection(address, timeout=5) as stream:
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := stream.recv(4096):
                answer += chunk
    except OSError:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode() if b" 200 " in head.split(b"\r\n")[0] else None


class Capacity(ClusterTest):
    def setUp(self):
        super().setUp()
        script = self.cluster.dir / "server.py"
        script.write_text(SERVER)
        self.command = f"exec {sys.executable} {script}"

    def test_a_rolling_restart_keeps_as_many_answering_as_it_must(self):
        # Minimum, maximum over: the second of two that are equal may start one more, or nothing could move.
        for number, (minimum, over) in enumerate([(1.0, 0.5), (0.75, 0.0), (0.5, 0.25), (1.0, 0.0), (0.0, 0.0)]):
            with self.subTest(minimumHealthCapacity=minimum, maximumOverCapacity=over):
                self.restart(f"/web-{number}", minimum, over)

    def restart(self, app_id, minimum, over):
        self.client.create_app(app_id, MarathonApp(
            cmd=self.command, cpus=0.1, mem=32, instances=INSTANCES,
            port_definitions=[PortDefinition(port=0, protocol="tcp", name="http")],
            health_checks=[MarathonHealthCheck(
                protocol="HTTP", path="/", port_index=0, grace_period_seconds=60, interval_seconds=1,
                timeout_seconds=10, max_consecutive_failures=10, delay_seconds=0)],
            upgrade_strategy=MarathonUpgradeStrategy(minimum_health_capacity=minimum, maximum_over_capacity=over),
        ))
        self.deployed()
        before = set(self.running(app_id))
        least, most = math.ceil(INSTANCES * minimum), math.floor(INSTANCES * (1 + over))
        if least == most:
            most += 1
        deployment = self.client.restart_app(app_id)["deploymentId"]
        answered, present = [], []
        with ThreadPoolExecutor(max_workers=4 * INSTANCES) as pool:
            following = time.monotonic()
            while True:
                over_now = deployment not in [one.id for one in self.client.list_deployments()]
                tasks = self.client.list_tasks(app_id)
                answers = set(pool.map(ask, {(task.host, task.ports[0]) for task in tasks})) - {None}
                answered.append(len(answers))
                present.append(len([task for task in tasks if task.state != "TASK_KILLING"]))
                if over_now:
                    break
                following = max(following + EVERY_SECONDS, time.monotonic())
                time.sleep(max(0, following - time.monotonic()))
        self.assertGreater(len(answered), 5, "there was nothing to see")
        self.assertGreaterEqual(min(answered), least, answered)
        self.assertLessEqual(max(present), most, present)
        self.assertFalse(before & set(self.running(app_id)), "all are new")
        self.deployed(self.client.delete_app(app_id))


if __name__ == "__main__":
    unittest.main()
