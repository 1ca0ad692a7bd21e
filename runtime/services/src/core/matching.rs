//! Whether one more instance of an app fits an offer (§3, the funnel of the queue).

use api::marathon::App;
use api::mesos::Offer;
use scheduler::constraints::{self, Constraint, Tally};
use scheduler::{Bundle, Host, Resources, Role, Scalar};

use super::ports;

/// Why an offer was turned away, in the order in which it is looked at. The numbers are places in
/// `RejectCount::REASONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) at: usize,
    /// For the sentence that says why nothing starts.
    pub(crate) detail: String,
}

/// What an instance takes of an offer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) resources: Resources,
    pub(crate) ports: Vec<u16>,
}

/// An app's demands, read once for many offers.
pub(crate) struct Demand<'a> {
    pub(crate) app: &'a App,
    role: Role,
    /// Roles whose parts may be used, the reserved ones first.
    accepted: Vec<Role>,
    named: bool,
    constraints: Vec<Constraint>,
}

impl<'a> Demand<'a> {
    /// `default` is the role of apps that name none. `None` when the definition holds what only an older validation let
    /// pass.
    pub(crate) fn new(app: &'a App, default: &Role) -> Option<Demand<'a>> {
        let role = match &app.role {
            Some(role) => role.parse().ok()?,
            None => default.clone(),
        };
        let mut accepted: Vec<Role> = match &app.accepted_resource_roles {
            Some(roles) => roles.iter().map(|role| role.parse().ok()).collect::<Option<_>>()?,
            None => vec![role.clone(), Role::star()],
        };
        accepted.sort_by_key(Role::is_star);
        accepted.dedup();
        let constraints = app.constraints.iter().map(|constraint| {
            let parts = [
                Some(constraint.field.clone()),
                Some(constraint.operator.word().to_owned()),
                constraint.value.clone(),
            ];
            parts.into_iter().flatten().collect()
        });
        let constraints = constraints::parse(&constraints.collect::<Vec<_>>()).ok()?;
        let named = app.accepted_resource_roles.is_some();
        Some(Demand { app, role, accepted, named, constraints })
    }

    /// Where the instances that count are, for [`Demand::fit`].
    pub(crate) fn tally<'h>(&self, placed: impl IntoIterator<Item = &'h Host>) -> Vec<Tally> {
        constraints::tally(&self.constraints, placed)
    }

    /// Whether one more fits into what is `left` of the offer, beside those that are `placed`; dynamic ports are looked
    /// for from `from` on.
    pub(crate) fn fit(
        &self,
        offer: &Offer,
        left: &Resources,
        placed: &[Tally],
        from: u64,
    ) -> Result<Fit, Rejection> {
        let no = |at, detail: String| Err(Rejection { at, detail });
        if offer.role != self.role && !(self.named && self.accepted.contains(&offer.role)) {
            return no(0, format!("it is for role {}", offer.role));
        }
        if !self.accepted.iter().any(|role| left.part(role).is_some_and(|part| !part.is_empty())) {
            return no(0, "it has nothing for the accepted roles".to_owned());
        }
        let target = usize::try_from(self.app.instances).unwrap_or(usize::MAX);
        if let Err(constraint) = constraints::check_tallied(&self.constraints, &offer.host, placed, target) {
            return no(1, format!("the constraint {constraint} turns {} away", offer.host.hostname));
        }
        let mut resources = Resources::default();
        let amounts = [
            (4, "cpus", self.app.cpus),
            (5, "mem", self.app.mem),
            (6, "disk", self.app.disk),
            (7, "gpus", f64::from(self.app.gpus)),
        ];
        for (at, name, wanted) in amounts {
            let wanted = Scalar::from_f64(wanted).unwrap_or(Scalar::LIMIT);
            if let Err(there) = self.take(name, wanted, left, &mut resources) {
                return no(at, format!("{wanted} {name} wanted, {there} there"));
            }
        }
        let Some(ports) = ports::choose(self.app, left, &self.accepted, from) else {
            let what = if self.app.require_ports {
                "the required ports are not free"
            } else {
                "too few ports are free"
            };
            return no(8, what.to_owned());
        };
        for port in &ports {
            let number = u64::from(*port);
            let owner = self
                .accepted
                .iter()
                .find(|role| left.part(role).is_some_and(|part| part.ports().contains_value(number)));
            if let Some(role) = owner {
                resources.add_part(role, &Bundle::default().with_ports(ports::ranges(&[*port])));
            }
        }
        Ok(Fit { resources, ports })
    }

    /// Takes an amount from the accepted parts in their order; else how much there is.
    fn take(&self, name: &str, wanted: Scalar, left: &Resources, into: &mut Resources) -> Result<(), Scalar> {
        let mut open = wanted;
        for role in &self.accepted {
            let there = left.part(role).map_or(Scalar::ZERO, |part| part.scalar(name));
            let taken = there.min(open);
            if taken > Scalar::ZERO {
                let mut bundle = Bundle::default();
                bundle.add_scalar(name, taken);
                into.add_part(role, &bundle);
                open = open.minus(taken);
            }
        }
        if open > Scalar::ZERO { Err(wanted.minus(open)) } else { Ok(()) }
    }
}
