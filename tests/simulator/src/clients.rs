//! Clients: what they ask for, what they are answered, and what has to be true of that under the next leader (P1).

use std::collections::{BTreeMap, BTreeSet};

use api::marathon::{AppId, AppUpdate, GroupChange, GroupId};
use serde_json::{Value, json};
use services::core::{Ask, Caller, Input, Request, State, Which};

use crate::world::{Event, World};

/// The apps that there may be; the last two stand in one group, and change together.
const APPS: [&str; 5] = ["/a", "/b", "/c", "/g/d", "/g/e"];

#[derive(Clone, Debug)]
enum Wish {
    Put(usize, u32),
    Scale(usize, u32),
    Restart(usize),
    Kill(usize),
    Delete(usize),
    PutGroup(u32),
    DeleteGroup,
}

/// What became of it, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Made,
    Refused,
}

#[derive(Clone, Debug)]
struct Asked {
    wish: Wish,
    force: bool,
    from: u64,
    /// When its client knew.
    until: Option<u64>,
    fate: Fate,
    /// The master that has it.
    at: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    asked: BTreeMap<u64, Asked>,
    next: u64,
}

/// What a wish makes of one app: nothing, or its definition (by the wish's number; `None` for none), or how many.
enum Made {
    Nothing,
    Definition(Option<u64>, u32),
    Instances(u32),
}

impl Wish {
    fn made(&self, number: u64, app: usize) -> Made {
        let grouped = APPS[app].starts_with("/g/");
        match self {
            Self::Put(at, instances) if *at == app => Made::Definition(Some(number), *instances),
            Self::Scale(at, instances) if *at == app => Made::Instances(*instances),
            Self::Delete(at) if *at == app => Made::Definition(None, 0),
            Self::PutGroup(instances) if grouped => Made::Definition(Some(number), *instances),
            Self::DeleteGroup if grouped => Made::Definition(None, 0),
            _ => Made::Nothing,
        }
    }
}

fn definition(number: u64, instances: u32) -> Value {
    json!({
        "cmd": "serve", "cpus": 0.2, "mem": 32, "instances": instances, "env": {"OP": number.to_string()},
        "unreachableStrategy": {"inactiveAfterSeconds": 3 + number % 7, "expungeAfterSeconds": 10 + number % 10},
        "backoffSeconds": 1, "backoffFactor": 1.1, "maxLaunchDelaySeconds": 5
    })
}

fn request(number: u64, wish: &Wish) -> Option<Request> {
    let id = |app: &usize| APPS[*app].parse::<AppId>().ok();
    let update = |app: &usize, fields: &Value, create| {
        Some(Request::Update { id: id(app)?, update: AppUpdate::read(fields).ok()?, create })
    };
    match wish {
        Wish::Put(app, instances) => update(app, &definition(number, *instances), true),
        Wish::Scale(app, instances) => update(app, &json!({"instances": instances}), false),
        Wish::Restart(app) => Some(Request::Restart(id(app)?)),
        Wish::Kill(app) => {
            Some(Request::Kill { app: Some(id(app)?), which: Which::All { host: None }, scale: false })
        }
        Wish::Delete(app) => Some(Request::Delete(id(app)?)),
        Wish::PutGroup(instances) => {
            let app = |name: &str| {
                let mut app = definition(number, *instances);
                app["id"] = json!(name);
                app
            };
            let body = json!({"id": "/g", "apps": [app("d"), app("e")]});
            let group: GroupId = "/g".parse().ok()?;
            let change = Box::new(GroupChange::read(&body, &group).ok()?);
            Some(Request::ChangeGroup { change, dry_run: false })
        }
        Wish::DeleteGroup => Some(Request::DeleteGroup("/g".parse().ok()?)),
    }
}

impl Clients {
    pub(crate) fn apps(&self) -> impl Iterator<Item = AppId> {
        APPS.iter().filter_map(|app| app.parse().ok())
    }

    pub(crate) fn waiting_at(&self, master: usize) -> Vec<u64> {
        let waits = |asked: &&Asked| asked.at == Some(master) && asked.until.is_none();
        self.asked.iter().filter(|(_, asked)| waits(asked)).map(|(number, _)| *number).collect()
    }

    pub(crate) fn figures(&self) -> BTreeMap<&'static str, u64> {
        let mut figures = BTreeMap::new();
        for asked in self.asked.values() {
            let name = match asked.fate {
                Fate::Unknown => "unknown",
                Fate::Made => "made",
                Fate::Refused => "refused",
            };
            *figures.entry(name).or_default() += 1;
        }
        figures
    }

    /// Whether another, acknowledged one of the same kind came after it for sure.
    fn superseded(&self, ended: Option<u64>, counts: &dyn Fn(u64, &Asked) -> bool) -> Option<u64> {
        let ended = ended?;
        let later = |(number, asked): (&u64, &Asked)| {
            (asked.fate == Fate::Made && asked.from > ended && counts(*number, asked)).then_some(*number)
        };
        self.asked.iter().find_map(later)
    }

    fn check(&self, app: usize, seen: Option<(u64, u32)>) -> Result<(), String> {
        let id = APPS[app];
        let defines =
            |number: u64, asked: &Asked| matches!(asked.wish.made(number, app), Made::Definition(..));
        let end = |asked: &Asked| if asked.fate == Fate::Made { asked.until } else { None };
        let Some((number, instances)) = seen else {
            // Nothing was there at first, and after every deletion.
            let deletions = self.asked.iter().filter(|(number, asked)| {
                asked.fate != Fate::Refused
                    && matches!(asked.wish.made(**number, app), Made::Definition(None, _))
            });
            let ends: Vec<Option<u64>> =
                std::iter::once(Some(0)).chain(deletions.map(|(_, asked)| end(asked))).collect();
            let lost = ends.iter().map(|ended| self.superseded(*ended, &defines)).collect::<Option<Vec<_>>>();
            return match lost.and_then(|lost| lost.last().copied()) {
                Some(lost) => Err(format!("{id} is not there, but change {lost} was acknowledged")),
                None => Ok(()),
            };
        };
        let Some(asked) = self.asked.get(&number) else {
            return Err(format!("{id} is of change {number}, which nobody asked for"));
        };
        if asked.fate == Fate::Refused {
            return Err(format!("{id} is of change {number}, which was refused"));
        }
        if let Some(later) = self.superseded(end(asked), &defines) {
            return Err(format!(
                "{id} is of change {number}, but change {later} was acknowledged after that"
            ));
        }
        let counts = |number: u64, asked: &Asked| !matches!(asked.wish.made(number, app), Made::Nothing);
        let may_be = self.asked.iter().any(|(number, asked)| {
            let made = match asked.wish.made(*number, app) {
                Made::Definition(Some(_), made) | Made::Instances(made) => made,
                _ => return false,
            };
            made == instances && asked.fate != Fate::Refused && self.superseded(end(asked), &counts).is_none()
        });
        if may_be {
            Ok(())
        } else {
            Err(format!("{id} has {instances} instances, which nobody asked for last"))
        }
    }
}

/// The change that an app's definition is of, and how many there are to be.
fn seen(state: &State, app: usize) -> Option<(u64, u32)> {
    let view = state.app_view(&APPS[app].parse().ok()?)?;
    let app = view.app?;
    let number = app.env.get("OP").and_then(|value| serde_json::to_value(value).ok());
    let number = number.and_then(|value| value.as_str().and_then(|text| text.parse().ok()));
    Some((number.unwrap_or(u64::MAX), app.instances))
}

impl World {
    /// Somebody wants something.
    pub(crate) fn client(&mut self) {
        if self.now >= self.faults_end {
            return;
        }
        let pause = self.random.within(300, 9_000);
        self.after(pause, Event::Client);
        let app = self.random.below(APPS.len());
        let instances = u32::try_from(self.random.below(5)).unwrap_or(0);
        let wish = match self.random.below(20) {
            0..=6 => Wish::Put(app, instances),
            7..=10 => Wish::Scale(app, instances),
            11..=12 => Wish::Restart(app),
            13 => Wish::Kill(app),
            14..=15 => Wish::Delete(app),
            16..=18 => Wish::PutGroup(instances),
            _ => Wish::DeleteGroup,
        };
        let leads: Vec<usize> =
            (0..self.masters.len()).filter(|m| self.masters[*m].reign.is_some()).collect();
        if leads.is_empty() {
            return;
        }
        let to = leads[self.random.below(leads.len())];
        self.clients.next += 1;
        let number = self.clients.next;
        let force = self.random.per_cent(50);
        self.note(|| format!("a client asks m{to} for {number}: {wish:?}, force {force}"));
        let from = self.now;
        let asked = Asked { wish, force, from, until: None, fate: Fate::Unknown, at: None };
        self.clients.asked.insert(number, asked);
        let takes = self.random.within(1, 20);
        self.after(takes, Event::ClientAsks(number, to));
    }

    pub(crate) fn client_asks(&mut self, number: u64, master: usize) {
        let Some(asked) = self.clients.asked.get_mut(&number) else { return };
        if self.masters[master].reign.is_none() {
            // Whoever does not lead passes nothing on.
            return self.client_hears(number, Some(false));
        }
        asked.at = Some(master);
        let Some(request) = request(number, &asked.wish) else {
            let what = format!("what clients ask can be asked: {:?}", asked.wish);
            return self.fail(what);
        };
        let ask = Ask { number, request, force: asked.force, caller: Caller::default() };
        self.services_hear(master, Input::Request(Box::new(ask)));
    }

    /// An answer is on its way, and may be lost.
    pub(crate) fn say_to_client(&mut self, number: u64, made: Option<bool>) {
        if !self.random.per_cent(3) {
            let takes = self.random.within(1, 30);
            self.after(takes, Event::ClientHears(number, made));
        }
    }

    pub(crate) fn client_hears(&mut self, number: u64, made: Option<bool>) {
        let now = self.now;
        self.note(|| format!("the client of {number} hears {made:?}"));
        let Some(asked) = self.clients.asked.get_mut(&number) else { return };
        if asked.until.is_none() {
            asked.until = Some(now);
            asked.fate = match made {
                None => Fate::Unknown,
                Some(true) => Fate::Made,
                Some(false) => Fate::Refused,
            };
        }
    }

    /// P1: what was acknowledged is there, unless something later took its place; the rest wholly or not at all.
    pub(crate) fn check_clients(&mut self, state: &State) {
        let all: Vec<Option<(u64, u32)>> = (0..APPS.len()).map(|app| seen(state, app)).collect();
        for (app, seen) in all.iter().enumerate() {
            if let Err(lost) = self.clients.check(app, *seen) {
                return self.fail(format!("P1, no acknowledged change is lost: {lost}"));
            }
        }
        // A group's apps are of the same change, or one was changed alone since.
        let grouped: BTreeSet<Option<u64>> = all
            .iter()
            .enumerate()
            .filter(|(app, _)| APPS[*app].starts_with("/g/"))
            .map(|(_, s)| s.map(|s| s.0))
            .collect();
        let wishes = grouped.iter().flatten().filter_map(|number| self.clients.asked.get(number));
        let together =
            wishes.clone().count() > 0 && wishes.clone().all(|a| matches!(a.wish, Wish::PutGroup(_)));
        if together && grouped.len() > 1 && grouped.iter().all(Option::is_some) {
            self.fail(format!("P1, a change is made wholly: the group is of changes {grouped:?}"));
        }
    }
}
