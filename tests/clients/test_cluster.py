"""Deployments, queue, events and what the server says about itself, by the released Python client."""

import unittest

from marathon.exceptions import ConflictError, NotFoundError
from marathon.models import MarathonApp
from marathon.models.events import EventFactory, MarathonDeploymentSuccess, MarathonStatusUpdateEvent

from cluster import ClusterTest, Recorder
from test_apps import sleeper, web


class Deployments(ClusterTest):
    def test_deployments_are_listed_and_given_up(self):
        client = self.client
        # More than there is: it waits.
        client.create_app("/big", sleeper(cpus=100))
        deployment, = client.list_deployments()
        self.assertEqual([deployment.affected_apps, deployment.affected_pods], [["/big"], []])
        self.assertEqual(deployment.current_actions[0].app, "/big")
        self.assertEqual(deployment.current_actions[0].action, "ScaleApplication")
        self.assertEqual([deployment.current_step, deployment.total_steps], [2, 2])
        with self.assertRaises(ConflictError) as locked:
            client.scale_app("/big", 2)
        self.assertIn("?force=true", locked.exception.error_message)
        self.assertTrue(client.scale_app("/big", 2, force=True)["deploymentId"])
        with self.assertRaises(NotFoundError) as gone:
            client.delete_deployment(deployment.id)
        self.assertEqual(gone.exception.error_message, f"DeploymentPlan {deployment.id} does not exist")

        # Undone: a new deployment restores what was before.
        second, = client.list_deployments()
        undo = client.delete_deployment(second.id)
        self.assertNotEqual(undo["deploymentId"], second.id)
        self.assertEqual(client.get_app("/big").instances, 1)
        # Dropped: nothing is undone.
        self.assertEqual(client.delete_deployment(undo["deploymentId"], force=True), {})
        self.assertEqual(client.list_deployments(), [])
        self.deployed(client.delete_app("/big"))
        self.assertEqual(client.list_apps(), [])

    def test_the_queue_says_what_waits_and_why(self):
        client = self.client
        self.assertEqual(client.list_queue(), [])
        client.create_app("/big", sleeper(cpus=100, instances=3))
        self.until_unused("/big")
        item, = client.list_queue()
        self.assertEqual([item.app.id, item.count, item.delay.overdue], ["/big", 3, True])
        self.assertIsNone(item.last_unused_offers)
        reasons = item.processed_offers_summary["rejectSummaryLastOffers"]
        self.assertEqual([step["reason"] for step in reasons], [
            "UnfulfilledRole", "UnfulfilledConstraint", "NoCorrespondingReservationFound", "AgentMaintenance",
            "InsufficientCpus", "InsufficientMemory", "InsufficientDisk", "InsufficientGpus", "InsufficientPorts",
            "DeclinedScarceResources",
        ])
        for before, after in zip(reasons, reasons[1:]):
            self.assertEqual(after["processed"], before["processed"] - before["declined"])
        item, = client.list_queue(embed_last_unused_offers=True)
        for unused in item.last_unused_offers:
            self.assertEqual(unused["reason"], ["InsufficientCpus"])
            self.assertLessEqual({"id", "agentId", "hostname", "resources", "attributes"}, set(unused["offer"]))
            names = {resource["name"] for resource in unused["offer"]["resources"]}
            self.assertLessEqual({"cpus", "mem", "disk", "ports"}, names)

        # One that fails waits longer and longer, until told otherwise.
        client.create_app("/fails", sleeper(cmd="exit 1", backoff_seconds=600))
        self.until(lambda: any(i.app.id == "/fails" and not i.delay.overdue for i in client.list_queue()), "backoff")
        client.reset_delay("/fails")
        with self.assertRaises(NotFoundError) as missing:
            client.reset_delay("/none")
        self.assertEqual(missing.exception.error_message, "Application /none not found in tasks queue.")
        failure = client.get_app("/fails").last_task_failure
        self.assertEqual([failure.app_id, failure.state], ["/fails", "TASK_FAILED"])

    def until_unused(self, app):
        """Offers come without an event: each app that comes and goes makes some."""
        number = 0
        while not any(item.app.id == app and item.processed_offers_summary["unusedOffersCount"]
                      for item in self.client.list_queue()):
            number += 1
            self.client.create_app(f"/poke-{number}", sleeper(instances=0))
            self.deployed_poke(number)

    def deployed_poke(self, number):
        self.client.delete_app(f"/poke-{number}")
        self.until(lambda: f"/poke-{number}" not in {app.id for app in self.client.list_apps()}, "it is gone")


class Events(ClusterTest):
    def test_the_client_understands_every_event_of_a_life(self):
        client = self.client
        recorder = Recorder(self.cluster.url)
        named = Recorder(self.cluster.url, event_types=[MarathonDeploymentSuccess, "event_stream_attached"])
        client.create_app("/web", web())
        self.deployed()
        client.create_app("/dies", sleeper(cmd="exit 3"))
        self.until(lambda: client.get_app("/dies").last_task_failure, "it failed")
        client.delete_app("/dies", force=True)
        client.update_app("/web", MarathonApp(env={"A": "b"}))
        self.deployed()
        # Its port closes, and it does not end: it is unhealthy and is killed for it.
        sick = web(cmd="exec sleep 1000", instances=1)
        sick.health_checks[0].grace_period_seconds = 1
        sick.health_checks[0].max_consecutive_failures = 1
        client.create_app("/sick", sick)
        self.until(lambda: "unhealthy_instance_kill_event" in recorder.types(), "it was killed")
        client.delete_app("/sick", force=True)
        client.kill_tasks("/web")
        self.until(lambda: client.get_app("/web").tasks_healthy == 2, "they are replaced")
        client.delete_app("/web", force=True)
        self.until(lambda: not client.list_apps() and not client.list_deployments(), "all is gone")
        self.until(lambda: {"app_terminated_event", "deployment_failed"} <= recorder.types(), "the last was heard")

        self.assertIsNone(recorder.error)
        self.assertLessEqual({
            "event_stream_attached", "event_stream_detached", "api_post_event", "status_update_event",
            "instance_changed_event", "instance_health_changed_event", "app_terminated_event", "add_health_check_event",
            "remove_health_check_event", "failed_health_check_event", "health_status_changed_event",
            "unhealthy_instance_kill_event", "group_change_success", "deployment_success", "deployment_failed",
            "deployment_info", "deployment_step_success", "deployment_step_failure",
        }, recorder.types())
        self.assertFalse(any(kind.startswith("scheduler_") for kind in recorder.types()))
        self.assertLessEqual(recorder.types(), set(EventFactory.event_to_class))
        removed = {event.app_id for event in recorder.events if event.event_type == "remove_health_check_event"}
        self.assertEqual(removed, {"/sick", "/web"}, "not of an app that had no checks")
        self.assertIsNone(named.error)
        self.assertEqual(named.types(), {"event_stream_attached", "deployment_success"})
        statuses = [event for event in recorder.events if isinstance(event, MarathonStatusUpdateEvent)]
        self.assertLessEqual({"TASK_RUNNING", "TASK_KILLED", "TASK_FAILED"},
                             {event.task_status for event in statuses})
        self.assertTrue(all(event.ip_addresses and event.slave_id for event in statuses))
        posts = [event for event in recorder.events if event.event_type == "api_post_event"]
        self.assertEqual({event.client_ip for event in posts}, {"127.0.0.1"})
        plans = [event.plan for event in recorder.events if hasattr(event, "plan")]
        self.assertTrue(all(plan.original.id == plan.target.id == "/" for plan in plans))


class Server(ClusterTest):
    agents = 1

    def test_the_server_says_what_it_is(self):
        client = self.client
        info = client.get_info()
        self.assertEqual([info.name, info.elected, info.leader], ["marathon", True, self.cluster.url[len("http://"):]])
        self.assertEqual(info.version.split(".")[:2], ["1", "11"])
        self.assertTrue(info.framework_id)
        self.assertEqual(info.marathon_config.local_port_min, 10000)
        self.assertEqual(client.get_leader(), {"leader": info.leader})
        self.assertEqual(client.ping(), b'"pong"')
        metrics = client.get_metrics()
        self.assertEqual(set(metrics), {"version", "counters", "gauges", "histograms", "meters", "timers"})
        self.assertEqual(metrics["gauges"]["marathon.apps.active.gauge"], {"value": 0})
        for call in [client.list_event_subscriptions, lambda: client.create_event_subscription("http://localhost/"),
                     lambda: client.delete_event_subscription("http://localhost/")]:
            with self.assertRaises(NotFoundError):
                call()

    def test_a_leader_that_steps_down_leaves_everything_as_it_was(self):
        client = self.client
        client.create_app("/web", web())
        self.deployed()
        before = self.running("/web")
        recorder = Recorder(self.cluster.url)
        self.assertEqual(client.delete_leader(), {"message": "Leadership abdicated"})
        # The stream ends with the reign.
        recorder.join()
        self.until(lambda: client.get_app("/web").tasks_healthy == 2, "the agent is back and its tasks are healthy")
        self.assertEqual(self.running("/web"), before)
        self.assertEqual([app.id for app in client.list_apps()], ["/web"])


if __name__ == "__main__":
    unittest.main()
