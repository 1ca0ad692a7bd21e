//! A master with one large agent, in a few lines: offers when it is asked to, runs what is launched, ends what is killed.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use api::marathon::{Timestamp, Uuid};
use api::mesos::{
    Call, Event, FrameworkInfo, Offer, Source, Subscribe, Subscription, TaskKey, TaskState, TaskStatus,
};
use scheduler::{AgentId, Bundle, Host, Range, Resources, Role, Scalar};
use tokio::sync::{mpsc, watch};

#[derive(Default)]
struct Inner {
    tasks: BTreeMap<TaskKey, TaskState>,
    unacknowledged: BTreeMap<u128, TaskKey>,
    numbers: u128,
    suppressed: bool,
    /// Whether launched tasks come to run at once.
    holds: bool,
    events: Option<mpsc::Sender<Event>>,
    /// How many updates are not acknowledged yet.
    open: watch::Sender<usize>,
}

pub(super) struct Master(Arc<Mutex<Inner>>);

impl Master {
    pub(super) fn new() -> Master {
        Master(Arc::new(Mutex::new(Inner::default())))
    }

    /// Waits until every update is acknowledged.
    pub(super) async fn acknowledged(&self) {
        let mut open = self.0.lock().unwrap().open.subscribe();
        open.wait_for(|open| *open == 0).await.unwrap();
    }

    pub(super) fn tasks(&self) -> Vec<TaskKey> {
        self.0.lock().unwrap().tasks.keys().cloned().collect()
    }

    pub(super) fn hold(&self, holds: bool) {
        self.0.lock().unwrap().holds = holds;
    }

    /// What a task of the master's own accord does.
    pub(super) fn becomes(&self, task: &TaskKey, state: TaskState) {
        let mut inner = self.0.lock().unwrap();
        let event = inner.update(task, state, true);
        inner.send(event);
    }

    /// Ends the subscription.
    pub(super) fn hang_up(&self) {
        self.0.lock().unwrap().events = None;
    }
}

impl Inner {
    fn send(&mut self, event: Event) {
        if let Some(events) = &self.events {
            let _gone = events.try_send(event);
        }
    }

    fn update(&mut self, task: &TaskKey, state: TaskState, news: bool) -> Event {
        if state.is_terminal() {
            self.tasks.remove(task);
        } else {
            self.tasks.insert(task.clone(), state);
        }
        self.numbers += 1;
        let uuid = news.then(|| Uuid::from_bits(self.numbers));
        if news {
            self.unacknowledged.insert(self.numbers, task.clone());
            self.open.send_replace(self.unacknowledged.len());
        }
        Event::Update(TaskStatus {
            task: task.clone(),
            state,
            message: None,
            source: Source::Agent,
            reason: None,
            agent: Some(AgentId::from("a1")),
            uuid,
            healthy: None,
            timestamp: Timestamp::from_millis(1_769_847_330_123),
            addresses: vec!["127.0.0.2".parse().unwrap()],
        })
    }

    fn offer(&mut self) {
        if self.suppressed {
            return;
        }
        self.numbers += 1;
        let ports = [Range::new(31_000, 31_999).unwrap()].into_iter().collect();
        let bundle =
            Bundle::new(Scalar::whole(8), Scalar::whole(8_192), Scalar::whole(8_192)).with_ports(ports);
        let offer = Offer {
            id: format!("M-O{}", self.numbers),
            role: Role::star(),
            agent: AgentId::from("a1"),
            host: Host { hostname: "127.0.0.2".to_owned(), ..Host::default() }.into(),
            address: "127.0.0.2".parse().unwrap(),
            resources: Resources::from(bundle),
        };
        self.send(Event::Offers(vec![offer]));
    }

    fn called(&mut self, call: Call) {
        match call {
            Call::Accept { tasks, .. } => {
                for task in tasks {
                    let state = if self.holds { TaskState::Staging } else { TaskState::Running };
                    assert!(self.tasks.insert(task.id.clone(), state).is_none(), "launched twice");
                    if !self.holds {
                        let event = self.update(&task.id, state, true);
                        self.send(event);
                    }
                }
                self.offer();
            }
            Call::Kill { task, .. } => {
                if self.tasks.contains_key(&task) {
                    let event = self.update(&task, TaskState::Killed, true);
                    self.send(event);
                    self.offer();
                }
            }
            Call::Acknowledge { uuid, .. } => {
                self.unacknowledged.remove(&uuid.as_u128());
                self.open.send_replace(self.unacknowledged.len());
            }
            Call::Reconcile(tasks) => {
                let all = self.tasks.keys().map(|task| (task.clone(), None)).collect();
                let tasks = if tasks.is_empty() { all } else { tasks };
                for (task, _) in tasks {
                    let state = self.tasks.get(&task).copied().unwrap_or(TaskState::Gone);
                    let event = self.update(&task, state, false);
                    self.send(event);
                }
            }
            Call::Suppress(_) => self.suppressed = true,
            Call::Revive(_) => {
                self.suppressed = false;
                self.offer();
            }
            Call::Peers { .. } | Call::Decline { .. } | Call::Teardown => {}
        }
    }
}

impl Subscribe for Master {
    fn subscribe(
        &self,
        info: FrameworkInfo,
    ) -> Pin<Box<dyn Future<Output = Option<Subscription>> + Send + '_>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let (calls, mut called) = mpsc::channel(16);
            let (events, received) = mpsc::channel(1024);
            {
                let mut inner = inner.lock().unwrap();
                inner.events = Some(events);
                inner.suppressed = false;
                let framework = info.id.unwrap_or_else(|| "F-0000".into());
                inner.send(Event::Subscribed { framework, master: "M".to_owned() });
                inner.offer();
            }
            tokio::spawn(async move {
                while let Some(call) = called.recv().await {
                    inner.lock().unwrap().called(call);
                }
            });
            Some(Subscription { calls, events: received })
        })
    }
}
