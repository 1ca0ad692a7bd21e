"""Released tools that people deploy with: `marathon-deploy`, a command line, and shpkpr's client, which shares no code with it."""

import json
import subprocess
import unittest

from shpkpr.marathon.client import ClientError, MarathonClient as Shpkpr

from cluster import ClusterTest, serving

WEB = {
    "id": "/shop/web", "cmd": serving(), "cpus": 0.1, "mem": 32, "instances": 2,
    "portDefinitions": [{"port": 0, "name": "http"}],
    "healthChecks": [{"protocol": "HTTP", "portIndex": 0, "gracePeriodSeconds": 60, "intervalSeconds": 1,
                      "timeoutSeconds": 5, "delaySeconds": 0}],
}


class Tools(ClusterTest):
    def marathon_deploy(self, *arguments):
        done = subprocess.run(["marathon-deploy", "--marathon", self.cluster.url, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_marathon_deploy_creates_updates_scales_and_restarts(self):
        definition = self.cluster.dir / "web.json"
        definition.write_text(json.dumps(WEB))
        self.marathon_deploy("--put", str(definition))
        self.until_running("/shop/web", 2)
        definition.write_text(json.dumps({**WEB, "env": {"COLOUR": "blue"}}))
        before = self.running("/shop/web")
        self.marathon_deploy("--put", str(definition))
        self.until_running("/shop/web", 2, but=before)
        self.marathon_deploy("--appid", "shop/web", "--scale", "3")
        self.assertEqual(self.marathon_deploy("--appid", "/shop/web", "--instances").split()[-1], "3")
        before = self.running("/shop/web")
        self.marathon_deploy("--appid", "/shop/web", "--restart")
        self.until_running("/shop/web", 3, but=before)
        before = self.running("/shop/web")
        self.marathon_deploy("--appid", "/shop/web", "--inplacerestart")
        self.until_running("/shop/web", 3, but=before)

    def test_shpkpr_deploys_waits_and_deletes(self):
        shpkpr = Shpkpr(self.cluster.url)
        self.assertEqual(shpkpr.get_info()["name"], "marathon")
        deployment = shpkpr.deploy([WEB])
        self.until(deployment.check, "its deployment is over")
        app = shpkpr.get_application("/shop/web")
        self.assertEqual([app["tasksHealthy"], len(app["tasks"]), app["deployments"]], [2, 2, []])
        self.assertEqual(app["taskStats"]["totalSummary"]["stats"]["counts"]["healthy"], 2)
        self.assertEqual([app["id"] for app in shpkpr.list_applications()], ["/shop/web"])
        shpkpr.deploy({**WEB, "cpus": 100})
        with self.assertRaisesRegex(ClientError, "locked by one or more deployments: [0-9a-f-]{36}"):
            shpkpr.deploy({**WEB, "instances": 3})
        shpkpr.deploy(WEB, force=True)
        self.deployed()
        self.assertTrue(shpkpr.delete_application("/shop/web"))
        self.assertFalse(shpkpr.delete_application("/none"))
        self.until(lambda: not shpkpr.list_applications(), "it is gone")
        with self.assertRaisesRegex(ClientError, "does not exist"):
            shpkpr.get_application("/shop/web")

    def test_shpkpr_deploys_several_apps_together(self):
        shpkpr = Shpkpr(self.cluster.url)
        deployment = shpkpr.deploy([{**WEB, "id": "/a"}, {**WEB, "id": "/b", "dependencies": ["/a"]}])
        self.until(deployment.check, "its deployment is over")
        self.assertEqual([app["tasksHealthy"] for app in shpkpr.list_applications()], [2, 2])


if __name__ == "__main__":
    unittest.main()
