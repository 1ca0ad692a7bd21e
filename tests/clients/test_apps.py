"""Every call that the released Python client has for apps, tasks and versions."""

import unittest

from marathon.exceptions import ConflictError, MarathonHttpError, NotFoundError
from marathon.models import MarathonApp, MarathonHealthCheck
from marathon.models.app import MarathonUpgradeStrategy, PortDefinition

from cluster import ClusterTest, Recorder, port_answers, serving


def web(**fields):
    return MarathonApp(**{
        "cmd": serving(), "cpus": 0.1, "mem": 32, "instances": 2, "labels": {"tier": "front"},
        "port_definitions": [PortDefinition(port=0, protocol="tcp", name="http")],
        "health_checks": [MarathonHealthCheck(
            protocol="HTTP", path="/", port_index=0, grace_period_seconds=60, interval_seconds=1, timeout_seconds=5,
            max_consecutive_failures=3, delay_seconds=0,
        )],
        **fields,
    })


def sleeper(**fields):
    return MarathonApp(**{"cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32, "instances": 1, **fields})


class Apps(ClusterTest):
    def test_an_app_lives_through_every_call(self):
        client = self.client
        recorder = Recorder(self.cluster.url)

        created = client.create_app("/shop/web", web())
        self.assertEqual(created.id, "/shop/web")
        self.assertEqual([created.tasks_running, created.tasks_staged], [0, 0])
        self.deployed({"id": created.deployments[0].id})
        self.assertEqual(len(self.running("/shop/web")), 2)
        with self.assertRaises(ConflictError) as refused:
            client.create_app("/shop/web", web())
        self.assertEqual(refused.exception.error_message, "An app with id [/shop/web] already exists.")

        # The id with and without its slash, in the middle of a path.
        for app_id in ["/shop/web", "shop/web"]:
            app = client.get_app(app_id, embed_tasks=True, embed_counts=True, embed_deployments=True,
                                 embed_readiness=True, embed_last_task_failure=True, embed_failures=True,
                                 embed_task_stats=True)
            self.assertEqual([app.tasks_running, app.tasks_healthy, app.tasks_unhealthy], [2, 2, 0])
            self.assertEqual([len(app.tasks), app.deployments, app.last_task_failure], [2, [], None])
            self.assertEqual(app.task_stats.total_summary.stats.counts.healthy, 2)
            self.assertEqual(app.task_stats.with_outdated_config, None)
            self.assertTrue(all(task.health_check_results[0].alive for task in app.tasks))
            self.assertTrue(all(port_answers(task.host, task.ports[0]) for task in app.tasks))
        endpoints = client.list_endpoints()
        self.assertEqual({endpoint.app_id for endpoint in endpoints}, {"/shop/web"})
        self.assertEqual(len({endpoint.service_port for endpoint in endpoints}), 1)

        first = client.get_app("/shop/web").version
        client.scale_app("/shop/web", delta=1)
        self.until_running("/shop/web", 3)
        self.deployed()
        before = self.running("/shop/web")

        answer = client.update_app("/shop/web", MarathonApp(env={"COLOUR": "blue"}))
        self.deployed(answer)
        self.until_running("/shop/web", 3, but=before)
        before = self.running("/shop/web")
        self.deployed(client.restart_app("/shop/web"))
        self.until_running("/shop/web", 3, but=before)

        versions = client.list_versions("/shop/web")
        self.assertEqual(versions, sorted(versions, reverse=True))
        self.assertEqual([first, client.get_version("/shop/web", first).version], [versions[-1]] * 2)
        self.assertIn("COLOUR", client.get_version("/shop/web", versions[0]).env)
        with self.assertRaises(NotFoundError) as missing:
            client.get_version("/shop/web", "2020-01-01T00:00:00.000Z")
        self.assertEqual(missing.exception.error_message,
                         "App '/shop/web' does not exist in version 2020-01-01T00:00:00.000Z")
        self.deployed(client.rollback_app("/shop/web", versions[-1]))
        back = client.get_app("/shop/web")
        self.assertEqual([back.instances, back.env], [2, {}])
        self.assertGreater(back.version, first)

        self.deployed(client.delete_app("/shop/web"))
        with self.assertRaises(NotFoundError) as gone:
            client.get_app("/shop/web")
        self.assertEqual(gone.exception.error_message, "App '/shop/web' does not exist")
        self.assertEqual(client.list_apps(), [])
        self.assertIsNone(recorder.error)

    def test_lists_are_filtered_as_asked(self):
        client = self.client
        for app_id, fields in [
            ("/shop/web", {"labels": {"tier": "front", "team": "a"}}),
            ("/shop/db", {"labels": {"tier": "back"}, "cmd": "exec sleep 2000"}),
            ("/stats", {}),
        ]:
            client.create_app(app_id, sleeper(**fields))
        self.deployed()

        def ids(**filters):
            return sorted(app.id for app in client.list_apps(**filters))

        self.assertEqual(ids(), ["/shop/db", "/shop/web", "/stats"])
        self.assertEqual(ids(app_id="SHOP"), ["/shop/db", "/shop/web"])
        self.assertEqual(ids(cmd="sleep 2000"), ["/shop/db"])
        for selector, found in [
            ("tier", ["/shop/db", "/shop/web"]), ("tier==front", ["/shop/web"]), ("tier!=front", ["/shop/db"]),
            ("tier in (front,back),team", ["/shop/web"]), ("tier notin (front)", ["/shop/db"]),
        ]:
            self.assertEqual(ids(label=selector), found, selector)
        with self.assertRaises(MarathonHttpError) as wrong:
            ids(label="tier in (")
        self.assertEqual(wrong.exception.status_code, 422)
        self.assertEqual(ids(instances=1, cpus=0.1), ["/shop/db", "/shop/web", "/stats"])
        for app in client.list_apps(embed_tasks=True, embed_task_stats=True, embed_failures=True):
            self.assertEqual([len(app.tasks), app.tasks_running], [1, 1])
        self.assertEqual([app.tasks for app in client.list_apps()], [[], [], []])
        self.assertEqual(len(client.list_tasks()), 3)
        self.assertEqual(len(client.list_tasks("/stats")), 1)

    def test_tasks_are_killed_one_by_one_by_host_and_with_their_place(self):
        client = self.client
        client.create_app("/crowd", sleeper(instances=4))
        self.deployed()
        first = self.running("/crowd")

        killed = client.kill_task("/crowd", first[0])
        self.assertEqual(killed.id, first[0])
        self.until_running("/crowd", 4, but=first[:1])

        tasks = client.list_tasks("/crowd")
        host = tasks[0].host
        there = [task.id for task in tasks if task.host == host]
        killed = client.kill_tasks("/crowd", host=host)
        self.assertEqual(sorted(task.id for task in killed), sorted(there))
        self.until_running("/crowd", 4, but=there)

        now = self.running("/crowd")
        self.assertTrue(client.kill_given_tasks(now[:2]))
        self.until_running("/crowd", 4, but=now[:2])
        # One that is well-formed and unknown is skipped, a malformed one is not.
        self.assertTrue(client.kill_given_tasks([first[0]]))
        with self.assertRaises(MarathonHttpError) as malformed:
            client.kill_given_tasks(["nonsense"])
        self.assertEqual(malformed.exception.status_code, 400)

        self.deployed(client.kill_task("/crowd", self.running("/crowd")[0], scale=True))
        self.assertEqual([client.get_app("/crowd").instances, len(self.running("/crowd"))], [3, 3])
        self.assertTrue(client.kill_given_tasks(self.running("/crowd")[:1], scale=True, force=True))
        self.deployed()
        self.assertEqual(client.get_app("/crowd").instances, 2)
        with self.assertRaises(MarathonHttpError) as both:
            client.kill_tasks("/crowd", scale=True, wipe=True)
        self.assertEqual(both.exception.status_code, 400)
        self.deployed(client.kill_tasks("/crowd", scale=True))
        self.assertEqual([client.get_app("/crowd").instances, self.running("/crowd")], [0, []])
        with self.assertRaises(NotFoundError):
            client.kill_task("/crowd", first[0])

    def test_several_apps_are_changed_at_once(self):
        client = self.client
        client.create_app("/a", sleeper())
        self.deployed()
        answer = client.update_apps([sleeper(id="/a", instances=2), sleeper(id="/b")])
        self.deployed(answer)
        self.assertEqual([len(self.running("/a")), len(self.running("/b"))], [2, 1])

    def test_what_is_wrong_is_named_with_its_place(self):
        client = self.client
        with self.assertRaises(MarathonHttpError) as refused:
            client.create_app("/x", web(cpus=-1, upgrade_strategy=MarathonUpgradeStrategy(
                minimum_health_capacity=2, maximum_over_capacity=1)))
        error = refused.exception
        self.assertEqual([error.status_code, error.error_message], [422, "Object is not valid"])
        self.assertEqual({detail["path"] for detail in error.error_details},
                         {"/cpus", "/upgradeStrategy/minimumHealthCapacity"})
        for call in [client.restart_app, client.delete_app, client.list_versions, client.list_tasks]:
            with self.assertRaises(NotFoundError) as missing:
                call("/none")
            self.assertEqual(missing.exception.error_message, "App '/none' does not exist")


if __name__ == "__main__":
    unittest.main()
