//! What agents have and tasks use: amounts, ranges and sets by name, each part belonging to a role.
//!
//! [`Bundle`] is one part; [`Resources`] is the unreserved part and one for each static reservation.
//! A dynamic reservation is to become a further kind of part, with principal and labels beside its role, and
//! a persistent volume an entry of its own in a bundle.

mod amount;
mod bundle;
mod scalars;
mod text;

pub use bundle::Bundle;
pub use scalars::Scalars;

use crate::role::Role;
use crate::scalar::Scalar;

/// Less CPU than this is worth no offer, unless there is memory (Mesos' rule).
pub const MIN_CPUS: Scalar = Scalar::from_thousandths(10);
/// Less memory than this, in MiB, is worth no offer, unless there is CPU (Mesos' rule).
pub const MIN_MEM: Scalar = Scalar::whole(32);

/// Resources by the role they are reserved for. No reserved part is empty, and roles ascend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    unreserved: Bundle,
    reserved: Vec<Reserved>,
}

/// What is reserved for one role. Room for principal, labels and the stack of refinements.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reserved {
    role: Role,
    bundle: Bundle,
}

/// A resource that is wanted and not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}({role}): {wanted} wanted, {there} there")]
pub struct Missing {
    /// The resource's name.
    pub name: String,
    /// The role it is wanted from.
    pub role: Role,
    /// How much is wanted.
    pub wanted: String,
    /// How much there is.
    pub there: String,
}

impl From<Bundle> for Resources {
    /// Unreserved resources.
    fn from(unreserved: Bundle) -> Resources {
        Resources { unreserved, reserved: Vec::new() }
    }
}

impl Resources {
    /// The part that belongs to no role.
    pub fn unreserved(&self) -> &Bundle {
        &self.unreserved
    }

    /// The reserved parts in ascending order of the role.
    pub fn reserved(&self) -> impl Iterator<Item = (&Role, &Bundle)> {
        self.reserved.iter().map(|part| (&part.role, &part.bundle))
    }

    /// All parts that have something, the unreserved one first, under `*`.
    pub fn parts(&self) -> impl Iterator<Item = (Role, &Bundle)> {
        let unreserved = (!self.unreserved.is_empty()).then(|| (Role::star(), &self.unreserved));
        unreserved.into_iter().chain(self.reserved().map(|(role, bundle)| (role.clone(), bundle)))
    }

    /// The part of one role; of `*` the unreserved one.
    pub fn part(&self, role: &Role) -> Option<&Bundle> {
        if role.is_star() {
            return Some(&self.unreserved);
        }
        let at = self.reserved.binary_search_by(|part| part.role.cmp(role)).ok()?;
        Some(&self.reserved[at].bundle)
    }

    /// Adds to the part of one role; to that of `*`, what is unreserved.
    pub fn add_part(&mut self, role: &Role, bundle: &Bundle) {
        if role.is_star() {
            self.unreserved.add(bundle);
        } else if !bundle.is_empty() {
            match self.reserved.binary_search_by(|part| part.role.cmp(role)) {
                Ok(at) => self.reserved[at].bundle.add(bundle),
                Err(at) => {
                    self.reserved.insert(at, Reserved { role: role.clone(), bundle: bundle.clone() });
                }
            }
        }
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.unreserved.is_empty() && self.reserved.is_empty()
    }

    /// Adds all of `other`: amounts are summed, ranges and sets united.
    pub fn add(&mut self, other: &Resources) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        self.unreserved.add(&other.unreserved);
        for part in &other.reserved {
            self.add_part(&part.role, &part.bundle);
        }
    }

    /// Takes away what there is of `other`; what is not there does no harm.
    pub fn saturating_sub(&mut self, other: &Resources) {
        self.unreserved.saturating_sub(&other.unreserved);
        for part in &other.reserved {
            if let Ok(at) = self.reserved.binary_search_by(|mine| mine.role.cmp(&part.role)) {
                self.reserved[at].bundle.saturating_sub(&part.bundle);
            }
        }
        self.reserved.retain(|part| !part.bundle.is_empty());
    }

    /// What remains when all of `other` is taken away.
    ///
    /// # Errors
    /// Names the first resource of which there is not enough.
    pub fn checked_sub(&self, other: &Resources) -> Result<Resources, Missing> {
        if let Some(missing) = self.missing(other) {
            return Err(missing);
        }
        let mut rest = self.clone();
        rest.saturating_sub(other);
        Ok(rest)
    }

    /// Whether all of `other` is there, each part in its own role.
    pub fn contains(&self, other: &Resources) -> bool {
        let part = |part: &Reserved| self.part(&part.role).is_some_and(|mine| mine.contains(&part.bundle));
        self.unreserved.contains(&other.unreserved) && other.reserved.iter().all(part)
    }

    /// The first resource of `wanted` of which there is not enough.
    pub fn missing(&self, wanted: &Resources) -> Option<Missing> {
        let nothing = Bundle::default();
        wanted.parts().find_map(|(role, bundle)| {
            let (name, wanted, there) = self.part(&role).unwrap_or(&nothing).missing(bundle)?;
            Some(Missing { name, role, wanted, there })
        })
    }

    /// The sums of all amounts over all roles.
    pub fn scalars(&self) -> Scalars {
        let mut sums = self.unreserved.scalars();
        for part in &self.reserved {
            sums.add(&part.bundle.scalars());
        }
        sums
    }

    /// Whether this is worth an offer: 0.01 CPUs or 32 MiB of memory, over all roles.
    pub fn is_allocatable(&self) -> bool {
        allocatable(std::iter::once(&self.unreserved).chain(self.reserved.iter().map(|part| &part.bundle)))
    }

    /// The parts that may be offered to a role: the unreserved one and those of the role and its ancestors.
    fn offerable<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = &'a Bundle> + 'a {
        let reserved = self.reserved.iter().filter(|part| part.role.covers(role));
        std::iter::once(&self.unreserved).chain(reserved.map(|part| &part.bundle))
    }

    /// Whether what may be offered to a role is worth an offer.
    pub(crate) fn is_allocatable_to(&self, role: &Role) -> bool {
        allocatable(self.offerable(role))
    }

    /// Whether `bound` contains all that may be offered to a role.
    pub(crate) fn is_within(&self, role: &Role, bound: &Resources) -> bool {
        let mut reserved = self.reserved.iter().filter(|part| part.role.covers(role));
        bound.unreserved.contains(&self.unreserved)
            && reserved.all(|part| bound.part(&part.role).is_some_and(|has| has.contains(&part.bundle)))
    }

    /// Takes out what may be offered to a role.
    pub(crate) fn take_for(&mut self, role: &Role) -> Resources {
        let unreserved = std::mem::take(&mut self.unreserved);
        let reserved = self.reserved.extract_if(.., |part| part.role.covers(role)).collect();
        Resources { unreserved, reserved }
    }

    /// Whether something in it could be offered to a role at or below this one.
    pub(crate) fn concerns(&self, role: &Role) -> bool {
        let related = |part: &Reserved| part.role.covers(role) || role.covers(&part.role);
        !self.unreserved.is_empty() || self.reserved.iter().any(related)
    }
}

fn allocatable<'a>(parts: impl Iterator<Item = &'a Bundle>) -> bool {
    let (mut cpus, mut mem) = (Scalar::ZERO, Scalar::ZERO);
    for part in parts {
        cpus = cpus.plus(part.cpus());
        mem = mem.plus(part.mem());
    }
    cpus >= MIN_CPUS || mem >= MIN_MEM
}
