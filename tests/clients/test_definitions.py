"""The definitions of ../definitions: each accepted one runs as its own command demands, each refused one is refused in full.

In them @FILES@ is a directory that tasks may fetch from and mount, @SUM@ names an uploaded artifact, @HOST1@ and @HOST2@ are
the agents, @PORT@ is a free port, @USER@ this user (nobody, for root), @READ_ONLY@ is RO where that can be, and @PYTHON@ the
interpreter. A command that finds what its definition promises says `ready`, which its health check waits for; one that does
not ends, and its end fails the test."""

import hashlib
import json
import os
import pwd
import subprocess
import sys
import tarfile
import unittest
from pathlib import Path

import requests

from cluster import Cluster, ClusterTest

DEFINITIONS = Path(__file__).resolve().parent.parent / "definitions"
# Fails once, as it should.
MAY_FAIL = {"backoff"}
HTTPS = """
import http.server, os, ssl, sys
server = http.server.ThreadingHTTPServer(('0.0.0.0', int(os.environ['PORT0'])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f'{sys.argv[1]}/certificate.pem', f'{sys.argv[1]}/key.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def make_files(directory):
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "greeting.txt").write_text("hello")
    (directory / "hello.sh").write_text("#!/bin/sh\necho hello from a script\n")
    (directory / "https.py").write_text(HTTPS)
    (directory / "note.txt").write_text("packed")
    with tarfile.open(directory / "packed.tar.gz", "w:gz") as archive:
        archive.add(directory / "note.txt", "inside/note.txt")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", directory / "key.pem", "-out", directory / "certificate.pem"],
        check=True, capture_output=True,
    )


class Definitions(ClusterTest):
    """One cluster for all: they are small, and live side by side."""

    def make_cluster(self):
        return Cluster(agents=2, make_files=make_files)

    def setUp(self):
        super().setUp()
        greeting = (self.cluster.files / "greeting.txt").read_bytes()
        sum_ = hashlib.sha256(greeting).hexdigest()
        kept = requests.put(f"{self.cluster.url}/clusterctl/v1/artifacts/sha256/{sum_}", data=greeting,
                            headers={"Content-Type": "application/octet-stream"}, timeout=30)
        self.assertIn(kept.status_code, [200, 201], kept.text)
        slaves = requests.get(f"{self.cluster.url}/slaves", timeout=30).json()["slaves"]
        first, second = sorted(slave["hostname"] for slave in slaves)
        self.values = {
            "FILES": str(self.cluster.files), "SUM": sum_, "HOST1": first, "HOST2": second,
            "PORT": str(self.cluster.first_port + 7), "PYTHON": sys.executable,
            # Without root a volume is a link, which nothing can make read-only.
            "READ_ONLY": "RO" if os.geteuid() == 0 else "RW",
            "USER": "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name,
        }

    def read(self, path):
        text = path.read_text()
        for name, value in self.values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def post(self, path, text):
        return requests.post(self.cluster.url + path, data=text.encode(), timeout=30,
                             headers={"Content-Type": "application/json"})

    def test_what_is_accepted_runs(self):
        paths = sorted(DEFINITIONS.glob("accepted/*.json"))
        self.assertGreaterEqual(len(paths), 20)
        for path in paths:
            with self.subTest(path.stem):
                self.run_definition(path)

    def run_definition(self, path):
        text = self.read(path)
        definition = json.loads(text)
        is_group = "groups" in definition or "apps" in definition
        answer = self.post("/v2/groups" if is_group else "/v2/apps", text)
        self.assertEqual(answer.status_code, 201, answer.text)
        deployment = answer.headers["Marathon-Deployment-Id"]
        self.settled(definition["id"], deployment, path.stem in MAY_FAIL)
        for wanted, app in self.apps(definition):
            self.assertEqual(app["tasksRunning"], wanted.get("instances", 1), app)
            self.assertEqual(app["tasksHealthy"], app["tasksRunning"] if app.get("healthChecks") else 0, app)
            self.assert_placed(wanted, [task["host"] for task in app["tasks"]])
            # What is read is what could be sent: it changes nothing.
            own = {key: app[key] for key in app if key not in NOT_SENT}
            again = requests.put(f"{self.cluster.url}/v2/apps{app['id']}", json=own, timeout=30)
            self.assertEqual(again.status_code, 200, again.text)
            self.assertEqual(self.app(app["id"])["version"], app["version"])
        gone = requests.delete(f"{self.cluster.url}/v2/{'groups' if is_group else 'apps'}{definition['id']}", timeout=30)
        self.assertEqual(gone.status_code, 200, gone.text)
        self.deployed(gone.json())

    def settled(self, name, deployment, may_fail):
        """Waits for the end of its deployment, and for no task to end before that."""
        stream = self.client.event_stream(raw=True)
        for raw in stream:
            event = json.loads(raw)
            if event["eventType"] == "status_update_event" and event["appId"].startswith(name) and not may_fail:
                self.assertNotIn(event["taskStatus"], {"TASK_FAILED", "TASK_FINISHED", "TASK_ERROR", "TASK_DROPPED"}, event)
            if deployment not in [one.id for one in self.client.list_deployments()]:
                return
        self.fail("the stream of events ended")

    def app(self, app_id):
        return requests.get(f"{self.cluster.url}/v2/apps{app_id}", timeout=30).json()["app"]

    def apps(self, definition, base=""):
        """Each app of a definition and what became of it."""
        own = definition["id"] if definition["id"].startswith("/") else f"{base}/{definition['id']}"
        inner = definition.get("groups", []) + definition.get("apps", [])
        if not inner:
            yield definition, self.app(own)
        for part in inner:
            yield from self.apps(part, own)

    def assert_placed(self, wanted, hosts):
        for _, operator, *value in wanted.get("constraints") or []:
            per_host = sorted(hosts.count(host) for host in set(hosts))
            if operator == "UNIQUE":
                self.assertEqual(per_host, [1] * len(hosts))
            elif operator == "CLUSTER":
                self.assertEqual(len(per_host), 1)
            elif operator in {"GROUP_BY", "MAX_PER"}:
                self.assertEqual(per_host, [len(hosts) // 2] * 2, value)

    def test_what_is_refused_is_refused_in_full(self):
        paths = sorted(path for path in DEFINITIONS.glob("refused/*.json") if ".expected" not in path.name)
        self.assertGreaterEqual(len(paths), 10)
        for path in paths:
            with self.subTest(path.stem):
                answer = self.post("/v2/pods" if path.stem == "pod" else "/v2/apps", self.read(path))
                got = {"status": answer.status_code, "body": answer.json()}
                expected = path.with_suffix(".expected.json")
                if os.environ.get("UPDATE_EXPECTED"):
                    text = json.dumps(got, indent=1, ensure_ascii=False).replace(self.values["FILES"], "@FILES@")
                    expected.write_text(text + "\n")
                self.assertEqual(got, json.loads(self.read(expected)))
        self.assertEqual(self.client.list_apps(), [])


# What the server adds to a definition.
NOT_SENT = {
    "version", "versionInfo", "tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy", "deployments", "tasks",
    "lastTaskFailure", "readinessCheckResults", "taskStats",
}


if __name__ == "__main__":
    unittest.main()
