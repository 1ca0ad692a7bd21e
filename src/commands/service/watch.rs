//! Following a deployment: a pure machine that is told events and what was read, and says what is new and how it ended.

use std::collections::BTreeMap;

use api::marathon::AppId;
use serde_json::Value;

use crate::value;

/// After this many reads in which the deployment is gone and the service is not as it should be, it was given up.
const GONE_READS: u32 = 3;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The service is deployed and all instances run and are healthy.
    Up,
    /// The service is gone.
    Removed,
    /// What was before is there again: the service up, or none.
    Restored,
}

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// An instance came to another state, or another health.
    Instance { task: String, host: String, state: String, message: String },
    /// An instance came to a bad end; after the note about its state.
    Failed(Failure),
    /// The deployment is at another step.
    Step { at: u64, of: u64 },
}

/// A task that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) task: String,
    pub(crate) host: String,
    pub(crate) agent: String,
    pub(crate) state: String,
    pub(crate) message: String,
}

impl Failure {
    /// Out of an app's `lastTaskFailure`.
    fn of_app(failure: &Value) -> Self {
        Self {
            task: value::text(failure, "taskId").to_owned(),
            host: value::text(failure, "host").to_owned(),
            agent: value::text(failure, "slaveId").to_owned(),
            state: value::text(failure, "state").to_owned(),
            message: value::text(failure, "message").to_owned(),
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    /// Nobody goes on with it, and why.
    GivenUp(String),
}

/// What was read from the cluster at one time.
pub(crate) struct Reading<'a> {
    /// The app with its tasks; nothing when there is none.
    pub(crate) app: Option<&'a Value>,
    /// `/v2/deployments`.
    pub(crate) deployments: &'a Value,
}

/// All that is known so far.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    app: AppId,
    goal: Goal,
    deployment: Option<String>,
    /// State and health of each instance's task.
    tasks: BTreeMap<String, (String, Option<bool>)>,
    step: (u64, u64),
    gone_reads: u32,
    /// Instances that run and those that should.
    pub(crate) running: (u64, u64),
    pub(crate) failure: Option<Failure>,
    pub(crate) end: Option<End>,
}

impl Watch {
    pub(crate) fn new(app: &AppId, deployment: Option<String>, goal: Goal) -> Self {
        Self {
            app: app.clone(),
            goal,
            deployment,
            tasks: BTreeMap::new(),
            step: (0, 0),
            gone_reads: 0,
            running: (0, 0),
            failure: None,
            end: None,
        }
    }

    /// What was there before the change is no news. Where there is no change, why the last instance failed is.
    pub(crate) fn knowing(mut self, before: &Value) -> Self {
        for task in value::list(before, "tasks") {
            let state = value::text(task, "state").to_owned();
            self.tasks.insert(value::text(task, "id").to_owned(), (state, healthy(task)));
        }
        if let Some(failure) = before.get("lastTaskFailure").map(Failure::of_app) {
            self.tasks.insert(failure.task.clone(), (failure.state.clone(), None));
            self.failure = Some(failure).filter(|_| self.deployment.is_none());
        }
        self
    }

    pub(crate) fn app(&self) -> &AppId {
        &self.app
    }

    pub(crate) fn deployment(&self) -> Option<&str> {
        self.deployment.as_deref()
    }

    /// Takes an event of Marathon's stream.
    pub(crate) fn event(&mut self, kind: &str, data: &Value) -> Vec<Note> {
        match kind {
            "status_update_event" if value::text(data, "appId") == self.app.as_str() => self.status(data),
            "instance_health_changed_event" if value::text(data, "runSpecId") == self.app.as_str() => {
                let instance = value::text(data, "instanceId");
                let task = self.tasks.keys().find(|task| task.starts_with(instance)).cloned();
                let (Some(task), Some(healthy)) = (task, data.get("healthy").and_then(Value::as_bool)) else {
                    return Vec::new();
                };
                self.health(&task, "", Some(healthy)).into_iter().collect()
            }
            "deployment_success" if self.is_ours(data) => {
                self.end = Some(End::Succeeded);
                Vec::new()
            }
            "deployment_failed" if self.is_ours(data) => {
                let reason = match value::text(data, "reason") {
                    "" => "the deployment was cancelled, or another one took its place",
                    reason => reason,
                };
                self.end = Some(End::GivenUp(reason.to_owned()));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn is_ours(&self, data: &Value) -> bool {
        self.deployment.as_deref().is_some_and(|id| id == value::text(data, "id"))
    }

    fn status(&mut self, data: &Value) -> Vec<Note> {
        let failure = Failure {
            task: value::text(data, "taskId").to_owned(),
            host: value::text(data, "host").to_owned(),
            agent: value::text(data, "slaveId").to_owned(),
            state: value::text(data, "taskStatus").to_owned(),
            message: value::text(data, "message").to_owned(),
        };
        self.state(failure)
    }

    /// A task's state: news only when it is another one.
    fn state(&mut self, seen: Failure) -> Vec<Note> {
        let known = self.tasks.entry(seen.task.clone()).or_default();
        if known.0 == seen.state {
            return Vec::new();
        }
        known.0.clone_from(&seen.state);
        let mut notes = vec![Note::Instance {
            task: seen.task.clone(),
            host: seen.host.clone(),
            state: seen.state.clone(),
            message: seen.message.clone(),
        }];
        if is_failure(&seen.state) {
            self.failure = Some(seen.clone());
            notes.push(Note::Failed(seen));
        }
        notes
    }

    fn health(&mut self, task: &str, host: &str, healthy: Option<bool>) -> Option<Note> {
        let known = self.tasks.get_mut(task)?;
        if healthy.is_none() || known.1 == healthy {
            return None;
        }
        known.1 = healthy;
        Some(Note::Instance {
            task: task.to_owned(),
            host: host.to_owned(),
            state: if healthy == Some(true) { "healthy" } else { "unhealthy" }.to_owned(),
            message: String::new(),
        })
    }

    /// Takes what was read, which holds what events may have missed.
    pub(crate) fn reading(&mut self, reading: &Reading<'_>) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(app) = reading.app {
            for task in value::list(app, "tasks") {
                let (id, host) = (value::text(task, "id"), value::text(task, "host"));
                notes.extend(self.state(Failure {
                    task: id.to_owned(),
                    host: host.to_owned(),
                    agent: value::text(task, "slaveId").to_owned(),
                    state: value::text(task, "state").to_owned(),
                    message: String::new(),
                }));
                notes.extend(self.health(id, host, healthy(task)));
            }
            notes.extend(app.get("lastTaskFailure").and_then(|failure| self.last_failure(failure)));
            self.count(app);
        }
        notes.extend(self.progress(reading));
        notes
    }

    /// How many of how many run.
    pub(crate) fn count(&mut self, app: &Value) {
        self.running = (value::whole(app, "tasksRunning"), value::whole(app, "instances"));
    }

    /// A failure of a task that was seen alive, or of one that an event was missed of while the deployment ran.
    fn last_failure(&mut self, failure: &Value) -> Option<Note> {
        let seen = Failure::of_app(failure);
        match self.tasks.get_mut(&seen.task) {
            Some(known) if !is_failure(&known.0) => known.0.clone_from(&seen.state),
            Some(_) => {
                // The event may have said less.
                self.failure = self.failure.take().map(|old| if old.task == seen.task { seen } else { old });
                return None;
            }
            None => {
                self.tasks.insert(seen.task.clone(), (seen.state.clone(), None));
                // On the first read it may be of long ago; it is kept, in case nothing newer explains the wait.
                if self.step == (0, 0) {
                    return None;
                }
            }
        }
        self.failure = Some(seen.clone());
        Some(Note::Failed(seen))
    }

    fn progress(&mut self, reading: &Reading<'_>) -> Option<Note> {
        let of_app = |deployment: &&Value| {
            value::list(deployment, "affectedApps").iter().any(|app| app.as_str() == Some(self.app.as_str()))
        };
        let ours = |deployment: &&Value| match &self.deployment {
            Some(id) => value::text(deployment, "id") == id,
            None => of_app(deployment),
        };
        let Some(deployment) = value::items(reading.deployments).iter().find(ours) else {
            self.step = self.step.max((1, 1));
            self.decide(reading.app);
            return None;
        };
        self.gone_reads = 0;
        let step = (value::whole(deployment, "currentStep"), value::whole(deployment, "totalSteps"));
        if step.0 == 0 || step == self.step {
            return None;
        }
        self.step = step;
        Some(Note::Step { at: step.0, of: step.1 })
    }

    /// No deployment is at work any more.
    fn decide(&mut self, app: Option<&Value>) {
        if self.end.is_some() {
            return;
        }
        let reached = match (&self.goal, app) {
            (Goal::Removed, app) => app.is_none(),
            (Goal::Restored, None) => true,
            (Goal::Up | Goal::Restored, Some(app)) => is_up(app),
            (Goal::Up, None) => {
                self.end = Some(End::GivenUp("the service is gone".to_owned()));
                return;
            }
        };
        self.gone_reads += 1;
        if reached {
            self.end = Some(End::Succeeded);
        } else if self.deployment.is_some() && self.gone_reads >= GONE_READS {
            self.end = Some(End::GivenUp(
                "the deployment is gone, and the service is not as it should be".to_owned(),
            ));
        }
    }
}

fn is_failure(state: &str) -> bool {
    matches!(
        state,
        "TASK_FAILED" | "TASK_ERROR" | "TASK_LOST" | "TASK_DROPPED" | "TASK_GONE" | "TASK_FINISHED"
    )
}

/// Every check that has had a result is good; nothing where none has.
fn healthy(task: &Value) -> Option<bool> {
    let results = value::list(task, "healthCheckResults");
    let alive = |result: &Value| result.get("alive").and_then(Value::as_bool).unwrap_or_default();
    (!results.is_empty()).then(|| results.iter().all(alive))
}

fn is_up(app: &Value) -> bool {
    let wanted = value::whole(app, "instances");
    let checked = !value::list(app, "healthChecks").is_empty();
    let good = value::whole(app, if checked { "tasksHealthy" } else { "tasksRunning" });
    good >= wanted && value::whole(app, "tasksUnhealthy") == 0
}

#[cfg(test)]
mod tests;
