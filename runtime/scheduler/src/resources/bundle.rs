//! Quantities of one role.

use std::collections::BTreeSet;

use super::amount::{Amount, ByName, add_all, missing_of, sub_all};
use super::scalars::Scalars;
use crate::ranges::Ranges;
use crate::scalar::Scalar;

/// Amounts, ranges and sets by name. `cpus`, `mem` (MiB), `disk` (MiB) and `gpus` are amounts, `ports` are ranges;
/// any other name may be of any kind. No amount is below zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    cpus: Scalar,
    mem: Scalar,
    disk: Scalar,
    gpus: Scalar,
    ports: Ranges,
    /// Absent when there is nothing in it, which is nearly always.
    named: Option<Box<Named>>,
}

/// Quantities under names of the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) scalars: ByName<Scalar>,
    pub(super) ranges: ByName<Ranges>,
    pub(super) sets: ByName<BTreeSet<String>>,
}

impl Bundle {
    /// CPUs, memory in MiB and disk in MiB.
    pub fn new(cpus: Scalar, mem: Scalar, disk: Scalar) -> Bundle {
        let at_least_zero = |amount: Scalar| amount.max(Scalar::ZERO);
        Bundle {
            cpus: at_least_zero(cpus),
            mem: at_least_zero(mem),
            disk: at_least_zero(disk),
            ..Bundle::default()
        }
    }

    /// The same with these ports.
    #[must_use]
    pub fn with_ports(mut self, ports: Ranges) -> Bundle {
        self.ports = ports;
        self
    }

    /// CPUs.
    pub fn cpus(&self) -> Scalar {
        self.cpus
    }

    /// Memory in MiB.
    pub fn mem(&self) -> Scalar {
        self.mem
    }

    /// Disk in MiB.
    pub fn disk(&self) -> Scalar {
        self.disk
    }

    /// GPUs.
    pub fn gpus(&self) -> Scalar {
        self.gpus
    }

    /// Ports.
    pub fn ports(&self) -> &Ranges {
        &self.ports
    }

    /// The amount of this name; zero when there is none.
    pub fn scalar(&self, name: &str) -> Scalar {
        match name {
            "cpus" => self.cpus,
            "mem" => self.mem,
            "disk" => self.disk,
            "gpus" => self.gpus,
            _ => self.named.as_ref().and_then(|named| named.scalars.get(name)).copied().unwrap_or_default(),
        }
    }

    /// Adds to the amount of this name; what is below zero counts as nothing.
    pub fn add_scalar(&mut self, name: &str, amount: Scalar) {
        if amount <= Scalar::ZERO {
            return;
        }
        let sum = match name {
            "cpus" => &mut self.cpus,
            "mem" => &mut self.mem,
            "disk" => &mut self.disk,
            "gpus" => &mut self.gpus,
            _ => self.named.get_or_insert_default().scalars.entry(name.into()).or_default(),
        };
        *sum = sum.plus(amount);
    }

    /// The ranges of this name, if there are any.
    pub fn ranges(&self, name: &str) -> Option<&Ranges> {
        if name == "ports" {
            return (!self.ports.is_empty()).then_some(&self.ports);
        }
        self.named.as_ref()?.ranges.get(name)
    }

    /// Unites the ranges of this name with these.
    pub fn add_ranges(&mut self, name: &str, ranges: &Ranges) {
        if name == "ports" {
            self.ports.add(ranges);
        } else if !ranges.is_empty() {
            self.named.get_or_insert_default().ranges.entry(name.into()).or_default().add(ranges);
        }
    }

    /// The set of this name, if there is one.
    pub fn set(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.named.as_ref()?.sets.get(name)
    }

    /// Unites the set of this name with this one.
    pub fn add_set(&mut self, name: &str, items: &BTreeSet<String>) {
        if !items.is_empty() {
            self.named.get_or_insert_default().sets.entry(name.into()).or_default().add(items);
        }
    }

    pub(super) fn named(&self) -> Option<&Named> {
        self.named.as_deref()
    }

    fn amounts(&self) -> [(&'static str, Scalar); 4] {
        [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("gpus", self.gpus)]
    }

    /// Amounts that are more than zero, by name: cpus, mem, disk, gpus, then others in their order.
    pub fn scalar_entries(&self) -> impl Iterator<Item = (&str, Scalar)> {
        let own = self.named.iter().flat_map(|named| named.scalars.iter());
        let known = self.amounts().into_iter().filter(|(_, amount)| !amount.is_zero());
        known.chain(own.map(|(name, amount)| (&**name, *amount)))
    }

    /// Ranges that are not empty, by name: ports, then others in their order.
    pub fn ranges_entries(&self) -> impl Iterator<Item = (&str, &Ranges)> {
        let own = self.named.iter().flat_map(|named| named.ranges.iter());
        let ports = (!self.ports.is_empty()).then_some(("ports", &self.ports));
        ports.into_iter().chain(own.map(|(name, ranges)| (&**name, ranges)))
    }

    /// Sets that are not empty, in the order of their names.
    pub fn set_entries(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.named.iter().flat_map(|named| named.sets.iter()).map(|(name, items)| (&**name, items))
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.amounts().iter().all(|(_, amount)| amount.is_zero())
            && self.ports.is_empty()
            && self.named.is_none()
    }

    /// Adds all of `other`: amounts are summed, ranges and sets united.
    pub fn add(&mut self, other: &Bundle) {
        Amount::add(&mut self.cpus, &other.cpus);
        Amount::add(&mut self.mem, &other.mem);
        Amount::add(&mut self.disk, &other.disk);
        Amount::add(&mut self.gpus, &other.gpus);
        self.ports.add(&other.ports);
        if let Some(theirs) = &other.named {
            let named = self.named.get_or_insert_default();
            add_all(&mut named.scalars, &theirs.scalars);
            add_all(&mut named.ranges, &theirs.ranges);
            add_all(&mut named.sets, &theirs.sets);
        }
    }

    /// Takes away what there is of `other`; what is not there does no harm.
    pub fn saturating_sub(&mut self, other: &Bundle) {
        Amount::saturating_sub(&mut self.cpus, &other.cpus);
        Amount::saturating_sub(&mut self.mem, &other.mem);
        Amount::saturating_sub(&mut self.disk, &other.disk);
        Amount::saturating_sub(&mut self.gpus, &other.gpus);
        self.ports.subtract(&other.ports);
        if let (Some(named), Some(theirs)) = (&mut self.named, &other.named) {
            sub_all(&mut named.scalars, &theirs.scalars);
            sub_all(&mut named.ranges, &theirs.ranges);
            sub_all(&mut named.sets, &theirs.sets);
            if **named == Named::default() {
                self.named = None;
            }
        }
    }

    /// Whether all of `other` is there.
    pub fn contains(&self, other: &Bundle) -> bool {
        self.cpus >= other.cpus
            && self.mem >= other.mem
            && self.disk >= other.disk
            && self.gpus >= other.gpus
            && self.ports.contains(&other.ports)
            && (other.named.is_none() || self.missing(other).is_none())
    }

    /// The first quantity of `wanted` that is not covered: name, what is wanted, what there is.
    pub(super) fn missing(&self, wanted: &Bundle) -> Option<(String, String, String)> {
        for ((name, there), (_, wanted)) in self.amounts().into_iter().zip(wanted.amounts()) {
            if wanted > there {
                return Some((name.to_owned(), wanted.show(), there.show()));
            }
        }
        if !self.ports.contains(&wanted.ports) {
            return Some(("ports".to_owned(), wanted.ports.show(), self.ports.show()));
        }
        let theirs = wanted.named()?;
        let nothing = Named::default();
        let mine = self.named().unwrap_or(&nothing);
        missing_of(&mine.scalars, &theirs.scalars)
            .or_else(|| missing_of(&mine.ranges, &theirs.ranges))
            .or_else(|| missing_of(&mine.sets, &theirs.sets))
    }

    /// The amounts alone.
    pub fn scalars(&self) -> Scalars {
        let own = self.named.as_ref().map(|named| named.scalars.clone()).unwrap_or_default();
        Scalars { known: [self.cpus, self.mem, self.disk, self.gpus], own }
    }
}
