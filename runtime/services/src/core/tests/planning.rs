//! Plans over random groups with random dependencies, against a naive reading of the rules; and what becomes of them in the
//! world, which holds every commit against the bounds.

use std::collections::{BTreeMap, BTreeSet};

use api::marathon::{ActionKind, App, AppId, GroupId, PathId, Timestamp, VersionInfo};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::groups::put;
use super::world::{World, app, id};
use crate::core::order::{Point, Tree, levels};
use crate::core::{Left, Levels, Pair, Request, Step, plan};

const GROUPS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/d", "/d/e"];
const NAMES: [&str; 2] = ["x", "y"];

/// Apps and groups with what they depend on.
#[derive(Debug, Clone, Default)]
struct Forest {
    apps: BTreeMap<AppId, Vec<PathId>>,
    groups: BTreeMap<GroupId, Vec<PathId>>,
}

impl Tree for Forest {
    fn app(&self, id: &str) -> Option<&[PathId]> {
        self.apps.get(id).map(Vec::as_slice)
    }

    fn group(&self, id: &str) -> Option<&[PathId]> {
        self.groups.get(id).map(Vec::as_slice)
    }

    fn apps_in(&self, group: &GroupId) -> Vec<AppId> {
        self.apps.keys().filter(|app| group.contains(app)).cloned().collect()
    }
}

impl Forest {
    /// All apps that must be up before `app`, as the rules have it; `None` when it would have to be up before itself.
    fn before(&self, app: &AppId) -> Option<BTreeSet<AppId>> {
        let mut found: BTreeSet<AppId> = BTreeSet::new();
        let mut open = vec![app.clone()];
        while let Some(next) = open.pop() {
            let groups =
                self.groups.iter().filter(|(group, _)| group.contains(&next)).flat_map(|(_, ids)| ids);
            for dependency in self.apps[&next].iter().chain(groups) {
                for other in self.apps.keys().filter(|other| dependency.contains(other.path())) {
                    if found.insert(other.clone()) {
                        open.push(other.clone());
                    }
                }
            }
        }
        (!found.contains(app)).then_some(found)
    }
}

fn ids() -> Vec<PathId> {
    let apps = GROUPS.iter().flat_map(|group| NAMES.iter().map(move |name| format!("{group}/{name}")));
    let groups = GROUPS.iter().skip(1).map(|group| (*group).to_owned());
    apps.chain(groups).chain(["/nowhere".to_owned()]).map(|id| id.parse().unwrap()).collect()
}

fn dependencies() -> impl Strategy<Value = Vec<PathId>> {
    proptest::collection::vec(proptest::sample::select(ids()), 0..3)
        .prop_flat_map(|ids| prop_oneof![2 => Just(Vec::new()), 1 => Just(ids)])
}

fn forest() -> impl Strategy<Value = Forest> {
    let apps = proptest::collection::vec(dependencies(), GROUPS.len() * NAMES.len());
    let groups = proptest::collection::vec(dependencies(), GROUPS.len());
    (apps, groups).prop_map(|(apps, groups)| {
        let names =
            GROUPS.iter().flat_map(|group| NAMES.iter().map(move |name| id(&format!("{group}/{name}"))));
        let groups = GROUPS.iter().map(|group| group.parse().unwrap()).zip(groups);
        Forest { apps: names.zip(apps).collect(), groups: groups.collect() }
    })
}

/// What becomes of one app.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    New(u32),
    Gone,
    Same,
    Scaled,
    Other,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        (0..3u32).prop_map(Fate::New),
        Just(Fate::Gone),
        Just(Fate::Same),
        Just(Fate::Scaled),
        Just(Fate::Other)
    ]
}

fn definition(id: &AppId, instances: u32, config: i64) -> App {
    let at = Timestamp::from_millis;
    let mut app = app(&json!({"id": id, "cmd": "x", "instances": instances}));
    app.version = Some(at(9));
    app.version_info = Some(VersionInfo { last_scaling_at: at(9), last_config_change_at: at(config) });
    app
}

fn place(steps: &[Step], app: &AppId, wanted: impl Fn(ActionKind) -> bool) -> Option<usize> {
    let has = |step: &Step| step.actions.iter().any(|action| action.app == *app && wanted(action.kind));
    steps.iter().position(has)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_the_order_and_do_everything_once(forest in forest(), fates in proptest::collection::vec(fate(), 12)) {
        let fates: BTreeMap<AppId, Fate> = forest.apps.keys().cloned().zip(fates).collect();
        let mut after = forest.clone();
        after.apps.retain(|app, _| fates[app] != Fate::Gone);
        let mut before = forest.clone();
        before.apps.retain(|app, _| !matches!(fates[app], Fate::New(_)));
        let pair = |(id, fate): (&AppId, &Fate)| match fate {
            Fate::New(instances) => (None, Some(definition(id, *instances, 1))),
            Fate::Gone => (Some(definition(id, 1, 1)), None),
            Fate::Same => (Some(definition(id, 1, 1)), Some(definition(id, 1, 1))),
            Fate::Scaled => (Some(definition(id, 1, 1)), Some(definition(id, 2, 1))),
            Fate::Other => (Some(definition(id, 1, 1)), Some(definition(id, 2, 2))),
        };
        let pairs: Vec<(Option<App>, Option<App>)> = fates.iter().map(pair).collect();
        let changed = |fate: &Fate| !matches!(fate, Fate::Same);
        let of = |gone: bool| -> BTreeSet<AppId> {
            let these = fates.iter().filter(|(_, fate)| changed(fate) && (**fate == Fate::Gone) == gone);
            these.map(|(id, _)| id.clone()).collect()
        };
        let everywhere = after.groups.keys().cloned().map(Point::Begin).chain(after.apps.keys().cloned().map(Point::App));
        let start = levels(&after, &of(false), everywhere);
        let circular = after.apps.keys().any(|app| after.before(app).is_none());
        prop_assert_eq!(start.is_err(), circular);
        let Ok(start) = start else { return Ok(()) };
        let stop = levels(&before, &of(true), []).unwrap_or_default();
        let stops_in_order = before.apps.keys().all(|app| before.before(app).is_some());
        let levels = Levels { start, stop };
        let view = |(old, new): &(Option<App>, Option<App>)| -> (Option<App>, Option<App>) { (old.clone(), new.clone()) };
        let owned: Vec<_> = pairs.iter().map(view).collect();
        let steps = {
            let pairs: Vec<Pair<'_>> = owned
                .iter()
                .map(|(old, new)| Pair { old: old.as_ref(), new: new.as_ref(), left: Left::Nothing })
                .collect();
            plan(&pairs, &levels)
        };

        use ActionKind::{RestartApplication, ScaleApplication, StartApplication, StopApplication};
        for (app, fate) in &fates {
            let all = steps.iter().flat_map(|step| &step.actions).filter(|action| action.app == *app);
            let kinds: Vec<ActionKind> = all.map(|action| action.kind).collect();
            let wanted = match fate {
                Fate::New(0) => vec![StartApplication],
                Fate::New(_) => vec![StartApplication, ScaleApplication],
                Fate::Gone => vec![StopApplication],
                Fate::Same => vec![],
                Fate::Scaled => vec![ScaleApplication],
                Fate::Other => vec![RestartApplication],
            };
            prop_assert_eq!(kinds, wanted, "{}", app);
        }
        let works = |kind| matches!(kind, ScaleApplication | RestartApplication);
        let stops = |kind| kind == StopApplication;
        let last_work = fates.keys().filter_map(|app| place(&steps, app, works)).max();
        for app in fates.keys() {
            let starts = place(&steps, app, |kind| kind == StartApplication);
            prop_assert!(starts.is_none_or(|at| at == 0));
            if let (Some(stop), Some(work)) = (place(&steps, app, stops), last_work) {
                prop_assert!(work < stop);
            }
            let behind = |tree: &Forest| tree.apps.contains_key(app).then(|| tree.before(app)).flatten().unwrap_or_default();
            for other in behind(&after) {
                if let (Some(own), Some(others)) = (place(&steps, app, works), place(&steps, &other, works)) {
                    prop_assert!(others < own, "{} before {}", app, other);
                }
            }
            for other in behind(&before).into_iter().filter(|_| stops_in_order) {
                if let (Some(own), Some(others)) = (place(&steps, app, stops), place(&steps, &other, stops)) {
                    prop_assert!(own < others, "{} goes after {}", app, other);
                }
            }
        }
        let again: Vec<Pair<'_>> = owned
            .iter()
            .map(|(_, new)| Pair { old: new.as_ref(), new: new.as_ref(), left: Left::Nothing })
            .collect();
        prop_assert_eq!(plan(&again, &levels), vec![]);
    }
}

/// A root with some of the groups and apps; dependencies lead to what comes earlier, so that there is no circle.
fn body(seed: &[(u8, u8, u8)]) -> Value {
    let names = ["p", "q", "r"];
    let mut groups = Vec::new();
    for (at, (which, instances, strategy)) in seed.iter().enumerate() {
        let apps: Vec<Value> = (0..which % 4)
            .map(|nth| {
                let least = f64::from(strategy % 5) / 4.0;
                json!({"id": names[usize::from(nth) % 3], "cmd": format!("serve {}", strategy % 3), "cpus": 0.1, "mem": 1,
                    "instances": instances % 4, "healthChecks": if which % 2 == 0 { json!([{"protocol": "TCP"}]) } else { json!([]) },
                    "upgradeStrategy": {"minimumHealthCapacity": least, "maximumOverCapacity": f64::from(instances % 3) / 2.0},
                    "dependencies": if nth > 0 { json!([format!("../{}", names[usize::from(nth) - 1])]) } else { json!([]) }})
            })
            .collect();
        let dependencies = if at > 0 && which % 3 > 0 { json!([format!("/g{}", at - 1)]) } else { json!([]) };
        groups.push(json!({"id": format!("g{at}"), "apps": apps, "dependencies": dependencies}));
    }
    json!({ "groups": groups })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// The bounds are checked with every commit, by the world.
    #[test]
    fn random_changes_of_groups_end_within_their_bounds(
        days in proptest::collection::vec(
            (proptest::collection::vec(any::<(u8, u8, u8)>(), 1..4), 0..8usize), 1..4),
        crashes in proptest::collection::btree_set(1..150usize, 0..4),
    ) {
        let mut world = World::new();
        world.crash_after = crashes;
        for (seed, rounds) in &days {
            let request: Request = put("/", &body(seed));
            while world.ask(request.clone(), true).is_none() {
                world.round();
            }
            (0..*rounds).for_each(|_| world.round());
        }
        world.settle();
        for (app, definition) in world.state.apps_in(&GroupId::root()) {
            prop_assert_eq!(world.running(app.as_str()), definition.instances as usize, "{}", app);
        }
        let wanted: u32 = world.state.apps_in(&GroupId::root()).map(|(_, app)| app.instances).sum();
        prop_assert_eq!(world.keys().len(), wanted as usize, "nothing else runs");
        // The same again is nothing to do.
        let (seed, _) = days.last().unwrap();
        drop(world.ask(put("/", &body(seed)), false));
        prop_assert!(world.state.deployments.is_empty());
    }
}
