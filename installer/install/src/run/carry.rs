//! Carrying a plan out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use inventory::Role;

use super::Run;
use crate::control::{Control, ControlError};
use crate::coordinators::{self, Order, Quorum};
use crate::desired::{AGENT_UNIT, ETCD_UNIT, MASTER_UNIT, authority};
use crate::event::{Event, Failure, Listener, Outcome};
use crate::facts::Facts;
use crate::host::{Host, Stopped, Work};
use crate::item::Desired;
use crate::lock::{self, Act, Answer, Owner, Part, Standing};
use crate::phase::Phase;
use crate::plan::Step;

/// A master that was started leads after this.
const LEADER_WITHIN: Duration = Duration::from_secs(60);
/// One that was not answers after this.
const PRESENT_WITHIN: Duration = Duration::from_secs(5);
/// Agents that were started have registered after this.
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);
/// Coordinators that were started answer after this, in seconds.
const QUORUM_WITHIN: u16 = 30;
/// The lock is renewed so often.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// Why a run does not begin, or stops as a whole.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Somebody else is at work on this cluster.
    #[error("the cluster is locked by {} (process {}) since {}: {}", .0.who, .0.pid, .0.since, .0.command)]
    Locked(Box<Owner>),
    /// The lock cannot be taken.
    #[error("the lock on {host} cannot be taken: {}", .failure.what)]
    Lock {
        /// The host.
        host: String,
        /// Why.
        failure: Failure,
    },
    /// Too few hosts that keep it are reached.
    #[error("only {taken} of {of} coordinators can be locked, and a majority is needed")]
    Minority {
        /// So many.
        taken: usize,
        /// Of so many.
        of: usize,
    },
    /// It was lost.
    #[error("another installer took the lock: {} (process {}): {}", .0.who, .0.pid, .0.command)]
    Lost(Box<Owner>),
}

/// What one host is to do in a phase.
type Share = (Arc<Host>, Arc<Desired>, Arc<Facts>, Vec<Step>);

impl Run {
    /// Takes all steps: files to all hosts, coordinators, masters, agents. How hosts came out of it is told and kept.
    ///
    /// # Errors
    /// When another installer is at work on this cluster.
    pub async fn carry_out(&mut self, control: &Control, owner: &Owner) -> Result<(), CarryError> {
        self.under_lock(owner, async |run: &mut Self| run.phases(control).await).await
    }

    /// Does something while no other installer does anything.
    pub(super) async fn under_lock(
        &mut self,
        owner: &Owner,
        work: impl AsyncFnOnce(&mut Self),
    ) -> Result<(), CarryError> {
        let locked = self.lock(owner).await?;
        let renew = renew(&locked, owner, Arc::clone(&self.stop), Arc::clone(&self.listener));
        let done = tokio::select! {
            () = work(self) => Ok(()),
            lost = renew => Err(CarryError::Lost(lost)),
        };
        if done.is_ok() {
            release(&locked, owner).await;
        }
        done
    }

    /// Takes the lock on all coordinators; without any on a master, and where none is part of this run on the first host that is.
    async fn lock(&self, owner: &Owner) -> Result<Vec<Lock>, CarryError> {
        let places = lock::places(
            &self.inventory,
            |name| self.options.exclude.contains(name),
            |name| self.active().any(|host| host.name == name),
        );
        let mut locks = Vec::new();
        let mut failed = None;
        for name in places {
            let host = self.link(&name);
            let part = match &host {
                None => Part::Unknown,
                Some(host) => match self.lock_on(host, owner).await {
                    Ok(None) => Part::Ours,
                    Ok(Some(holder)) => {
                        release(&locks, owner).await;
                        return Err(CarryError::Locked(Box::new(holder)));
                    }
                    Err(failure) => {
                        failed = Some((name, failure));
                        Part::Unknown
                    }
                },
            };
            locks.push(Lock { host, part, renewed: Instant::now() });
        }
        let parts: Vec<Part> = locks.iter().map(|lock| lock.part.clone()).collect();
        if parts.is_empty() || lock::standing(&parts) == Standing::Held {
            return Ok(locks);
        }
        release(&locks, owner).await;
        let (of, taken) = (parts.len(), parts.iter().filter(|part| **part == Part::Ours).count());
        Err(match failed {
            Some((host, failure)) if of == 1 => CarryError::Lock { host, failure },
            _ => CarryError::Minority { taken, of },
        })
    }

    /// Takes the lock on one host; whoever else holds it.
    async fn lock_on(&self, host: &Host, owner: &Owner) -> Result<Option<Owner>, Failure> {
        let mut dead: Option<String> = None;
        loop {
            let act = Act::Acquire { dead: dead.as_deref() };
            let text = host.run(lock::script(lock::DIR, owner, act)).await?;
            match lock::answer(&text) {
                Some(Answer::Taken) => return Ok(None),
                // Its installer was killed on this machine.
                Some(Answer::Held(holder)) if dead.is_none() && holder.is_dead_here() => {
                    let text = format!(
                        "the lock of an installer that was killed is taken over ({})",
                        holder.command
                    );
                    self.tell(Event::Note { host: Some(host.name.clone()), text });
                    dead = Some(holder.token);
                }
                Some(Answer::Held(holder)) => return Ok(Some(holder)),
                Some(Answer::Released) | None => {
                    return Err(Failure::new("the host's answer is not understood", None));
                }
            }
        }
    }

    async fn phases(&mut self, control: &Control) {
        self.take_phase(Phase::Distribute).await;
        if let Err(why) = self.start_coordinators().await {
            self.stop_short(Phase::Coordinators, "what depends on coordinators", &why);
            return;
        }
        if self.active().next().is_none() {
            return;
        }
        let led = match self.start_masters(control).await {
            Ok(()) => self.masters_lead(control).await,
            Err(why) => Err(why),
        };
        if let Err(why) = led {
            self.stop_short(Phase::Masters, "what depends on a master", &why);
            return;
        }
        if let Err(error) = self.admit(control).await {
            self.all_agents_fail("the master lets the agent in", &error);
            return;
        }
        self.take_phase(Phase::Agents).await;
        self.agents_register(control).await;
        self.end_well();
    }

    /// The order in which hosts act on a unit in a phase.
    fn order(&self, phase: Phase, unit: &str) -> Order {
        let acts = self.active().filter_map(|host| {
            let member = self.members.get(&host.name)?;
            member.steps.iter().find(|step| step.phase == phase)?;
            let found = member.facts.as_ref()?.units.get(unit);
            Some((host.name.as_str(), found.map_or("", |unit| unit.active.as_str())))
        });
        coordinators::order(acts)
    }

    /// Starts coordinators that do not run, all at once, since each waits for the others; and restarts those that do one at a time, as
    /// long as the others have a quorum.
    async fn start_coordinators(&mut self) -> Result<(), String> {
        let Order { together, one_by_one } = self.order(Phase::Coordinators, ETCD_UNIT);
        if !together.is_empty() || !one_by_one.is_empty() {
            let begun = self.begin(Phase::Coordinators, together.len() + one_by_one.len());
            self.take(Phase::Coordinators, &together).await;
            for name in one_by_one {
                let Some(endpoint) = self.inventory.host(&name).map(coordinators::endpoint) else { continue };
                match self.quorum(Some(&name), QUORUM_WITHIN).await {
                    Ok(quorum) if quorum.stands_without(&endpoint) => {
                        self.take(Phase::Coordinators, &[name]).await;
                    }
                    Ok(quorum) => {
                        let what = format!(
                            "it is not restarted, since {}: without it there would be no majority",
                            quorum.words()
                        );
                        let hint = "its new configuration is there; bring the others back, and install again";
                        let failure = Failure::new(what, Some(hint.to_owned()));
                        self.fail(&name, Phase::Coordinators, "restart etcd", failure);
                    }
                    Err(failure) => self.fail(&name, Phase::Coordinators, "restart etcd", failure),
                }
            }
            self.close_phase(begun);
        }
        if !self.active().any(|host| host.roles.contains(&Role::Coordinator)) {
            // Those that are no part of this run may do.
            return match self.inventory.with_role(Role::Coordinator).any(|host| self.is_failed(&host.name)) {
                true => Err("no coordinator runs".to_owned()),
                false => Ok(()),
            };
        }
        self.tell(Event::Waiting { what: "a quorum of coordinators".to_owned() });
        let why = match self.quorum(None, QUORUM_WITHIN).await {
            Ok(quorum) if quorum.stands() => return Ok(()),
            Ok(quorum) => quorum.words(),
            Err(failure) => failure.what,
        };
        let names: Vec<String> = self
            .active()
            .filter(|host| host.roles.contains(&Role::Coordinator))
            .map(|host| host.name.clone())
            .collect();
        for name in names {
            let mut failure = Failure::new(why.clone(), None);
            failure.said = self.log_of(&name, ETCD_UNIT).await;
            self.fail(&name, Phase::Coordinators, "a quorum of coordinators", failure);
        }
        Err(format!("coordinators have no quorum: {why}"))
    }

    fn is_failed(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|member| matches!(member.outcome, Some(Outcome::Failed { .. })))
    }

    /// Which coordinators answer: asked from this host, else from any that can.
    pub(super) async fn quorum(&self, from: Option<&str>, seconds: u16) -> Result<Quorum, Failure> {
        let mut last = Failure::new("no host can ask the coordinators", None);
        for host in self.active().filter(|host| from.is_none_or(|from| host.name == from)) {
            let asked = coordinators::ask(&self.inventory, host, seconds).zip(self.link(&host.name));
            let Some((script, link)) = asked else { continue };
            match link.run_long(script).await {
                Ok(text) => match Quorum::read(&text) {
                    Some(quorum) => return Ok(quorum),
                    None => last = Failure::new("the host's answer is not understood", None),
                },
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Starts masters. The one that has the cluster's state takes it to the coordinators first: nobody else may begin there with none.
    async fn start_masters(&mut self, control: &Control) -> Result<(), String> {
        let facts = self.known_facts();
        let holder = (self.inventory.with_role(Role::Coordinator).next().is_some())
            .then(|| coordinators::holders(&self.inventory, &facts).next().cloned())
            .flatten();
        let order = self.order(Phase::Masters, MASTER_UNIT);
        let begun = match order.together.len() + order.one_by_one.len() {
            0 => None,
            count => Some(self.begin(Phase::Masters, count)),
        };
        let done = self.start_masters_in(order, holder, control).await;
        if let Some(begun) = begun {
            self.close_phase(begun);
        }
        done
    }

    async fn start_masters_in(
        &mut self,
        mut order: Order,
        holder: Option<inventory::Host>,
        control: &Control,
    ) -> Result<(), String> {
        if let Some(host) = holder {
            let name = &host.name;
            self.take(Phase::Masters, std::slice::from_ref(name)).await;
            let why = format!("{name} has the cluster's state, and did not take it to the coordinators");
            if !self.active().any(|active| active.name == *name) {
                return Err(why);
            }
            self.tell(Event::Waiting { what: format!("{name} to lead") });
            let url = format!("https://{}", authority(&host.address, self.inventory.cluster.port));
            if let Err(error) = control.at(url).leader(LEADER_WITHIN).await {
                let mut failure = Failure::of(&error, Some(reach_hint(&error)));
                failure.said = self.log_of(name, MASTER_UNIT).await;
                self.fail(name, Phase::Masters, "it takes the cluster's state to the coordinators", failure);
                return Err(why);
            }
            order.together.retain(|other| other != name);
            order.one_by_one.retain(|other| other != name);
        }
        self.take(Phase::Masters, &order.together).await;
        for name in order.one_by_one {
            self.take(Phase::Masters, std::slice::from_ref(&name)).await;
            // Another one leads meanwhile: nobody is left without.
            if let Err(error) = control.leader(LEADER_WITHIN).await {
                let mut failure = Failure::of(&error, Some(reach_hint(&error)));
                failure.said = self.log_of(&name, MASTER_UNIT).await;
                self.fail(&name, Phase::Masters, "a master leads", failure);
                return Err("no master leads".to_owned());
            }
        }
        Ok(())
    }

    fn known_facts(&self) -> BTreeMap<String, Facts> {
        let facts = |(name, member): (&String, &super::Member)| {
            Some((name.clone(), member.facts.as_deref()?.clone()))
        };
        self.members.iter().filter_map(facts).collect()
    }

    /// Nothing more can be done. What was changed on a host has not come to its end.
    pub(super) fn stop_short(&mut self, phase: Phase, what: &str, why: &str) {
        let names: Vec<String> = self.active().map(|host| host.name.clone()).collect();
        for name in names {
            let begun = self.members.get(&name).is_some_and(|member| member.taken > 0);
            if begun {
                self.fail(&name, phase, what, Failure::new(why, None));
            } else {
                self.end(&name, Outcome::Skipped { why: why.to_owned() });
            }
        }
    }

    /// Those that came so far are as they are to be.
    pub(super) fn end_well(&mut self) {
        let good: Vec<String> = self.active().map(|host| host.name.clone()).collect();
        for name in good {
            let steps = self.members.get(&name).map_or(0, |member| member.taken);
            self.end(&name, if steps == 0 { Outcome::Ok } else { Outcome::Changed { steps } });
        }
    }

    /// Takes the steps of one phase on all hosts that have some.
    async fn take_phase(&mut self, phase: Phase) {
        let names: Vec<String> = self.active().map(|host| host.name.clone()).collect();
        let count = self.shares(phase, &names).len();
        if count == 0 {
            return;
        }
        let begun = self.begin(phase, count);
        self.take(phase, &names).await;
        self.close_phase(begun);
    }

    /// What these hosts are to do in a phase.
    fn shares(&self, phase: Phase, names: &[String]) -> Vec<Share> {
        let mut work: Vec<Share> = Vec::new();
        for host in self.active().filter(|host| names.contains(&host.name)) {
            let Some(member) = self.members.get(&host.name) else { continue };
            let (Some(link), Some(desired), Some(facts)) = (&member.link, &member.desired, &member.facts)
            else {
                continue;
            };
            let steps: Vec<Step> = member.steps.iter().filter(|step| step.phase == phase).cloned().collect();
            if !steps.is_empty() {
                work.push((Arc::clone(link), Arc::clone(desired), Arc::clone(facts), steps));
            }
        }
        work
    }

    /// Takes the steps of one phase on these hosts.
    async fn take(&mut self, phase: Phase, names: &[String]) {
        let work = self.shares(phase, names);
        let mut waiting = work.into_iter();
        let places = self.places.clone();
        let uploads = Arc::clone(&self.uploads);
        let listener = Arc::clone(&self.listener);
        let mut running = stream::FuturesUnordered::new();
        let mut refused = Vec::new();
        loop {
            while running.len() < self.options.parallel.max(1) {
                let Some((link, desired, facts, steps)) = waiting.next() else { break };
                if let Some(why) = self.has_had_enough() {
                    refused.push((link.name.clone(), why));
                    continue;
                }
                let (places, uploads, listener) = (&places, &uploads, &listener);
                running.push(async move {
                    let (desired, facts) = (&desired, &facts);
                    let work = Work { phase, desired, steps: &steps, facts, places, uploads, listener };
                    let taken = link.take(&work).await;
                    (link.name.clone(), steps.len(), taken)
                });
            }
            let Some((name, count, taken)) = running.next().await else { break };
            match taken {
                Ok(()) => {
                    if let Some(member) = self.members.get_mut(&name) {
                        member.taken += count;
                    }
                }
                Err(Stopped { what, failure }) => self.end(&name, Outcome::Failed { phase, what, failure }),
            }
        }
        drop(running);
        for (name, why) in refused {
            self.end(&name, Outcome::Skipped { why: why.to_owned() });
        }
    }

    /// Waits for a leader, if a master is there to lead.
    pub(super) async fn masters_lead(&mut self, control: &Control) -> Result<(), String> {
        let masters: Vec<String> = self
            .active()
            .filter(|host| host.roles.contains(&Role::Master))
            .map(|host| host.name.clone())
            .collect();
        self.tell(Event::Waiting { what: "a master to lead".to_owned() });
        // One that is no part of this run may lead all the same.
        let within = if masters.is_empty() { PRESENT_WITHIN } else { LEADER_WITHIN };
        let Err(error) = control.leader(within).await else { return Ok(()) };
        if masters.is_empty() {
            return Err("no master answers, and none is part of this run".to_owned());
        }
        for name in masters {
            let mut failure = Failure::of(&error, Some(reach_hint(&error)));
            failure.said = self.log_of(&name, MASTER_UNIT).await;
            self.fail(&name, Phase::Masters, "a master leads", failure);
        }
        Err("no master leads".to_owned())
    }

    /// Lets agents in that this run makes. One on which nothing is to be done was let in before: when it is not now, somebody took that
    /// back, and it stays so.
    pub(super) async fn admit(&mut self, control: &Control) -> Result<(), ControlError> {
        let admitted = control.admitted().await?;
        let (mut new, mut dismissed) = (BTreeSet::new(), Vec::new());
        for name in self.agents().into_iter().filter(|name| !admitted.contains(name)) {
            let is_made = self.members.get(&name).is_some_and(|member| !member.steps.is_empty());
            if is_made { _ = new.insert(name) } else { dismissed.push(name) }
        }
        for name in dismissed {
            let hint =
                "to let it in again, `clusterctl reset` it and install it anew: it gets another key then";
            let failure = Failure::new("its admission to the cluster was taken back", Some(hint.to_owned()));
            self.fail(&name, Phase::Agents, "the master lets the agent in", failure);
        }
        control.admit(&new).await?;
        let new = new.len();
        if new > 0 {
            let text = format!("{new} agent{} admitted", if new == 1 { " is" } else { "s are" });
            self.tell(Event::Note { host: None, text });
        }
        Ok(())
    }

    fn agents(&self) -> BTreeSet<String> {
        self.active().filter(|host| host.is_agent()).map(|host| host.name.clone()).collect()
    }

    pub(super) async fn agents_register(&mut self, control: &Control) {
        let agents = self.agents();
        if agents.is_empty() {
            return;
        }
        let begun = self.begin(Phase::Postflight, agents.len());
        let many = if agents.len() == 1 { "" } else { "s" };
        self.tell(Event::Waiting { what: format!("{} agent{many} to register", agents.len()) });
        match control.registered(&agents, REGISTERED_WITHIN, |_| {}).await {
            Ok(missing) => {
                for name in missing {
                    let what = format!("it did not register within {} s", REGISTERED_WITHIN.as_secs());
                    let hint = "its log says why: `journalctl -u clusterctl-agent` there";
                    let mut failure = Failure::new(what, Some(hint.to_owned()));
                    failure.said = self.log_of(&name, AGENT_UNIT).await;
                    self.fail(&name, Phase::Postflight, "the agent registers with the master", failure);
                }
            }
            Err(error) => self.all_agents_fail("the agent registers with the master", &error),
        }
        self.close_phase(begun);
    }

    pub(super) fn all_agents_fail(&mut self, what: &str, error: &ControlError) {
        for name in self.agents() {
            self.fail(&name, Phase::Agents, what, Failure::of(error, Some(reach_hint(error))));
        }
        self.end_well();
    }

    /// The last lines of a unit's log, where they can be had.
    async fn log_of(&self, name: &str, unit: &str) -> String {
        let Some(link) = self.link(name) else { return String::new() };
        let script = format!("journalctl --unit {unit} --lines 15 --no-pager --output cat 2>/dev/null\n");
        link.run(script).await.unwrap_or_default().trim().to_owned()
    }
}

fn reach_hint(error: &ControlError) -> String {
    match error {
        ControlError::Unreachable { .. } => {
            "this machine speaks to masters directly: open their port (5050) for it".to_owned()
        }
        _ => "the master's log says more: `journalctl -u clusterctl-master` there".to_owned(),
    }
}

/// The lock on one host.
struct Lock {
    host: Option<Arc<Host>>,
    part: Part,
    renewed: Instant,
}

impl Lock {
    /// Keeps it for another while. One whose host does not answer is ours until it runs out.
    async fn renew(&mut self, owner: &Owner) {
        let Some(host) = &self.host else { return };
        let answer = host.run(lock::script(lock::DIR, owner, Act::Renew)).await;
        match answer.ok().as_deref().and_then(lock::answer) {
            Some(Answer::Taken) => (self.part, self.renewed) = (Part::Ours, Instant::now()),
            Some(Answer::Held(holder)) => self.part = Part::Theirs(holder),
            Some(Answer::Released) | None => {
                if self.renewed.elapsed() + RENEW_EVERY > Duration::from_secs(lock::SECONDS) {
                    self.part = Part::Unknown;
                }
            }
        }
    }
}

/// Gives the lock back wherever it is ours. It runs out by itself where this fails.
async fn release(locks: &[Lock], owner: &Owner) {
    let ours = locks.iter().filter(|lock| lock.part == Part::Ours).filter_map(|lock| lock.host.as_ref());
    let released = ours.map(|host| host.run(lock::script(lock::DIR, owner, Act::Release)));
    futures_util::future::join_all(released).await;
}

/// Keeps the lock for as long as it is waited for; ends only when somebody else has it. When it can be kept no longer, no further host is
/// begun.
async fn renew(locks: &[Lock], owner: &Owner, stop: Arc<AtomicBool>, listener: Listener) -> Box<Owner> {
    if locks.is_empty() {
        return std::future::pending().await;
    }
    let again =
        |lock: &Lock| Lock { host: lock.host.clone(), part: lock.part.clone(), renewed: lock.renewed };
    let mut locks: Vec<Lock> = locks.iter().map(again).collect();
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        futures_util::future::join_all(locks.iter_mut().map(|lock| lock.renew(owner))).await;
        let parts: Vec<Part> = locks.iter().map(|lock| lock.part.clone()).collect();
        match lock::standing(&parts) {
            Standing::Held => {}
            Standing::Lost(holder) => return holder,
            Standing::Unsure if !stop.swap(true, Ordering::Relaxed) => {
                let host = locks.first().filter(|_| locks.len() == 1).and_then(|lock| lock.host.as_ref());
                let text = match host {
                    Some(_) => {
                        "the lock cannot be kept, since this host does not answer: no further host is begun"
                    }
                    None => {
                        "the lock cannot be kept, since most coordinators do not answer: no further host is begun"
                    }
                };
                let host = host.map(|host| host.name.clone());
                listener(Event::Note { host, text: text.to_owned() });
            }
            Standing::Unsure => {}
        }
    }
}
