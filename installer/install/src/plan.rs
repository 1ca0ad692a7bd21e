//! What is to be done on a host: the difference between what it is to have and what it has. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::facts::{Facts, Found, Kind, UnitFound};
use crate::item::{Access, Content, Desired, Item, Sum};
use crate::manifest::Entry;
use crate::phase::Phase;

/// Where systemd reads units that an administrator put there.
pub const UNITS: &str = "/etc/systemd/system/";

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When.
    pub phase: Phase,
    /// The place of the item among those of the host.
    pub item: usize,
    /// What.
    pub deed: Deed,
    /// In a few words, for people.
    pub what: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "deed", rename_all = "snake_case")]
pub enum Deed {
    /// Makes a user.
    MakeUser,
    /// Makes a directory.
    MakeDir {
        /// Whose it will be.
        access: Access,
    },
    /// Changes whose it is.
    SetAccess {
        /// What was.
        from: Access,
        /// What will be.
        to: Access,
    },
    /// Writes a file.
    Write(Write),
    /// Makes a link, or lets it lead elsewhere.
    Link {
        /// Where it led.
        from: Option<String>,
        /// Where it will lead.
        to: String,
    },
    /// Runs a command.
    Run,
    /// Has systemd read its units again.
    Reload,
    /// Lets a unit start with the host, and starts it now.
    Start {
        /// Whether it is to be enabled first.
        enable: bool,
    },
    /// Starts a unit anew.
    Restart {
        /// Whether it is to be enabled first.
        enable: bool,
    },
    /// Lets a unit start with the host; it runs already.
    Enable,
}

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Write {
    /// Whose it will be.
    pub access: Access,
    /// Bytes.
    pub size: u64,
    /// Of what will stand in it; of a secret it says nothing.
    pub sum: Option<Sum>,
    /// What stands in it, where that may be shown and is known.
    pub before: Option<String>,
    /// What will stand in it, where that may be shown.
    pub after: Option<String>,
    /// Whether nothing is there yet.
    pub new: bool,
}

/// Something that is in the way, and was not put there by an installer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Where.
    pub path: String,
    /// What is there.
    pub what: String,
}

/// The steps that a host needs, in their order; none when it has all.
///
/// # Errors
/// When there are things in the way: then nothing is to be done at all.
pub fn plan(desired: &Desired, facts: &Facts) -> Result<Vec<Step>, Vec<Conflict>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut conflicts = Vec::new();
    let mut unit_files = false;
    for (number, (phase, item)) in desired.items.iter().enumerate() {
        let found = item.path().and_then(|path| facts.paths.get(&*path.to_string_lossy()));
        let deed = match item {
            Item::User { name } => (!facts.users.contains(name)).then_some(Deed::MakeUser),
            Item::Dir { path, access, .. } => match found {
                None => Some(Deed::MakeDir { access: access.clone() }),
                Some(Found { kind: Kind::Dir, access: from, .. }) => access_of(from, access),
                Some(found) => conflict(&mut conflicts, path, found),
            },
            Item::File { path, access, content } => match found {
                Some(found) if !may_replace(found, path, content, facts) => {
                    conflict(&mut conflicts, path, found)
                }
                found => write(found, access, content),
            },
            Item::Link { path, target } => match found {
                None => Some(Deed::Link { from: None, to: target.clone() }),
                Some(Found { kind: Kind::Link, target: Some(from), .. }) if from == target => None,
                Some(found @ Found { kind: Kind::Link, .. }) if facts.manifest.has(path) => {
                    Some(Deed::Link { from: found.target.clone(), to: target.clone() })
                }
                Some(found) => conflict(&mut conflicts, path, found),
            },
            Item::Command { .. } => (!facts.guards.contains(&number)).then_some(Deed::Run),
            Item::Unit { name, inputs, reads, .. } => {
                let unit = facts.units.get(name).cloned().unwrap_or_default();
                unit_files |= unit.stale;
                let file = format!("{UNITS}{name}");
                let written = |step: &Step| {
                    matches!(step.deed, Deed::Write(_)) && (step.what == file || reads.contains(&step.what))
                };
                // Somebody may have changed a file and restarted the unit: what it was started with does not tell.
                let touched = inputs.is_some() && (unit.stale || steps.iter().any(written));
                match unit_deed(&unit, inputs.as_ref()) {
                    None | Some(Deed::Enable) if touched && unit.active == "active" => {
                        Some(Deed::Restart { enable: !unit.enabled })
                    }
                    deed => deed,
                }
            }
        };
        let Some(deed) = deed else { continue };
        unit_files |= matches!(deed, Deed::Write(_)) && item.what().starts_with(UNITS);
        steps.push(Step { phase: *phase, item: number, deed, what: item.what() });
    }
    if unit_files {
        reload(desired, &mut steps);
    }
    if conflicts.is_empty() { Ok(steps) } else { Err(conflicts) }
}

/// Has units read again before the first of them is acted on, and at the end of the phase in which their files came.
fn reload(desired: &Desired, steps: &mut Vec<Step>) {
    let written =
        steps.iter().rposition(|step| step.what.starts_with(UNITS) && matches!(step.deed, Deed::Write(_)));
    let place = written.map_or_else(
        || {
            steps.iter().position(|step| {
                matches!(step.deed, Deed::Start { .. } | Deed::Restart { .. } | Deed::Enable)
            })
        },
        |at| Some(at + 1),
    );
    let place = place.unwrap_or(steps.len());
    let first_unit = || desired.items.iter().find(|(_, item)| matches!(item, Item::Unit { .. }));
    let phase = place
        .checked_sub(1)
        .and_then(|before| steps.get(before))
        .map(|step| step.phase)
        .or_else(|| first_unit().map(|(phase, _)| *phase))
        .unwrap_or(Phase::Distribute);
    let item = place.checked_sub(1).and_then(|before| steps.get(before)).map_or(0, |step| step.item);
    steps.insert(place, Step { phase, item, deed: Deed::Reload, what: "systemd reads its units".to_owned() });
}

/// What an installer put there may be replaced, and so may what is as it is to be.
fn may_replace(found: &Found, path: &str, content: &Content, facts: &Facts) -> bool {
    found.kind == Kind::File && (facts.manifest.has(path) || found.sum == Some(content.sum()))
}

fn conflict(conflicts: &mut Vec<Conflict>, path: &str, found: &Found) -> Option<Deed> {
    let what = match found.kind {
        Kind::File => "a file that no installer of ours put there",
        Kind::Dir => "a directory",
        Kind::Link => "a link that no installer of ours made",
        Kind::Other => "something that is neither file nor directory",
    };
    conflicts.push(Conflict { path: path.to_owned(), what: what.to_owned() });
    None
}

fn access_of(from: &Access, to: &Access) -> Option<Deed> {
    (from != to).then(|| Deed::SetAccess { from: from.clone(), to: to.clone() })
}

fn write(found: Option<&Found>, access: &Access, content: &Content) -> Option<Deed> {
    let sum = content.sum();
    if let Some(found) = found
        && found.sum.as_ref() == Some(&sum)
    {
        return access_of(&found.access, access);
    }
    let after = match content {
        Content::Text(text) => Some(text.to_string()),
        Content::Secret(_) | Content::Blob(_) | Content::Kept(_) => None,
    };
    Some(Deed::Write(Write {
        access: access.clone(),
        size: content.size(),
        sum: (!matches!(content, Content::Secret(_) | Content::Kept(_))).then_some(sum),
        before: found.filter(|_| after.is_some()).and_then(|found| found.content.clone()),
        after,
        new: found.is_none(),
    }))
}

fn unit_deed(unit: &UnitFound, inputs: Option<&Sum>) -> Option<Deed> {
    let enable = !unit.enabled;
    match unit.active.as_str() {
        "active" if inputs.is_none() || unit.inputs.as_ref() == inputs => enable.then_some(Deed::Enable),
        "active" | "activating" | "reloading" | "deactivating" => Some(Deed::Restart { enable }),
        _ => Some(Deed::Start { enable }),
    }
}

/// What the manifest is told before the steps are taken. What was there already was put there by somebody else, unless the manifest
/// says so already.
#[must_use]
pub fn entries(desired: &Desired, steps: &[Step], facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    for step in steps {
        let Some((_, item)) = desired.items.get(step.item) else { continue };
        let line = match (&step.deed, item) {
            (Deed::MakeUser, Item::User { name }) => Entry::User(name).line(),
            (Deed::MakeDir { .. }, Item::Dir { path, data: true, .. }) => Entry::Data(path).line(),
            (Deed::MakeDir { .. }, Item::Dir { path, .. }) => Entry::Dir(path).line(),
            (Deed::Write(_), Item::File { path, content, .. }) => Entry::File(path, &content.sum()).line(),
            (Deed::Link { .. }, Item::Link { path, .. }) => Entry::Link(path).line(),
            (Deed::Start { .. } | Deed::Restart { .. } | Deed::Enable, Item::Unit { name, .. })
                if !facts.manifest.units.contains(name) =>
            {
                Entry::Unit(name).line()
            }
            _ => continue,
        };
        lines.push(line);
    }
    lines
}

/// A digest of steps, the same whenever they do the same: what is new in each plan, a certificate and what follows from it, does not
/// count.
#[must_use]
pub fn fingerprint(steps: &[Step]) -> Sum {
    let mut text = String::new();
    for step in steps {
        let mut step = step.clone();
        if let Deed::Write(write) = &mut step.deed {
            if write.sum.is_none() {
                // Certificates differ in length too.
                write.size = 0;
            }
            if let Some(after) = &write.after {
                write.after =
                    Some(after.lines().filter(|line| !line.contains("CLUSTERCTL_INPUTS=")).collect());
                write.sum = None;
            }
        }
        // Their names in the debugger are as good as any, and no plan outlives its version.
        let _ = write!(text, "{step:?};");
    }
    Sum::of(text.as_bytes())
}

impl Deed {
    /// What it does, in a few words: one line of a plan, without the name of the thing.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::MakeUser => "make this user".to_owned(),
            Self::MakeDir { access } => format!("make this directory ({access})"),
            Self::SetAccess { from, to } => format!("{from} becomes {to}"),
            Self::Write(write) => {
                let mut words = if write.new { "new file" } else { "changed" }.to_owned();
                // Writing to a string does not fail.
                let _ = write!(words, " ({}, {})", write.access, size(write.size));
                words
            }
            Self::Link { from: None, to } => format!("link to {to}"),
            Self::Link { from: Some(from), to } => format!("link from {from} to {to}"),
            Self::Run => "run".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Start { enable: true } => "enable and start".to_owned(),
            Self::Start { enable: false } => "start".to_owned(),
            Self::Restart { enable: true } => "enable and restart".to_owned(),
            Self::Restart { enable: false } => "restart".to_owned(),
            Self::Enable => "enable".to_owned(),
        }
    }

    /// How long it takes at most, as a rule, in seconds; beyond it is marked as slow.
    #[must_use]
    pub fn expected_seconds(&self) -> u64 {
        match self {
            Self::Start { .. } | Self::Restart { .. } => 10,
            Self::Run | Self::Write(_) => 5,
            _ => 2,
        }
    }
}

/// Bytes for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded for people anyway")]
    let amount = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", amount / 1024.0),
        _ => format!("{:.1} MiB", amount / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests;
