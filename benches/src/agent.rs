//! One simulated agent: what it answers to what a master says. Pure: time comes in, messages go out.
//!
//! As a real one it says one thing of a task at a time, and the next when that was acknowledged; it answers a launch it knows
//! with what it said last, and a kill of a task it does not know with TASK_GONE. It keeps no checkpoints, and says nothing
//! twice: its link is a loopback connection, whose loss the fleet reports as an error.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use api::link::wire::{self, agent_message, master_message};
use api::link::{resources_to_wire, status_to_wire};
use api::marathon::{Timestamp, Uuid};
use api::mesos::{Reason, Source, TaskKey, TaskState, TaskStatus};
use scheduler::{AgentId, Resources};

/// How agents behave; all of a fleet alike.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What each has.
    pub resources: Resources,
    /// From a launch to TASK_RUNNING; TASK_STARTING is said at once.
    pub start: Duration,
    /// From a kill to TASK_KILLED.
    pub end: Duration,
    /// From TASK_RUNNING to the first good result of each health check; `None`: checks find nothing.
    pub healthy: Option<Duration>,
}

impl Default for Behaviour {
    /// A machine of the usual size, tasks without any delay, and checks that find all well at once.
    fn default() -> Self {
        Self {
            resources: "cpus:48;mem:131072;disk:1000000;ports:[31000-32999]".parse().unwrap_or_default(),
            start: Duration::ZERO,
            end: Duration::ZERO,
            healthy: Some(Duration::ZERO),
        }
    }
}

/// What an agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Running,
    Healthy,
    Killed,
}

struct Task {
    framework: String,
    checks: usize,
    state: TaskState,
    /// What is to be said: the first was sent and is not acknowledged.
    said: VecDeque<(TaskState, Uuid)>,
}

/// A simulated agent.
pub struct Agent {
    number: u64,
    behaviour: Behaviour,
    id: AgentId,
    tasks: HashMap<String, Task>,
    /// By when and, so that each has a place, a number.
    due: BTreeMap<(Duration, u64), (String, Due)>,
    numbers: u64,
    refused: Option<String>,
}

/// A moment as agents see it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Of a clock that never goes back.
    pub elapsed: Duration,
    /// The date.
    pub wall: Timestamp,
}

type Out = Vec<wire::AgentMessage>;

impl Agent {
    /// The agent of this number; those of one fleet have different ones.
    #[must_use]
    pub fn new(number: usize, behaviour: Behaviour) -> Self {
        Self {
            number: u64::try_from(number).unwrap_or(u64::MAX),
            behaviour,
            id: AgentId::from(""),
            tasks: HashMap::new(),
            due: BTreeMap::new(),
            numbers: 0,
            refused: None,
        }
    }

    fn address(&self) -> String {
        format!("10.{}.{}.{}", self.number >> 16 & 255, self.number >> 8 & 255, self.number & 255)
    }

    /// The first message on its link. Nobody connects to the address it names.
    #[must_use]
    pub fn register(&self) -> wire::AgentMessage {
        message(agent_message::Body::Register(wire::Register {
            agent_id: String::new(),
            name: format!("sim-{}", self.number),
            hostname: self.address(),
            address: self.address(),
            port: 5051,
            resources: resources_to_wire(&self.behaviour.resources),
            attributes: format!("rack:r{}", self.number % 40),
            region: String::new(),
            zone: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tasks: Vec::new(),
        }))
    }

    /// Whether a master has admitted it.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        !self.id.as_str().is_empty()
    }

    /// Why a master turned it away.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// How many tasks it has whose end is not acknowledged.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// When [`Agent::tick`] has something to do.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// What a master says.
    pub fn heard(&mut self, said: wire::MasterMessage, now: Now, out: &mut Out) {
        match said.body {
            Some(master_message::Body::Registered(it)) => self.id = AgentId::from(it.agent_id),
            Some(master_message::Body::Refused(it)) => self.refused = Some(it.message),
            Some(master_message::Body::Ping(_)) => {
                out.push(message(agent_message::Body::Pong(wire::Pong {})));
            }
            Some(master_message::Body::Launch(it)) => self.launch(it, now, out),
            Some(master_message::Body::Kill(it)) => self.kill(&it, now, out),
            Some(master_message::Body::Acknowledge(it)) => self.acknowledge(&it, now, out),
            // As one that has written it.
            Some(master_message::Body::PeersChanged(it)) => {
                let version = it.peers.map_or(0, |peers| peers.version);
                let (framework_id, task_id) = (it.framework_id, it.task_id);
                let held = wire::PeersHeld { framework_id, task_id, version };
                out.push(message(agent_message::Body::PeersHeld(held)));
            }
            None => {}
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now, out: &mut Out) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now.elapsed) {
            let (task, what) = entry.remove();
            self.happens(&task, what, now, out);
        }
    }

    fn launch(&mut self, launch: wire::Launch, now: Now, out: &mut Out) {
        let Some(info) = launch.info else { return };
        if let Some(known) = self.tasks.get(&info.id) {
            let (framework, state) = (known.framework.clone(), known.state);
            return self.say_once(&framework, &info.id, state, now, out);
        }
        let task = Task {
            framework: launch.framework_id,
            checks: info.checks.len(),
            state: TaskState::Starting,
            said: VecDeque::new(),
        };
        self.tasks.insert(info.id.clone(), task);
        self.say(&info.id, TaskState::Starting, now, out);
        self.after(self.behaviour.start, &info.id, Due::Running, now, out);
    }

    fn kill(&mut self, kill: &wire::Kill, now: Now, out: &mut Out) {
        if self.tasks.contains_key(&kill.task_id) {
            self.after(self.behaviour.end, &kill.task_id, Due::Killed, now, out);
        } else {
            self.say_once(&kill.framework_id, &kill.task_id, TaskState::Gone, now, out);
        }
    }

    fn acknowledge(&mut self, ack: &wire::Acknowledge, now: Now, out: &mut Out) {
        let Some(task) = self.tasks.get_mut(&ack.task_id) else { return };
        let acknowledged =
            task.said.front().is_some_and(|(_, uuid)| uuid.as_u128().to_be_bytes()[..] == ack.uuid);
        if !acknowledged {
            return;
        }
        let over = task.said.pop_front().is_some_and(|(state, _)| state.is_terminal());
        let next = task.said.front().copied();
        if over {
            self.tasks.remove(&ack.task_id);
        } else if let Some((state, uuid)) = next {
            self.send(&ack.task_id, state, Some(uuid), now, out);
        }
    }

    fn after(&mut self, wait: Duration, task: &str, what: Due, now: Now, out: &mut Out) {
        if wait.is_zero() {
            return self.happens(task, what, now, out);
        }
        self.numbers += 1;
        self.due.insert((now.elapsed + wait, self.numbers), (task.to_owned(), what));
    }

    fn happens(&mut self, id: &str, what: Due, now: Now, out: &mut Out) {
        let Some(task) = self.tasks.get(id).filter(|task| !task.state.is_terminal()) else { return };
        match what {
            Due::Running => self.say(id, TaskState::Running, now, out),
            Due::Killed => self.say(id, TaskState::Killed, now, out),
            Due::Healthy => {
                for check in 0..task.checks {
                    out.push(healthy(&task.framework, id, check, now));
                }
            }
        }
    }

    /// Says something that is to be acknowledged: now, or when what was said before has been.
    fn say(&mut self, id: &str, state: TaskState, now: Now, out: &mut Out) {
        self.numbers += 1;
        let uuid = Uuid::from_random(u128::from(self.number) << 64 | u128::from(self.numbers));
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.state = state;
        task.said.push_back((state, uuid));
        if task.said.len() == 1 {
            self.send(id, state, Some(uuid), now, out);
        }
    }

    fn say_once(&self, framework: &str, task: &str, state: TaskState, now: Now, out: &mut Out) {
        out.extend(self.update(framework, task, state, None, now));
    }

    fn send(&mut self, id: &str, state: TaskState, uuid: Option<Uuid>, now: Now, out: &mut Out) {
        let Some(task) = self.tasks.get(id) else { return };
        out.extend(self.update(&task.framework, id, state, uuid, now));
        if state == TaskState::Running
            && task.checks > 0
            && let Some(wait) = self.behaviour.healthy
        {
            self.after(wait, id, Due::Healthy, now, out);
        }
    }

    fn update(
        &self,
        framework: &str,
        task: &str,
        state: TaskState,
        uuid: Option<Uuid>,
        now: Now,
    ) -> Option<wire::AgentMessage> {
        // One that is none was never launched.
        let task: TaskKey = task.parse().ok()?;
        let status = TaskStatus {
            task,
            state,
            message: None,
            source: if uuid.is_some() { Source::Executor } else { Source::Agent },
            reason: uuid.is_none().then_some(Reason::Reconciliation),
            agent: Some(self.id.clone()),
            uuid,
            healthy: None,
            timestamp: now.wall,
            addresses: self.address().parse().into_iter().collect(),
        };
        Some(message(agent_message::Body::Update(wire::StatusUpdate {
            framework_id: framework.to_owned(),
            status: Some(status_to_wire(&status)),
        })))
    }
}

fn message(body: agent_message::Body) -> wire::AgentMessage {
    wire::AgentMessage { body: Some(body) }
}

fn healthy(framework: &str, task: &str, check: usize, now: Now) -> wire::AgentMessage {
    let at = Some(now.wall.as_millis());
    message(agent_message::Body::Health(wire::HealthReport {
        task_id: task.to_owned(),
        check: u32::try_from(check).unwrap_or(u32::MAX),
        alive: true,
        consecutive_failures: 0,
        first_success: at,
        last_success: at,
        last_failure: None,
        last_failure_cause: None,
        framework_id: framework.to_owned(),
        sight: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1";

    fn at(millis: u64) -> Now {
        Now { elapsed: Duration::from_millis(millis), wall: Timestamp::from_millis(1_000) }
    }

    struct Talk {
        agent: Agent,
        out: Out,
    }

    impl Talk {
        fn new(behaviour: Behaviour) -> Self {
            let mut talk = Self { agent: Agent::new(7, behaviour), out: Vec::new() };
            let (agent_id, master_id) = ("S7".to_owned(), "M".to_owned());
            talk.hear(
                0,
                master_message::Body::Registered(wire::Registered { agent_id, master_id, silence_ms: 0 }),
            );
            talk
        }

        fn hear(&mut self, millis: u64, body: master_message::Body) {
            let said = wire::MasterMessage { epoch: 1, body: Some(body) };
            self.agent.heard(said, at(millis), &mut self.out);
        }

        fn launch(&mut self, checks: usize) {
            let check = wire::Check::default();
            let info =
                wire::TaskInfo { id: TASK.to_owned(), checks: vec![check; checks], ..Default::default() };
            let launch = wire::Launch { framework_id: "F".to_owned(), info: Some(info) };
            self.hear(0, master_message::Body::Launch(launch));
        }

        fn kill(&mut self, millis: u64) {
            let (framework_id, task_id) = ("F".to_owned(), TASK.to_owned());
            self.hear(
                millis,
                master_message::Body::Kill(wire::Kill { framework_id, task_id, grace_ms: None }),
            );
        }

        /// What it has said since this was last asked; each update is acknowledged at once.
        fn said(&mut self, millis: u64) -> Vec<String> {
            let mut all = Vec::new();
            while !self.out.is_empty() {
                for message in std::mem::take(&mut self.out) {
                    match message.body.unwrap() {
                        agent_message::Body::Update(update) => {
                            let status = update.status.unwrap();
                            let asks = if status.uuid.is_empty() { "" } else { "!" };
                            all.push(format!("{}{asks}", status.state));
                            let (framework_id, task_id) = (update.framework_id, status.task_id);
                            let ack = wire::Acknowledge { framework_id, task_id, uuid: status.uuid };
                            self.hear(millis, master_message::Body::Acknowledge(ack));
                        }
                        agent_message::Body::Health(report) => all.push(format!("healthy {}", report.check)),
                        agent_message::Body::Pong(_) => all.push("pong".to_owned()),
                        agent_message::Body::PeersHeld(held) => all.push(format!("peers {}", held.version)),
                        agent_message::Body::Register(_) => all.push("register".to_owned()),
                    }
                }
            }
            all
        }
    }

    #[test]
    fn a_task_starts_runs_is_healthy_and_ends_at_once() {
        let mut talk = Talk::new(Behaviour::default());
        talk.launch(2);
        assert_eq!(talk.out.len(), 1, "the second statement waits for the first one's acknowledgement");
        assert_eq!(talk.said(0), ["TASK_STARTING!", "TASK_RUNNING!", "healthy 0", "healthy 1"]);
        talk.launch(2);
        assert_eq!(talk.said(0), ["TASK_RUNNING"], "a launch that it knows starts nothing");
        talk.kill(0);
        assert_eq!(talk.said(0), ["TASK_KILLED!"]);
        assert_eq!(talk.agent.tasks(), 0);
        talk.kill(0);
        assert_eq!(talk.said(0), ["TASK_GONE"]);
    }

    #[test]
    fn what_takes_time_happens_when_it_has_passed() {
        let ms = Duration::from_millis;
        let behaviour = Behaviour { start: ms(10), end: ms(5), healthy: Some(ms(3)), ..Behaviour::default() };
        let mut talk = Talk::new(behaviour);
        talk.launch(1);
        assert_eq!((talk.said(0), talk.agent.next()), (vec!["TASK_STARTING!".to_owned()], Some(ms(10))));
        talk.agent.tick(at(9), &mut talk.out);
        assert_eq!(talk.said(9), [""; 0]);
        talk.agent.tick(at(10), &mut talk.out);
        assert_eq!(talk.said(10), ["TASK_RUNNING!"]);
        talk.agent.tick(at(13), &mut talk.out);
        assert_eq!(talk.said(13), ["healthy 0"]);
        talk.kill(20);
        assert_eq!(talk.agent.next(), Some(ms(25)));
        talk.agent.tick(at(25), &mut talk.out);
        assert_eq!((talk.said(25), talk.agent.next()), (vec!["TASK_KILLED!".to_owned()], None));
    }

    #[test]
    fn silent_checks_say_nothing_and_pings_are_answered() {
        let mut talk = Talk::new(Behaviour { healthy: None, ..Behaviour::default() });
        talk.launch(1);
        assert_eq!(talk.said(0), ["TASK_STARTING!", "TASK_RUNNING!"]);
        talk.hear(0, master_message::Body::Ping(wire::Ping {}));
        assert_eq!(talk.said(0), ["pong"]);
        assert!(talk.agent.is_registered() && talk.agent.refused().is_none());
    }
}
