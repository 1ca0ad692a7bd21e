//! Carrying a plan out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use inventory::Role;

use super::Run;
use crate::control::{Control, ControlError};
use crate::desired::{AGENT_UNIT, MASTER_UNIT};
use crate::event::{Event, Failure, Listener, Outcome};
use crate::facts::Facts;
use crate::host::{Host, Stopped, Work};
use crate::item::Desired;
use crate::lock::{self, Act, Answer, Owner};
use crate::phase::Phase;
use crate::plan::Step;

/// A master that was started leads after this.
const LEADER_WITHIN: Duration = Duration::from_secs(60);
/// One that was not answers after this.
const PRESENT_WITHIN: Duration = Duration::from_secs(5);
/// Agents that were started have registered after this.
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);
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
    /// It was lost.
    #[error("another installer took the lock: {} (process {}): {}", .0.who, .0.pid, .0.command)]
    Lost(Box<Owner>),
}

/// What one host is to do in a phase.
type Share = (Arc<Host>, Arc<Desired>, Arc<Facts>, Vec<Step>);

impl Run {
    /// Takes all steps: files to all hosts, masters, agents. How hosts came out of it is told and kept.
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
        let renew = renew(locked.clone(), owner, Arc::clone(&self.stop), Arc::clone(&self.listener));
        let done = tokio::select! {
            () = work(self) => Ok(()),
            lost = renew => Err(CarryError::Lost(Box::new(lost))),
        };
        if let (Ok(()), Some(host)) = (&done, locked) {
            // It runs out by itself when this fails.
            let _ = host.run(lock::script(lock::DIR, owner, Act::Release)).await;
        }
        done
    }

    /// Takes the lock on the master; where none is part of this run, on the first host that is.
    async fn lock(&self, owner: &Owner) -> Result<Option<Arc<Host>>, CarryError> {
        let master = self.active().find(|host| host.roles.contains(&Role::Master));
        let Some(host) = master.or_else(|| self.active().next()).and_then(|host| self.link(&host.name))
        else {
            return Ok(None);
        };
        let failed = |failure| CarryError::Lock { host: host.name.clone(), failure };
        let mut dead: Option<String> = None;
        loop {
            let act = Act::Acquire { dead: dead.as_deref() };
            let text = host.run(lock::script(lock::DIR, owner, act)).await.map_err(failed)?;
            match lock::answer(&text) {
                Some(Answer::Taken) => return Ok(Some(host)),
                // Its installer was killed on this machine.
                Some(Answer::Held(holder)) if dead.is_none() && holder.is_dead_here() => {
                    let text = format!(
                        "the lock of an installer that was killed is taken over ({})",
                        holder.command
                    );
                    self.tell(Event::Note { host: Some(host.name.clone()), text });
                    dead = Some(holder.token);
                }
                Some(Answer::Held(holder)) => return Err(CarryError::Locked(Box::new(holder))),
                Some(Answer::Released) | None => {
                    return Err(failed(Failure::new("the host's answer is not understood", None)));
                }
            }
        }
    }

    async fn phases(&mut self, control: &Control) {
        self.take_phase(Phase::Distribute).await;
        self.take_phase(Phase::Masters).await;
        if self.active().next().is_none() {
            return;
        }
        if let Err(why) = self.masters_lead(control).await {
            self.stop_short(&why);
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

    /// Nothing more can be done. What was changed on a host has not come to its end.
    pub(super) fn stop_short(&mut self, why: &str) {
        let names: Vec<String> = self.active().map(|host| host.name.clone()).collect();
        for name in names {
            let begun = self.members.get(&name).is_some_and(|member| member.taken > 0);
            if begun {
                self.fail(&name, Phase::Masters, "what depends on a master", Failure::new(why, None));
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
        let mut work: Vec<Share> = Vec::new();
        for host in self.active() {
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
        if work.is_empty() {
            return;
        }
        let begun = self.begin(phase, work.len());
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
        self.close_phase(begun);
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

/// Keeps the lock for as long as it is waited for; ends only when somebody else has it. When it can be kept no longer, no further host is
/// begun.
async fn renew(host: Option<Arc<Host>>, owner: &Owner, stop: Arc<AtomicBool>, listener: Listener) -> Owner {
    let Some(host) = host else { return std::future::pending().await };
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let answer = host.run(lock::script(lock::DIR, owner, Act::Renew)).await;
        match answer.ok().as_deref().and_then(lock::answer) {
            Some(Answer::Taken) => renewed = Instant::now(),
            Some(Answer::Held(holder)) => return holder,
            Some(Answer::Released) | None => {
                let runs_out = renewed.elapsed() + RENEW_EVERY > Duration::from_secs(lock::SECONDS);
                if runs_out && !stop.swap(true, Ordering::Relaxed) {
                    let text =
                        "the lock cannot be kept, since this host does not answer: no further host is begun";
                    listener(Event::Note { host: Some(host.name.clone()), text: text.to_owned() });
                }
            }
        }
    }
}
