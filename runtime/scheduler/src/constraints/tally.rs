//! How many instances of an app are on each value of a constraint's field.

use std::collections::{BTreeMap, HashMap};

use super::{Constraint, Field, Operator};
use crate::host::Host;

/// What one constraint has to know of the instances that are there. Grows with each placement; when an instance is gone, it
/// is made anew.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Nothing when the operator looks at the candidate alone.
    field: Option<Field>,
    counts: HashMap<String, usize>,
    /// How many values have so many instances.
    sizes: BTreeMap<usize, usize>,
    pub(super) first: Option<String>,
}

impl Tally {
    /// Of a constraint whose app has no instances.
    pub fn new(constraint: &Constraint) -> Tally {
        let counts = match constraint.operator {
            Operator::Unique | Operator::Cluster(None) | Operator::GroupBy(_) | Operator::MaxPer(_) => true,
            Operator::Cluster(Some(_)) | Operator::Like(_) | Operator::Unlike(_) | Operator::Is(_) => false,
        };
        let field = counts.then(|| constraint.field.clone());
        Tally { field, counts: HashMap::new(), sizes: BTreeMap::new(), first: None }
    }

    /// One more instance is on `host`.
    pub fn place(&mut self, host: &Host) {
        let Some(value) = self.field.as_ref().and_then(|field| field.value(host)) else { return };
        if self.first.is_none() {
            self.first = Some(value.clone().into_owned());
        }
        let before = match self.counts.get_mut(&*value) {
            Some(count) => std::mem::replace(count, *count + 1),
            None => {
                self.counts.insert(value.into_owned(), 1);
                0
            }
        };
        if let Some(values) = self.sizes.get_mut(&before) {
            *values -= 1;
            if *values == 0 {
                self.sizes.remove(&before);
            }
        }
        *self.sizes.entry(before + 1).or_default() += 1;
    }

    /// How many are on a value.
    pub(super) fn count(&self, value: &str) -> usize {
        self.counts.get(value).copied().unwrap_or(0)
    }

    /// GROUP_BY: whether a value with `here` instances may get one more. A new one is taken while fewer than `groups` are
    /// in use. One in use gets its part of `target`, rounded down; as many as remain of the division may have one more.
    pub(super) fn is_level(&self, groups: Option<usize>, here: usize, target: usize) -> bool {
        let Some(groups) = groups else {
            return here == 0 || self.sizes.first_key_value().is_none_or(|(least, _)| *least == here);
        };
        if here == 0 {
            return self.counts.len() < groups;
        }
        let (each, extra) = (target / groups, target % groups);
        let above = self.sizes.range(each + 1..);
        let used: usize = above.map(|(count, values)| (count - each) * values).sum();
        here < each || (here == each && used < extra)
    }
}
