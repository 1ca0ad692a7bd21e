//! What the dashboard asks of the world.

use std::fmt;

use serde_json::Value;

/// What `update` wants done. The edge carries them out in order and never lets a key wait for one.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// End the program.
    Quit,
    /// Stop it as Ctrl-Z does, with a sane terminal, and draw all anew when it goes on.
    Suspend,
    /// Draw all anew.
    Redraw,
    /// Send a request; its answer comes as [`Input::Answer`](crate::Input::Answer) with this number.
    Ask(u64, Request),
    /// Nobody waits for that answer any more. What is under way at the cluster goes on.
    Forget(u64),
    /// Follow logs; pieces come as [`Input::Log`](crate::Input::Log) with this number, until [`Effect::Forget`].
    Follow(u64, Vec<LogSource>),
    /// Copy a text to the terminal's clipboard.
    Copy(String),
    /// Write a text to a file of that name below the working directory; the answer is the path, a string.
    Save(u64, String, String),
    /// Give a text to the user's editor, under a name with this ending (`.json`); the answer is the changed text, a string, or
    /// null when it was left as it was.
    Edit(u64, String, String),
    /// Give the terminal to a shell in the sandbox of a task; the answer comes when it has ended.
    Shell(u64, String),
    /// Listen to the mouse, or do not.
    Mouse(bool),
    /// Connect anew.
    Reconnect,
}

/// One log of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// The task's id.
    pub task: String,
    /// The id of its agent.
    pub node: String,
    /// Of standard error instead of standard output.
    pub stderr: bool,
    /// How many of its last lines to begin with.
    pub lines: usize,
}

/// What a cluster can be asked. Answers are the bodies of the interface that is named.
#[derive(Clone, PartialEq)]
pub enum Request {
    /// The cluster with its masters and coordinators: `GET /clusterctl/v1/cluster` of the leader, with what each master says.
    Cluster,
    /// The definition of a service, `GET /v2/apps/{id}`: `{"app": …}`.
    Service(String),
    /// Its versions, the newest first: `{"versions": […]}`.
    Versions(String),
    /// One of them: the definition.
    Version(String, String),
    /// `POST /v2/apps`, or `/v2/groups` of a definition with `apps` or `groups`.
    Create(Value),
    /// `PUT /v2/apps/{id}`: the whole definition.
    Replace {
        /// The service.
        id: String,
        /// Its new definition.
        definition: Value,
        /// Also during a deployment.
        force: bool,
    },
    /// `PUT /v2/apps/{id}` with `instances` alone.
    Scale {
        /// The service.
        id: String,
        /// How many there are to be.
        instances: u32,
        /// Also during a deployment.
        force: bool,
    },
    /// `POST /v2/apps/{id}/restart`.
    Restart {
        /// The service.
        id: String,
        /// Also during a deployment.
        force: bool,
    },
    /// `PUT /v2/apps/{id}` with `version` alone.
    RollBack {
        /// The service.
        id: String,
        /// To which version, a timestamp.
        version: String,
        /// Also during a deployment.
        force: bool,
    },
    /// `DELETE /v2/apps/{id}`.
    Delete(String),
    /// `DELETE /v2/groups/{id}`.
    DeleteGroup(String),
    /// `DELETE /v2/apps/{service}/tasks/{task}`.
    Kill {
        /// The service.
        service: String,
        /// The task.
        task: String,
        /// One instance less from now on.
        scale: bool,
    },
    /// `DELETE /v2/deployments/{id}`: undo it.
    Undo(String),
    /// `DELETE /v2/deployments/{id}?force=true`: leave all as it is.
    Drop(String),
    /// The files of a task's sandbox below a path: `/files/browse`.
    Files {
        /// The task.
        task: String,
        /// The id of its agent.
        node: String,
        /// Below its sandbox.
        path: String,
    },
    /// `/package/search`.
    Search(String),
    /// `/package/list-versions`.
    PackageVersions(String),
    /// `/package/describe`.
    Describe {
        /// The package.
        name: String,
        /// Its version; the newest where there is none.
        version: Option<String>,
    },
    /// `/package/render`.
    Render {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// What differs from the defaults.
        options: Value,
        /// As what; the package's own choice where there is none.
        id: Option<String>,
    },
    /// Has the package's files brought to the masters, with progress, and installs it: `/package/install`.
    Install {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// What differs from the defaults.
        options: Value,
        /// As what.
        id: Option<String>,
    },
    /// The same with `/service/update`.
    UpdatePackage {
        /// The service.
        id: String,
        /// The package's name.
        name: String,
        /// The version to go to.
        version: String,
        /// What is to differ from the defaults.
        options: Value,
    },
    /// `/package/list`.
    Installed,
    /// `/package/uninstall`.
    Uninstall {
        /// The package.
        name: String,
        /// Which of its services.
        id: String,
    },
    /// `/package/repository/list`.
    Repositories,
}

/// Without what is given along: options and definitions may hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command() {
            Some(command) => f.write_str(&command),
            None if self.changes() => f.write_str("a change"),
            None => f.write_str("a question"),
        }
    }
}

impl Request {
    /// Whether it changes the cluster: such requests are not made in a read-only dashboard.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Self::Cluster
                | Self::Service(_)
                | Self::Versions(_)
                | Self::Version(..)
                | Self::Files { .. }
                | Self::Search(_)
                | Self::PackageVersions(_)
                | Self::Describe { .. }
                | Self::Render { .. }
                | Self::Installed
                | Self::Repositories
        )
    }

    /// The same as a command line, for those that have one.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        let force = |force: &bool| if *force { " --force" } else { "" };
        Some(match self {
            Self::Scale { id, instances, force: f } => {
                format!("clusterctl service scale {id} {instances}{}", force(f))
            }
            Self::Restart { id, force: f } => format!("clusterctl service restart {id}{}", force(f)),
            Self::RollBack { id, version, force: f } => {
                format!("clusterctl service rollback {id} --to {version}{}", force(f))
            }
            Self::Delete(id) => format!("clusterctl service remove {id}"),
            Self::DeleteGroup(id) => format!("clusterctl group remove {id}"),
            Self::Kill { task, scale, .. } => {
                format!("clusterctl task kill {task}{}", if *scale { " --scale" } else { "" })
            }
            Self::Undo(id) => format!("clusterctl service stop-deployment {id}"),
            Self::Drop(id) => format!("clusterctl service stop-deployment {id} --force"),
            Self::UpdatePackage { id, version, .. } => {
                format!("clusterctl package update {id} --version {version}")
            }
            Self::Install { name, version, id, .. } => {
                let id = id.as_ref().map(|id| format!(" --id {id}")).unwrap_or_default();
                format!("clusterctl package install {name} --version {version}{id}")
            }
            Self::Uninstall { name, id } => format!("clusterctl package uninstall {name} --id {id}"),
            _ => return None,
        })
    }
}
