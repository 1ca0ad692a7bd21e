"""`clusterctl bundle`: what a package brings along goes in one file to where there is no internet. The command line, on a cluster."""

import hashlib
import json
import os
import subprocess
import unittest

from cluster import ClusterTest, serving_files

PACKAGE = """\
name: shop
version: 1.0.0
description: Sells wares.
maintainer: us
needs: {mem: 32, cpus: 0.1}
"""
CONFIG = """\
type: object
properties: {}
"""
SERVICE = """\
{"id": "{{ id }}", "cmd": "cat wares.txt && exec sleep 1000", "cpus": 0.1, "mem": 32,
 "healthChecks": [{"protocol": "COMMAND", "command": {"value": "grep -q biscuits stdout"}, "intervalSeconds": 1, "gracePeriodSeconds": 60}],
 "fetch": [{"uri": "{{ artifacts.wares.uri }}", "destPath": "wares.txt", "extract": false}]}
"""


class Bundles(ClusterTest):
    agents = 1

    def clusterctl(self, *arguments, cache, fails=False):
        environment = {**os.environ, "XDG_CONFIG_HOME": str(self.cluster.dir / "config"), "CLUSTERCTL_URL": self.cluster.url,
                       "XDG_CACHE_HOME": str(self.cluster.dir / cache)}
        done = subprocess.run([os.environ["CLUSTERCTL"], *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        self.assertEqual(done.returncode != 0, fails, done.stdout)
        return done.stdout

    def package(self, name, source):
        directory = self.cluster.dir / "packages" / name / "1.0.0"
        directory.mkdir(parents=True)
        (directory / "package.yaml").write_text(PACKAGE.replace("shop", name))
        (directory / "config.yaml").write_text(CONFIG)
        (directory / "service.json.tera").write_text(SERVICE)
        artifacts = {"wares": {"file": "wares.txt", "extract": False, "sources": [source]}}
        (directory / "resource.yaml").write_text(json.dumps({"artifacts": artifacts}))
        return directory

    def test_a_package_is_installed_from_a_bundle_alone(self):
        web = self.cluster.dir / "web"
        web.mkdir()
        (web / "wares.txt").write_text("tea and biscuits\n")
        sums = {name: hashlib.new(name, b"tea and biscuits\n").hexdigest() for name in ["sha256", "sha512"]}
        bundle = self.cluster.dir / "shop.bundle"
        packages = self.cluster.dir / "packages"
        with serving_files(web) as url:
            # A sum by which files are not named in the cache.
            self.package("shop", {"url": f"{url}/wares.txt", "sha512": sums["sha512"]})
            self.package("stall", {"file": str(web / "wares.txt"), "sha256": sums["sha256"]})
            said = self.clusterctl("bundle", "--package", "shop,stall", "--from", packages, "--out", bundle, cache="there")
            self.assertIn("2 packages", said)
            meant = self.clusterctl("bundle", "--package", "shopp", "--from", packages, "--out", bundle, cache="there", fails=True)
            self.assertIn("did you mean shop", meant)
        self.clusterctl("universe", "add", "ours", packages / "shop", cache="here")
        # Its source is gone now.
        self.assertIn("wares cannot be had", self.clusterctl("package", "install", "shop", "-y", cache="here", fails=True))
        damaged = self.cluster.dir / "damaged.bundle"
        damaged.write_bytes(bundle.read_bytes().replace(b"tea and", b"gin and"))
        self.assertIn("damaged", self.clusterctl("bundle", "load", damaged, cache="here", fails=True))
        self.assertIn("shop 1.0.0", self.clusterctl("bundle", "load", bundle, cache="here"))
        self.assertIn("/shop is installed", self.clusterctl("package", "install", "shop", "-y", cache="here"))
        self.assertIn("tea and biscuits", self.clusterctl("service", "logs", "/shop", cache="here"))
        self.assertIn("untested", self.clusterctl("package", "describe", "shop", cache="here"))
        self.clusterctl("package", "uninstall", "shop", "-y", cache="here")

    def test_files_of_a_directory_go_to_the_masters_with_its_packages(self):
        directory = self.package("shop", {"file": "wares.txt"})
        packages = self.cluster.dir / "packages"
        outside = self.cluster.dir / "wares.txt"
        outside.write_text("tea and biscuits\n")
        (directory / "wares.txt").symlink_to(outside)
        said = self.clusterctl("universe", "add", "ours", packages, cache="here", fails=True)
        self.assertIn("which is not below", said)
        (directory / "wares.txt").unlink()
        self.assertIn("no such file", self.clusterctl("universe", "add", "ours", packages, cache="here", fails=True).lower())
        outside.rename(directory / "wares.txt")
        self.assertIn("wares: 17 B on the masters", self.clusterctl("universe", "add", "ours", packages, cache="here"))
        # Another machine, which has neither the directory nor a cache.
        (directory / "wares.txt").unlink()
        self.assertIn("/shop is installed", self.clusterctl("package", "install", "shop", "-y", cache="there"))
        self.assertIn("tea and biscuits", self.clusterctl("service", "logs", "/shop", cache="there"))
        # Another edition of the directory brings another file, which an update takes.
        (directory / "wares.txt").write_text("tea and more biscuits\n")
        self.clusterctl("universe", "remove", "ours", cache="here")
        self.clusterctl("universe", "add", "ours", packages, cache="here")
        self.assertIn("/shop is updated", self.clusterctl("package", "update", "shop", "-y", cache="there"))
        self.assertIn("more biscuits", self.clusterctl("service", "logs", "/shop", cache="there"))


if __name__ == "__main__":
    unittest.main()
