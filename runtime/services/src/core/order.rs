//! The order that dependencies ask for (§4, §8). Apps depend on apps and groups, groups on apps and groups, and what a
//! group depends on, all that stands in it depends on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::marathon::{AppId, GroupId, PathId};

/// What dependencies are looked up in.
pub(crate) trait Tree {
    /// What the app depends on by itself; `None` when there is no such app.
    fn app(&self, id: &str) -> Option<&[PathId]>;
    /// What the group depends on by itself; `None` when there is no such group.
    fn group(&self, id: &str) -> Option<&[PathId]>;
    /// The apps in a group and in its groups.
    fn apps_in(&self, group: &GroupId) -> Vec<AppId>;
}

/// A point in time of a start. Groups are points of their own, so that a group which depends on another is one step on the
/// way and not as many as there are pairs of apps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    /// The app is up.
    App(AppId),
    /// What the group depends on is up: its apps may start.
    Begin(GroupId),
    /// All apps of the group are up.
    End(GroupId),
}

/// Dependencies in a circle, from an id back to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle(Vec<PathId>);

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(PathId::as_str).collect();
        write!(f, "has a cycle: {}", names.join(" -> "))
    }
}

impl Point {
    fn path(&self) -> &PathId {
        match self {
            Point::App(app) => app.path(),
            Point::Begin(group) | Point::End(group) => group.path(),
        }
    }

    /// What has to be before.
    fn before(&self, tree: &impl Tree) -> Vec<Point> {
        match self {
            Point::App(app) => {
                let own = tree.app(app.as_str()).unwrap_or_default();
                let inherited = Point::Begin(app.parent());
                std::iter::once(inherited).chain(own.iter().filter_map(|id| end_of(id, tree))).collect()
            }
            Point::Begin(group) => {
                let own = tree.group(group.as_str()).unwrap_or_default();
                let inherited = group.parent().map(Point::Begin);
                inherited.into_iter().chain(own.iter().filter_map(|id| end_of(id, tree))).collect()
            }
            Point::End(group) => tree.apps_in(group).into_iter().map(Point::App).collect(),
        }
    }
}

/// When a dependency is up. One that is missing is none.
fn end_of(id: &PathId, tree: &impl Tree) -> Option<Point> {
    if tree.app(id.as_str()).is_some() {
        return AppId::try_from(id.clone()).ok().map(Point::App);
    }
    tree.group(id.as_str())?;
    id.as_str().parse().ok().map(Point::End)
}

/// A point that is being looked at: what is before it, and the most apps of interest on a way through what was looked at.
struct Visit {
    point: Point,
    before: Vec<Point>,
    most: usize,
}

/// For each app of `of` how many others of `of` have to be up one after the other before it. Everything that `from` leads
/// to is looked at, and nothing else.
///
/// # Errors
/// A circle that was found on the way.
pub(crate) fn levels(
    tree: &impl Tree,
    of: &BTreeSet<AppId>,
    from: impl IntoIterator<Item = Point>,
) -> Result<BTreeMap<AppId, usize>, Cycle> {
    // Nothing for a point that is being looked at.
    let mut known: HashMap<Point, Option<usize>> = HashMap::new();
    let mut stack: Vec<Visit> = Vec::new();
    for point in from.into_iter().chain(of.iter().cloned().map(Point::App)) {
        if !known.contains_key(&point) {
            enter(tree, point, &mut known, &mut stack);
        }
        while let Some(visit) = stack.last_mut() {
            match visit.before.pop() {
                Some(next) => match known.get(&next) {
                    Some(Some(most)) => visit.most = visit.most.max(*most),
                    Some(None) => return Err(circle(&stack, &next)),
                    None => enter(tree, next, &mut known, &mut stack),
                },
                None => {
                    let Some(Visit { point, most, .. }) = stack.pop() else { break };
                    let counts = matches!(&point, Point::App(app) if of.contains(app));
                    let most = most + usize::from(counts);
                    if let Some(above) = stack.last_mut() {
                        above.most = above.most.max(most);
                    }
                    known.insert(point, Some(most));
                }
            }
        }
    }
    let level = |app: &AppId| {
        let most = known.get(&Point::App(app.clone())).copied().flatten().unwrap_or(1);
        (app.clone(), most.saturating_sub(1))
    };
    Ok(of.iter().map(level).collect())
}

fn enter(tree: &impl Tree, point: Point, known: &mut HashMap<Point, Option<usize>>, stack: &mut Vec<Visit>) {
    known.insert(point.clone(), None);
    let before = point.before(tree);
    stack.push(Visit { point, before, most: 0 });
}

/// The way from `point` through the stack back to it.
fn circle(stack: &[Visit], point: &Point) -> Cycle {
    let way = stack.iter().skip_while(|visit| visit.point != *point).map(|visit| visit.point.path());
    let mut names: Vec<PathId> = way.chain([point.path()]).cloned().collect();
    names.dedup();
    Cycle(names)
}
