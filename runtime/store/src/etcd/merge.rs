//! Which of the batches that wait fit into one transaction.

use std::collections::HashSet;

use crate::{Batch, Key, MAX_BATCH_BYTES};

/// etcd's default limit on the comparisons of one transaction, and on the operations of either branch.
const ETCD_OPS: usize = 128;

/// What the guards add to the branch that they add most to: leader, epoch and `last`.
pub(super) const GUARDS: usize = 3;

/// How many of the first ones can be made together: within etcd's limits, no key changed twice, none with a condition on
/// a key that one before it changes, and not such as change nothing with such as do. At least one, if there is one.
pub(super) fn together<'a>(batches: impl Iterator<Item = &'a Batch>) -> usize {
    let (mut ops, mut conditions, mut bytes) = (0, 0, 0);
    let mut changed: HashSet<&Key> = HashSet::new();
    let mut changes = None;
    let mut count = 0;
    for batch in batches {
        ops += batch.ops.len();
        conditions += batch.conditions.len();
        bytes += batch.bytes();
        let fits = ops.max(conditions) + GUARDS <= ETCD_OPS
            && bytes <= MAX_BATCH_BYTES
            && changed_apart(&changed, batch);
        if count > 0 && (!fits || changes != Some(!batch.ops.is_empty())) {
            break;
        }
        changes = Some(!batch.ops.is_empty());
        changed.extend(batch.ops.iter().map(|(key, _)| key));
        count += 1;
    }
    count
}

/// The batch neither changes nor looks at what was changed.
fn changed_apart(changed: &HashSet<&Key>, batch: &Batch) -> bool {
    let keys = batch.ops.iter().map(|(key, _)| key).chain(batch.conditions.iter().map(|(key, _)| key));
    !keys.into_iter().any(|key| changed.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condition, MAX_OPS};

    fn key(n: usize) -> Key {
        Key::new(format!("k/{n}")).unwrap()
    }

    fn put(n: usize) -> Batch {
        Batch::new().put(key(n), "x")
    }

    fn count(batches: &[Batch]) -> usize {
        together(batches.iter())
    }

    #[test]
    fn as_many_as_etcd_takes_are_made_together() {
        assert_eq!(count(&[]), 0);
        let many: Vec<_> = (0..300).map(put).collect();
        assert_eq!(count(&many), ETCD_OPS - GUARDS);
        let required: Vec<_> = (0..300).map(|n| put(n).require(key(n), Condition::Absent)).collect();
        assert_eq!(count(&required), ETCD_OPS - GUARDS);
        let full = (0..MAX_OPS).fold(Batch::new(), |batch, n| batch.put(key(n), "x"));
        assert_eq!(count(&[full.clone(), put(200), put(201), put(202), put(203), put(204), put(205)]), 6);
        let large: Vec<_> = (0..3).map(|n| Batch::new().put(key(n), vec![0; 600_000])).collect();
        assert_eq!(count(&large), 2);
    }

    #[test]
    fn what_depends_on_an_earlier_one_waits_for_it() {
        assert_eq!(count(&[put(1), put(2), put(1)]), 2);
        let after = put(3).require(key(1), Condition::Present);
        assert_eq!(count(&[put(1), after.clone()]), 1);
        assert_eq!(count(&[after, put(1)]), 2, "a condition is held against what was before both");
        assert_eq!(count(&[put(1), Batch::new(), put(2)]), 1);
        assert_eq!(count(&[Batch::new(), Batch::new(), put(2)]), 2);
    }
}
