//! Ids of instances and tasks (§4, "Task id").

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::path_id::AppId;
use super::uuid::Uuid;

/// The text has none of the shapes of a task id: 400 in kill requests (§2).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not a task id")]
pub struct TaskIdError {
    text: String,
}

/// An instance of an app: `<path with _>.instance-<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The app that it is an instance of.
    pub app: AppId,
    /// What tells it from the others.
    pub uuid: Uuid,
}

/// How a task id goes on after its UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    /// `app.<uuid>`, as the oldest servers wrote.
    Bare,
    /// `app.instance-<uuid>._app`, of servers before relaunching in place.
    Unnumbered,
    /// `app.instance-<uuid>._app.<n>`.
    Numbered(u32),
}

/// A task: one run of an instance. Reads the older shapes too, since kill requests may use them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    instance: InstanceId,
    shape: Shape,
}

impl InstanceId {
    /// The id of this instance's task number `run`, counted from 1.
    pub fn task(&self, run: u32) -> TaskId {
        TaskId { instance: self.clone(), shape: Shape::Numbered(run) }
    }
}

impl TaskId {
    /// The instance that the task is a run of: the part up to the UUID.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// The app that the task belongs to.
    pub fn app(&self) -> &AppId {
        &self.instance.app
    }

    /// Which run of the instance it is, counted from 1; `None` for the older shapes.
    pub fn run(&self) -> Option<u32> {
        match self.shape {
            Shape::Numbered(run) => Some(run),
            Shape::Bare | Shape::Unnumbered => None,
        }
    }
}

/// The app's path in the form that may stand in a file name.
fn flat(app: &AppId) -> String {
    app.as_str().trim_start_matches('/').replace('/', "_")
}

/// The inverse of [`flat`]; ids hold no underscores of their own.
fn app_of(flat: &str) -> Option<AppId> {
    if flat.contains('/') || flat.split('_').any(str::is_empty) {
        return None;
    }
    flat.replace('_', "/").parse().ok()
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.instance-{}", flat(&self.app), self.uuid)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Bare => write!(f, "{}.{}", flat(self.app()), self.instance.uuid),
            Shape::Unnumbered => write!(f, "{}._app", self.instance),
            Shape::Numbered(run) => write!(f, "{}._app.{run}", self.instance),
        }
    }
}

fn instance(text: &str) -> Option<InstanceId> {
    let (app, uuid) = text.rsplit_once(".instance-")?;
    Some(InstanceId { app: app_of(app)?, uuid: uuid.parse().ok()? })
}

fn task(text: &str) -> Option<TaskId> {
    if let Some(front) = text.strip_suffix("._app") {
        return Some(TaskId { instance: instance(front)?, shape: Shape::Unnumbered });
    }
    if let Some((front, run)) = text.rsplit_once("._app.") {
        // Only the spelling that is written: no sign, no leading zero.
        let plain = !run.starts_with(['0', '+']);
        let shape = Shape::Numbered(run.parse().ok().filter(|_| plain)?);
        return Some(TaskId { instance: instance(front)?, shape });
    }
    let (app, uuid) = text.rsplit_once('.')?;
    let instance = InstanceId { app: app_of(app)?, uuid: uuid.parse().ok()? };
    Some(TaskId { instance, shape: Shape::Bare })
}

impl FromStr for TaskId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<TaskId, TaskIdError> {
        task(text).ok_or_else(|| TaskIdError { text: text.to_owned() })
    }
}

impl FromStr for InstanceId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<InstanceId, TaskIdError> {
        instance(text).ok_or_else(|| TaskIdError { text: text.to_owned() })
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f";

    #[test]
    fn every_shape_of_a_task_id_names_its_app_and_is_written_as_it_was_read() {
        for (text, app, run) in [
            (format!("shop_web.instance-{UUID}._app.12"), "/shop/web", Some(12)),
            (format!("shop_web.instance-{UUID}._app"), "/shop/web", None),
            (format!("shop_web.{UUID}"), "/shop/web", None),
            (format!("a.b_c.d.{UUID}"), "/a.b/c.d", None),
            (format!("a.instance-b.instance-{UUID}._app.1"), "/a.instance-b", Some(1)),
        ] {
            let id: TaskId = text.parse().unwrap();
            assert_eq!((id.app().as_str(), id.run(), id.to_string()), (app, run, text));
            assert_eq!(id.instance().uuid.to_string(), UUID);
        }
    }

    #[test]
    fn malformed_task_ids_are_refused() {
        for text in [
            String::new(),
            "web".to_owned(),
            "web.1".to_owned(),
            UUID.to_owned(),
            format!(".{UUID}"),
            format!("/web.{UUID}"),
            format!("_web.{UUID}"),
            format!("Web.{UUID}"),
            format!("web.instance-{UUID}"),
            format!("web.instance-{UUID}._app."),
            format!("web.instance-{UUID}._app.+1"),
            format!("web.instance-{UUID}._app.01"),
            format!("web.instance-{UUID}._app.-1"),
            format!("../x.{UUID}"),
        ] {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_built_task_id_reads_back(app in "(/[a-z0-9]{1,4}(\\.[a-z]{1,3})?){1,4}", bits: u128, run in 1..=u32::MAX) {
            if let Ok(app) = app.parse::<AppId>() {
                let instance = InstanceId { app, uuid: Uuid::from_random(bits) };
                prop_assert_eq!(instance.to_string().parse(), Ok(instance.clone()));
                prop_assert_eq!(instance.task(run).to_string().parse(), Ok(instance.task(run)));
            }
        }
    }
}
