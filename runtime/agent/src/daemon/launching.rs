//! From a task's description to what its shim is told, and the sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::mesos::{CommandLine, Limit, TaskInfo};
use scheduler::{Bundle, Scalar};

use super::core::Checkpoint;
use super::isolation::Means;
use super::roots::{self, Roots};
use super::volumes;
use crate::cgroup::Limits;
use crate::record::PROTOCOL;
use crate::spec::{Command, Logs, Secret, Spec};
use crate::user::{self, User};

/// Mesos' own default of its log rotation, as DC/OS sets it: 2 MiB, and nine old files.
const LOG_BYTES: u64 = 2 << 20;
const LOG_FILES: u32 = 9;
/// Where programs are looked for when the framework does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is the same for all tasks of an agent.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) means: Means,
    /// Who runs tasks that do not say.
    pub(super) user: Option<String>,
    /// Whether tasks are kept from this host's own users and groups. Where others than this machine's user give tasks out, those
    /// could read the node's keys, or more.
    pub(super) guarded: bool,
    /// Most processes and threads of a task.
    pub(super) pids: u64,
    /// Directories of this host that tasks may have as volumes.
    pub(super) host_paths: Vec<PathBuf>,
    /// Where this agent serves files.
    pub(super) endpoint: SocketAddr,
    /// Root file systems of tasks.
    pub(super) roots: Roots,
}

/// Users and groups below are the system's own, on every distribution that is supported.
const FIRST_USER: u32 = 1000;
/// To the kernel this is no number but "leave it as it is": root's.
const NO_NUMBER: u32 = u32::MAX;

/// Why a task cannot have a root file system of its own here, when it wants one.
pub(super) fn can_have_root(terms: &Terms) -> Result<(), String> {
    let own = terms.means.namespaces;
    if terms.means.users && own.mount && own.pid {
        return Ok(());
    }
    Err("the task wants a root file system of its own, which needs an agent that runs as root and may make namespaces"
        .to_owned())
}

/// Finds a task's user: a name, or numbers, `uid` or `uid:gid`. A name that the task states is one of its own root file system's where
/// it has one, else of this host, as this node's own `task_user` always is. A guarded host's own are refused, but for the one that its
/// configuration names.
pub(super) fn user_of(terms: &Terms, info: &TaskInfo) -> Result<Option<User>, String> {
    let Some(name) = info.command.user.as_ref().or(terms.user.as_ref()) else { return Ok(None) };
    let own = terms.user.as_ref() == Some(name);
    let own_root = roots::address(&info.labels).filter(|_| info.command.user.is_some());
    let found = match own_root {
        Some(address) => user::lookup_in(&terms.roots.image(address)?, name),
        None => user::lookup(name),
    };
    let found = found.map_err(|e| format!("cannot look up user {name}: {e}"))?;
    let found = found.or_else(|| {
        let (uid, gid) = name.split_once(':').unwrap_or((name, name));
        Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()?, groups: vec![] })
    });
    let Some(found) = found else {
        let place =
            own_root.map_or("on this host: create it", |_| "in the task's root file system: give its number");
        return Err(format!("there is no user {name} {place}, or name another one in the task"));
    };
    if found.uid == NO_NUMBER || found.gid == NO_NUMBER {
        return Err(format!("{name} is no user: {NO_NUMBER} is no number of one"));
    }
    if terms.means.users {
        return if terms.guarded && !own { confined(found, name).map(Some) } else { Ok(Some(found)) };
    }
    if found.uid == rustix::process::geteuid().as_raw() {
        return Ok(None);
    }
    Err(format!("this agent does not run as root and cannot run a task as user {name}: leave the user out"))
}

/// The user without the system's groups, or why it is none for a task.
fn confined(mut user: User, name: &str) -> Result<User, String> {
    let what = match () {
        () if user.uid < FIRST_USER => "user",
        () if user.gid < FIRST_USER => "group",
        () => {
            user.groups.retain(|group| *group >= FIRST_USER);
            return Ok(user);
        }
    };
    Err(format!(
        "a task may not run as {name}, which is or has a {what} of the system (below {FIRST_USER}): name another user, or none, or \
         let this node's `task_user` be {name}"
    ))
}

/// Makes the sandbox, gives it to the user, and lets `latest` point to it.
pub(super) fn make_sandbox(directory: &Path, user: Option<&User>) -> Result<(), String> {
    let failed =
        |what: &str, e: &io::Error| format!("cannot {what} the sandbox {}: {e}", directory.display());
    fs::create_dir_all(directory).map_err(|e| failed("make", &e))?;
    let (mode, owner) = (fs::Permissions::from_mode(0o750), user.map(|u| (u.uid, u.gid)));
    fs::set_permissions(directory, mode).map_err(|e| failed("close to others", &e))?;
    if let Some((uid, gid)) = owner {
        chown(directory, Some(uid), Some(gid)).map_err(|e| failed("give away", &e))?;
    }
    let Some((runs, name)) = directory.parent().zip(directory.file_name()) else { return Ok(()) };
    let (latest, new) = (runs.join("latest"), runs.join(".latest.new"));
    let _ = fs::remove_file(&new);
    symlink(name, &new).and_then(|()| fs::rename(&new, &latest)).map_err(|e| failed("link", &e))
}

/// What the shim is told.
pub(super) fn spec_of(terms: &Terms, task: &Checkpoint, grace: Duration) -> Result<Spec, String> {
    let info = &task.info;
    Ok(Spec {
        version: PROTOCOL,
        task_id: info.id.to_string(),
        command: command_of(&info.command.line),
        env: environment(terms, task),
        cwd: task.directory.clone(),
        user: user_of(terms, info)?,
        groups: terms.means.groups(task.container),
        limits: terms.means.enforceable(&limits(info, terms.pids)),
        logs: Logs { dir: task.directory.clone(), max_bytes: LOG_BYTES, keep: LOG_FILES },
        grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        namespaces: terms.means.namespaces,
        mounts: volumes::place(&info.volumes, terms)?.mounts,
        root: roots::address(&info.labels)
            .map(|address| terms.roots.of_task(address, &task.directory))
            .transpose()?,
        no_new_privileges: terms.means.no_new_privileges,
    })
}

pub(crate) fn command_of(line: &CommandLine) -> Command {
    match line {
        CommandLine::Shell(line) => Command::Shell(line.clone()),
        CommandLine::Argv(argv) => Command::Argv(argv.clone()),
    }
}

/// The framework's word counts more than the agent's, but for where the sandbox is (mesos-v1 §4, marathon-v2 §9).
fn environment(terms: &Terms, task: &Checkpoint) -> BTreeMap<String, Secret> {
    let sandbox = task.directory.to_string_lossy().into_owned();
    let id = task.info.id.to_string();
    let ours = [
        ("PATH", PATH.to_owned()),
        ("HOME", sandbox.clone()),
        ("MESOS_TASK_ID", id.clone()),
        ("MESOS_EXECUTOR_ID", id),
        ("MESOS_FRAMEWORK_ID", task.framework.to_string()),
        ("MESOS_SLAVE_ID", task.info.agent.to_string()),
        ("MESOS_SLAVE_PID", format!("slave(1)@{}", terms.endpoint)),
        ("MESOS_AGENT_ENDPOINT", terms.endpoint.to_string()),
        ("MESOS_CONTAINER_IP", terms.endpoint.ip().to_string()),
        ("MESOS_CHECKPOINT", "1".to_owned()),
        ("LIBPROCESS_IP", terms.endpoint.ip().to_string()),
        ("LIBPROCESS_PORT", "0".to_owned()),
    ];
    let mut env: BTreeMap<String, Secret> =
        ours.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    env.extend(task.info.command.env.clone());
    for name in ["MESOS_SANDBOX", "MESOS_DIRECTORY"] {
        env.insert(name.to_owned(), sandbox.clone().into());
    }
    env
}

fn limits(info: &TaskInfo, pids: u64) -> Limits {
    let mut all = Bundle::default();
    for (_, bundle) in info.resources.parts() {
        all.add(bundle);
    }
    let limit = |limit: Option<Limit>, asked: Scalar| match limit {
        Some(Limit::Unlimited) => None,
        Some(Limit::At(amount)) => u64::try_from(amount.thousandths()).ok(),
        None => u64::try_from(asked.thousandths()).ok(),
    };
    Limits {
        cpu_shares: u64::try_from(all.cpus().thousandths()).ok().map(|millis| millis * 1024 / 1000),
        cpu_millis: limit(info.limits.cpus, all.cpus()).filter(|millis| *millis > 0),
        memory_bytes: limit(info.limits.mem, all.mem())
            .filter(|millis| *millis > 0)
            .map(|millis| u64::try_from(u128::from(millis) * (1 << 20) / 1000).unwrap_or(u64::MAX)),
        pids: Some(pids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::core::tests::info;
    use crate::daemon::isolation::Isolation;
    use api::marathon::Uuid;

    fn terms() -> Terms {
        Terms {
            means: Means::find(&Isolation::Off, Path::new("/w")),
            user: None,
            guarded: false,
            pids: 100,
            host_paths: vec![],
            endpoint: "127.0.0.1:5051".parse().unwrap(),
            roots: Roots::of(Path::new("/w")),
        }
    }

    fn task() -> Checkpoint {
        let mut info = info("web.1", "cpus:0.5;mem:32");
        for (name, value) in [("PATH", "/mine"), ("MESOS_SANDBOX", "/elsewhere"), ("SECRET", "hunter2")] {
            info.command.env.insert(name.into(), value.into());
        }
        Checkpoint {
            framework: "F".into(),
            info,
            container: Uuid::from_bits(1),
            directory: "/w/sandbox".into(),
        }
    }

    #[test]
    fn the_frameworks_environment_wins_but_for_the_sandbox() {
        let spec = spec_of(&terms(), &task(), Duration::from_secs(3)).unwrap();
        let text: Vec<String> = spec.env.iter().map(|(k, v)| format!("{k}={}", v.expose())).collect();
        insta::assert_snapshot!(text.join("\n"), @"
        HOME=/w/sandbox
        LIBPROCESS_IP=127.0.0.1
        LIBPROCESS_PORT=0
        MESOS_AGENT_ENDPOINT=127.0.0.1:5051
        MESOS_CHECKPOINT=1
        MESOS_CONTAINER_IP=127.0.0.1
        MESOS_DIRECTORY=/w/sandbox
        MESOS_EXECUTOR_ID=web.1
        MESOS_FRAMEWORK_ID=F
        MESOS_SANDBOX=/w/sandbox
        MESOS_SLAVE_ID=A
        MESOS_SLAVE_PID=slave(1)@127.0.0.1:5051
        MESOS_TASK_ID=web.1
        PATH=/mine
        SECRET=hunter2
        ");
        assert_eq!(spec.grace_ms, 3000);
        assert!(!format!("{spec:?}").contains("hunter2"));
    }

    #[test]
    fn limits_are_the_request_unless_others_are_set() {
        let mut task = info("t", "cpus:0.5;mem:32");
        let expected = Limits {
            cpu_shares: Some(512),
            cpu_millis: Some(500),
            memory_bytes: Some(32 << 20),
            pids: Some(9),
        };
        assert_eq!(limits(&task, 9), expected);
        task.limits.cpus = Some(Limit::Unlimited);
        task.limits.mem = Some(Limit::At(Scalar::whole(64)));
        let expected = Limits { cpu_millis: None, memory_bytes: Some(64 << 20), ..expected };
        assert_eq!(limits(&task, 9), expected);
    }

    #[test]
    fn users_are_found_by_name_or_number_or_named_in_the_error() {
        let mut terms = terms();
        terms.means.users = true;
        for (name, uid) in
            [("root", Some(0)), ("12345", Some(12345)), ("12345:7", Some(12345)), ("no-such", None)]
        {
            let mut info = info("t", "cpus:1");
            info.command.user = Some(name.into());
            match user_of(&terms, &info) {
                Ok(user) => assert_eq!(user.map(|u| u.uid), uid, "{name}"),
                Err(why) => assert!(uid.is_none() && why.contains(name), "{why}"),
            }
        }
    }

    #[test]
    fn where_others_give_tasks_out_none_runs_as_the_systems_users_but_the_nodes_own() {
        let mut terms = terms();
        terms.means.users = true;
        let user = |terms: &Terms, name: Option<&str>| {
            let mut info = info("t", "cpus:1");
            info.command.user = name.map(Into::into);
            user_of(terms, &info)
        };
        assert!(user(&terms, Some("root")).unwrap().is_some_and(|user| user.uid == 0));
        terms.guarded = true;
        for name in ["root", "0", "0:0", "999", "1000:0", "1000:999", "0:1000", "daemon"] {
            let why = user(&terms, Some(name)).unwrap_err();
            assert!(why.contains(name) && why.contains("`task_user`"), "{why}");
        }
        for name in ["1000", "1000:1000", "nobody"] {
            assert!(user(&terms, Some(name)).unwrap().is_some(), "{name}");
        }
        // What the kernel takes for "as it is".
        for name in ["4294967295", "4294967295:1000", "1000:4294967295"] {
            assert!(user(&terms, Some(name)).is_err(), "{name}");
        }
        let ann = User { uid: 1000, gid: 1000, groups: vec![0, 90, 999, 1000, 1001] };
        assert_eq!(confined(ann, "ann").unwrap().groups, [1000, 1001]);
        terms.user = Some("daemon".to_owned());
        for name in [None, Some("daemon")] {
            assert!(user(&terms, name).unwrap().is_some_and(|user| user.uid < 1000), "{name:?}");
        }
        assert!(user(&terms, Some("root")).is_err());
    }

    #[test]
    fn a_sandbox_is_made_and_latest_points_to_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two", "two"] {
            let sandbox = dir.path().join("runs").join(name);
            make_sandbox(&sandbox, None).unwrap();
            assert!(sandbox.is_dir());
            assert_eq!(fs::read_link(dir.path().join("runs/latest")).unwrap(), Path::new(name));
        }
    }
}
