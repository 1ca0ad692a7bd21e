//! Which instances go when some must (§8): unreachable ones, then those that do not run yet, then by `killSelection`;
//! among equals one of the fullest group that a constraint speaks of, so that what stays is balanced.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use api::marathon::{App, Condition, KillSelection, Operator, Uuid};
use scheduler::Host;

use super::state::Instance;

/// Picks `count` of `candidates`; `staying` are the instances that count for the balance and include the candidates.
pub(crate) fn to_kill(
    app: &App,
    mut candidates: Vec<&Instance>,
    staying: &[&Instance],
    count: usize,
) -> Vec<Uuid> {
    let fields: Vec<&str> = app
        .constraints
        .iter()
        .filter(|constraint| {
            matches!(constraint.operator, Operator::GroupBy | Operator::MaxPer | Operator::Unique)
        })
        .map(|constraint| constraint.field.as_str())
        .collect();
    let mut staying = staying.to_vec();
    let mut picked = Vec::new();
    if count >= candidates.len() {
        return candidates.iter().map(|instance| instance.id.uuid).collect();
    }
    if count == 0 {
        return picked;
    }
    if fields.is_empty() {
        // Nobody's going changes another's place.
        candidates.sort_by_cached_key(|instance| order(app, instance, 0));
        return candidates.iter().take(count).map(|instance| instance.id.uuid).collect();
    }
    while picked.len() < count && !candidates.is_empty() {
        let sizes: Vec<BTreeMap<Option<String>, usize>> = fields
            .iter()
            .map(|field| {
                let mut sizes = BTreeMap::new();
                for instance in &staying {
                    *sizes.entry(value(field, &instance.host)).or_insert(0) += 1;
                }
                sizes
            })
            .collect();
        let crowd = |instance: &Instance| -> usize {
            let size = |(field, sizes): (&&str, &BTreeMap<Option<String>, usize>)| {
                sizes.get(&value(field, &instance.host)).copied().unwrap_or(0)
            };
            fields.iter().zip(&sizes).map(size).sum()
        };
        let first = candidates.iter().min_by_key(|instance| order(app, instance, crowd(instance)));
        let Some(next) = first.map(|next| next.id.uuid) else {
            break;
        };
        candidates.retain(|instance| instance.id.uuid != next);
        staying.retain(|instance| instance.id.uuid != next);
        picked.push(next);
    }
    picked
}

/// Where an instance stands among those of which some are to go; `crowd` are as many as share its place.
fn order(app: &App, instance: &Instance, crowd: usize) -> (u8, Reverse<usize>, i64, Uuid) {
    let class = match instance.condition {
        _ if instance.is_unreachable() => 0,
        // Not heard of since this master leads: it may well run.
        Condition::Running | Condition::Unknown => 2,
        _ => 1,
    };
    let age = instance.staged_at.as_millis();
    let age = if app.kill_selection == KillSelection::YoungestFirst { -age } else { age };
    (class, Reverse(crowd), age, instance.id.uuid)
}

/// What a constraint compares.
fn value(field: &str, host: &Host) -> Option<String> {
    match field {
        "hostname" | "@hostname" => Some(host.hostname.clone()),
        "@region" => host.region.clone(),
        "@zone" => host.zone.clone(),
        name => host.attributes.get(name).map(ToString::to_string),
    }
}
