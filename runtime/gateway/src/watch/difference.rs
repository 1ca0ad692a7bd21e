//! From what a reader was told last and what is so now to the frames that it lacks. Pure, and made one frame at a time, as the
//! reader takes them.
//!
//! Things are shared between views as long as nothing of them changed, so that two pointers tell at once that there is nothing to
//! say. A thing that was made anew is compared by its row: it may differ in what nobody is shown.

use std::iter::{from_fn, repeat};
use std::sync::Arc;

use api::marathon::{self, AppId, Uuid};
use api::watch::{self, Frame, Node, ROWS, Rows, Service};
use services::core::view::AppView;

use super::rows::{self, Row};

/// A frame ends also at about so many bytes of what others choose, since labels can be long.
const BYTES: usize = 256 << 10;

/// What master and services say at one time.
pub(crate) struct Views {
    pub(crate) master: Arc<master::view::View>,
    pub(crate) services: Arc<services::View>,
}

/// What is said of one thing.
enum Change<T> {
    Set(T),
    Gone(String),
}

/// What was, and what is: one of them at least.
type Pair<T> = (Option<T>, Option<T>);

/// One health per task.
type Instance<'a> = (&'a Arc<marathon::Task>, Option<bool>);

/// What a reader who knows `shown`, or nothing yet, is to be told to know `now`.
pub(crate) fn frames<'a>(
    shown: Option<&'a Views>,
    now: &'a Views,
) -> impl Iterator<Item = Frame> + Send + use<'a> {
    let master = shown.map(|shown| &*shown.master);
    let services = shown.map(|shown| &*shown.services);
    let all_agents = shown.is_some_and(|shown| Arc::ptr_eq(&shown.master, &now.master));
    let all_services = shown.is_some_and(|shown| Arc::ptr_eq(&shown.services, &now.services));
    let of_master = (!all_agents).then(|| Frames::new(nodes(master, &now.master)).map(Frame::Nodes));
    let of_services = (!all_services).then(|| {
        let rows = Frames::new(services_of(services, &now.services)).map(Frame::Services);
        let tasks = Frames::new(tasks(services, &now.services)).map(Frame::Tasks);
        rows.chain(tasks).chain(deployments(services, &now.services))
    });
    of_master.into_iter().flatten().chain(of_services.into_iter().flatten())
}

fn nodes<'a>(
    old: Option<&'a master::view::View>,
    new: &'a master::view::View,
) -> impl Iterator<Item = Change<Node>> + Send + use<'a> {
    let before = old.into_iter().flat_map(|view| view.agents.iter());
    differing(before, new.agents.iter(), |old, new| Arc::ptr_eq(old, new)).filter_map(|pair| match pair {
        (Some((id, _)), None) => Some(Change::Gone(id.to_string())),
        // By one clock: two moments of it differ in how they turn into dates.
        (was, is) => {
            set(was.map(|(_, agent)| rows::node(agent, new.now)).as_ref(), rows::node(is?.1, new.now))
        }
    })
}

fn services_of<'a>(
    old: Option<&'a services::View>,
    new: &'a services::View,
) -> impl Iterator<Item = Change<Service>> + Send + use<'a> {
    differing_apps(old, new).filter_map(|pair| match pair {
        (Some((id, _)), None) => Some(Change::Gone(id.to_string())),
        (was, is) => {
            let (id, view) = is?;
            set(was.map(|(_, view)| rows::service(id, view)).as_ref(), rows::service(id, view))
        }
    })
}

fn tasks<'a>(
    old: Option<&'a services::View>,
    new: &'a services::View,
) -> impl Iterator<Item = Change<watch::Task>> + Send + use<'a> {
    let same = |old: &Instance<'_>, new: &Instance<'_>| Arc::ptr_eq(old.0, new.0) && old.1 == new.1;
    differing_apps(old, new)
        .flat_map(move |(old, new)| differing(instances(old), instances(new), same))
        .flat_map(|(old, new)| {
            let row = |(_, (task, healthy)): (Uuid, Instance<'_>)| rows::task(task, healthy);
            let (was, is) = (old.map(row), new.map(row));
            let of_is = is.as_ref().map(|is| is.id.clone());
            // An instance may be another task than it was.
            let (kept, gone) = match was {
                Some(was) if of_is.as_ref() == Some(&was.id) => (Some(was), None),
                was => (None, was.map(|was| Change::Gone(was.id))),
            };
            gone.into_iter().chain(is.and_then(|is| set(kept.as_ref(), is)))
        })
}

/// All of them, when one differs.
fn deployments(old: Option<&services::View>, new: &services::View) -> Option<Frame> {
    if old.is_some_and(|old| Arc::ptr_eq(&old.deployments, &new.deployments)) {
        return None;
    }
    let rows = |view: &services::View| view.deployments.iter().map(rows::deployment).collect::<Vec<_>>();
    let (was, set) = (old.map(rows).unwrap_or_default(), rows(new));
    (was != set).then_some(Frame::Deployments { set })
}

type App<'a> = (&'a AppId, &'a Arc<AppView>);

fn differing_apps<'a>(
    old: Option<&'a services::View>,
    new: &'a services::View,
) -> impl Iterator<Item = Pair<App<'a>>> + Send + use<'a> {
    let before = old.into_iter().flat_map(|view| view.apps.iter());
    differing(before, new.apps.iter(), |old, new| Arc::ptr_eq(old, new))
}

/// The tasks of an app with their health, in the order in which views have them: that of their instances.
fn instances(app: Option<App<'_>>) -> impl Iterator<Item = (Uuid, Instance<'_>)> + Send {
    app.into_iter().flat_map(|(_, view)| {
        let healthy = view.healthy.iter().copied().chain(repeat(None));
        view.tasks.iter().zip(healthy).map(|(task, healthy)| (task.id.instance().uuid, (task, healthy)))
    })
}

fn set<T: PartialEq>(was: Option<&T>, is: T) -> Option<Change<T>> {
    (was != Some(&is)).then_some(Change::Set(is))
}

/// What two sorted lists do not have in common: on one side only, or on both under the same key and not `same`. Keys are looked at
/// only where that is not so.
fn differing<K: Ord, V>(
    old: impl Iterator<Item = (K, V)>,
    new: impl Iterator<Item = (K, V)>,
    same: impl Fn(&V, &V) -> bool,
) -> impl Iterator<Item = Pair<(K, V)>> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    from_fn(move || {
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return None,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((_, was)), Some((_, is))) if same(was, is) => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some((was, _)), Some((is, _))) => was.cmp(is),
            };
            let was = order.is_le().then(|| old.next()).flatten();
            return Some((was, order.is_ge().then(|| new.next()).flatten()));
        }
    })
}

/// Puts what is said of many things into frames.
struct Frames<I>(I);

impl<I> Frames<I> {
    fn new(changes: I) -> Self {
        Self(changes)
    }
}

impl<T: Row, I: Iterator<Item = Change<T>>> Iterator for Frames<I> {
    type Item = Rows<T>;

    fn next(&mut self) -> Option<Rows<T>> {
        let (mut rows, mut weight) = (Rows { set: Vec::new(), gone: Vec::new() }, 0);
        while rows.set.len() + rows.gone.len() < ROWS && weight < BYTES {
            match self.0.next() {
                Some(Change::Set(row)) => {
                    weight += row.weight();
                    rows.set.push(row);
                }
                Some(Change::Gone(id)) => rows.gone.push(id),
                None => break,
            }
        }
        (!rows.set.is_empty() || !rows.gone.is_empty()).then_some(rows)
    }
}

#[cfg(test)]
mod tests;
