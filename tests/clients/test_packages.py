"""The released package manager of DC/OS' command line, as its `dcos package` uses it."""

import json
import os
import subprocess
import unittest

import requests
from dcos.errors import DCOSException
from dcos.packagemanager import PackageManager

from cluster import ClusterTest, serving_files


class Packages(ClusterTest):
    agents = 1

    def setUp(self):
        super().setUp()
        # Where the client keeps what it knows of clusters.
        os.environ["DCOS_DIR"] = str(self.cluster.dir / "dcos")
        self.addCleanup(os.environ.pop, "DCOS_DIR")
        self.packages = PackageManager(self.cluster.url)

    def test_a_package_is_found_installed_listed_and_uninstalled(self):
        self.assertTrue(self.packages.enabled())
        self.assertTrue(self.packages.has_capability("PACKAGE_MANAGEMENT"))
        found = self.packages.search_sources("static-*")["packages"]
        self.assertEqual([package["name"] for package in found], ["static-site"])
        site = self.packages.get_package_version("static-site", None)
        self.assertEqual(site.version(), found[0]["currentVersion"])
        self.assertEqual(site.package_versions(), list(found[0]["versions"]))
        self.assertIn("properties", site.config_json())
        options = {"service": {"name": "web"}, "site": {"page": "hello", "server": "python3"}}
        self.assertEqual(site.marathon_json(options)["id"], "/web")
        self.packages.install_app(site, options)
        self.until_running("/web", 1)
        [web] = self.packages.installed_apps("static-site", None)
        self.assertEqual((web["appId"], web["version"]), ("/web", site.version()))
        [task] = self.client.list_tasks("/web")
        self.deployed()
        self.assertEqual(requests.get(f"http://{task.host}:{task.ports[0]}/", timeout=5).text, "hello")
        self.assertTrue(self.packages.uninstall_app("static-site", False, None))
        self.assertEqual(self.packages.installed_apps(None, None), [])

    def test_an_update_takes_the_place_of_one_that_is_not_done(self):
        def clusterctl(*arguments):
            environment = {**os.environ, "CLUSTERCTL_URL": self.cluster.url, "XDG_CONFIG_HOME": str(self.cluster.dir / "config")}
            done = subprocess.run([os.environ["CLUSTERCTL"], "package", *arguments, "-y"], env=environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            return done.returncode, done.stdout

        status, said = clusterctl("install", "static-site", "--set", "service.name=web", "--set", "site.server=python3")
        self.assertEqual(status, 0, said)
        # No machine here has so many: it waits for ever.
        status, said = clusterctl("update", "web", "--set", "service.cpus=1000", "--no-wait")
        self.assertEqual(status, 0, said)
        status, said = clusterctl("update", "web", "--set", "service.cpus=0.1")
        self.assertEqual(status, 8, said)
        self.assertIn("/web is being changed", said)
        self.assertIn("--force", said)
        status, said = clusterctl("update", "web", "--set", "service.cpus=0.1", "--force")
        self.assertEqual(status, 0, said)
        self.assertIn("/web is updated", said)
        app = self.client.get_app("/web")
        self.assertEqual((app.cpus, len(app.tasks), app.deployments), (0.1, 1, []))

    def test_mistakes_are_told_in_words_of_the_client(self):
        with self.assertRaisesRegex(DCOSException, "nothing-of-it"):
            self.packages.get_package_version("nothing-of-it", None)
        site = self.packages.get_package_version("static-site", None)
        with self.assertRaisesRegex(DCOSException, "instances"):
            self.packages.install_app(site, {"service": {"instances": "many"}})
        with self.assertRaisesRegex(DCOSException, "not installed"):
            self.packages.uninstall_app("static-site", False, None)

    def test_repositories_are_listed_added_and_removed(self):
        index = self.cluster.dir / "index"
        index.mkdir()
        (index / "repo.json").write_text(json.dumps({"packages": []}))
        names = lambda: [one["name"] for one in self.packages.get_repos()["repositories"]]
        [own] = names()
        with serving_files(index) as url:
            self.packages.add_repo("ours", f"{url}/repo.json", 0)
            self.assertEqual(names(), ["ours", own])
            with self.assertRaises(DCOSException):
                self.packages.add_repo("ours", f"{url}/repo.json", None)
        self.packages.remove_repo("ours")
        self.assertEqual(names(), [own])


if __name__ == "__main__":
    unittest.main()
