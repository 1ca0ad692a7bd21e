"""Groups, as the released Python client creates, updates, scales, rolls back and deletes them."""

import unittest

from marathon.exceptions import ConflictError, MarathonHttpError, NotFoundError
from marathon.models import MarathonApp, MarathonGroup
from marathon.models.events import MarathonStatusUpdateEvent

from cluster import ClusterTest, Recorder
from test_apps import sleeper


def shop(**fields):
    return MarathonGroup(**{
        "id": "/shop",
        "apps": [sleeper(id="web", instances=2, dependencies=["/shop/store/db"]), sleeper(id="edge", dependencies=["../web"])],
        "groups": [MarathonGroup(id="store", apps=[sleeper(id="db")])],
        **fields,
    })


def ids(group):
    return sorted([app.id for app in group.apps] + [one for inner in group.groups for one in ids(inner)])


class Groups(ClusterTest):
    def test_a_group_lives_through_every_call(self):
        client = self.client
        recorder = Recorder(self.cluster.url)
        everything = ["/shop/edge", "/shop/store/db", "/shop/web"]
        self.assertEqual([ids(client.get_group("/")), client.list_groups()], [[], []])

        created = client.create_group(shop())
        self.assertEqual(set(created), {"version", "deploymentId"})
        self.deployed(created)
        self.assertEqual([len(self.running(app)) for app in everything], [1, 1, 2])
        started = [event.app_id for event in recorder.events
                   if isinstance(event, MarathonStatusUpdateEvent) and event.task_status == "TASK_RUNNING"]
        self.assertEqual(started, ["/shop/store/db", "/shop/web", "/shop/web", "/shop/edge"],
                         "what others depend on runs first")
        with self.assertRaises(ConflictError) as taken:
            client.create_group(shop())
        self.assertEqual(taken.exception.error_message,
                         "Group /shop is already created. Use PUT to change this group.")

        for group_id in ["/shop", "shop", "/shop/"]:
            self.assertEqual(ids(client.get_group(group_id)), everything)
        self.assertEqual([group.id for group in client.list_groups()], ["/shop"])
        self.assertEqual(ids(client.get_group("/shop/store")), ["/shop/store/db"])
        with self.assertRaises(NotFoundError) as missing:
            client.get_group("/none")
        self.assertEqual(missing.exception.error_message, "Group '/none' does not exist")

        first = client.get_group("/shop").version
        self.deployed(client.scale_group("/shop", 2))
        self.assertEqual([len(self.running(app)) for app in everything], [2, 2, 4])

        before = self.running("/shop/store/db")
        changed = shop(apps=[sleeper(id="web", instances=1)])
        self.deployed(client.update_group("/shop", changed))
        self.assertEqual(ids(client.get_group("/shop")), ["/shop/store/db", "/shop/web"])
        self.assertEqual([len(self.running("/shop/web")), len(self.running("/shop/store/db"))], [1, 1])
        self.assertLess(set(self.running("/shop/store/db")), set(before), "it was scaled, not restarted")

        self.deployed(client.rollback_group("/shop", first))
        self.assertEqual(ids(client.get_group("/shop")), everything)
        self.assertEqual([len(self.running(app)) for app in everything], [1, 1, 2])

        self.deployed(client.delete_group("/shop/store", force=True))
        self.assertEqual(ids(client.get_group("/shop")), ["/shop/edge", "/shop/web"])
        self.deployed(client.delete_group("/shop"))
        self.assertEqual([client.list_groups(), client.list_apps()], [[], []])
        self.assertIsNone(recorder.error)
        self.assertIn("group_change_success", recorder.types())

    def test_what_does_not_belong_into_a_group_is_refused_with_its_place(self):
        client = self.client
        with self.assertRaises(MarathonHttpError) as outside:
            client.create_group(MarathonGroup(id="/shop", apps=[sleeper(id="/elsewhere/web")]))
        self.assertEqual(outside.exception.status_code, 422)
        self.assertTrue(any("/apps(0)" in detail["path"] for detail in outside.exception.error_details))
        with self.assertRaises(MarathonHttpError) as circle:
            client.create_group(MarathonGroup(id="/shop", apps=[
                sleeper(id="a", dependencies=["../b"]), sleeper(id="b", dependencies=["../a"])]))
        self.assertEqual(circle.exception.status_code, 422)
        self.assertEqual(client.list_apps(), [])

    def test_an_app_and_a_group_in_the_way_of_each_other_are_refused(self):
        client = self.client
        client.create_app("/shop", MarathonApp(cmd="exec sleep 1000", cpus=0.1, mem=32))
        with self.assertRaises(ConflictError):
            client.create_group(shop())


if __name__ == "__main__":
    unittest.main()
