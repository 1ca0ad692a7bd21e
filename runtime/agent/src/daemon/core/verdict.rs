//! How the end of a task is told: state, reason and message (§3, "Task status").

use api::mesos::{Reason, TaskInfo, TaskState};
use serde::{Deserialize, Serialize};

use crate::adopt::Why;
use crate::spec::{End, Exit};
use crate::states::Ended;

/// Why the agent ends a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillWhy {
    /// The master asked.
    Asked,
    /// A health check, which says why.
    Unhealthy(String),
    /// The agent is to end with all its tasks.
    Shutdown,
}

/// What is said of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The state, a terminal one.
    pub state: TaskState,
    /// Why.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
}

fn verdict(state: TaskState, reason: Option<Reason>, message: impl Into<String>) -> Verdict {
    Verdict { state, reason, message: message.into() }
}

/// What is said of a task that ended so, having been killed for this reason, if it was.
#[must_use]
pub fn verdict_of(ended: &Ended, kill: Option<&KillWhy>, info: &TaskInfo) -> Verdict {
    match ended {
        Ended::Exit(exit) => {
            let mut verdict = exited(exit, kill, info);
            if !exit.stuck.is_empty() {
                verdict.message.push_str(&format!("; even SIGKILL did not end processes {:?}", exit.stuck));
            }
            verdict
        }
        Ended::NeverRan(why) => match kill {
            Some(kill) => verdict(
                TaskState::Killed,
                Some(Reason::TaskKilledDuringLaunch),
                format!("{}before it ran", killed_for(kill)),
            ),
            None => verdict(TaskState::Failed, Some(Reason::CommandExecutorFailed), why.clone()),
        },
        Ended::Lost(why) => lost(why, kill),
    }
}

/// A sandbox could not be made ready.
#[must_use]
pub fn not_prepared(why: &str) -> Verdict {
    verdict(TaskState::Failed, Some(Reason::ContainerLaunchFailed), why)
}

fn killed_for(kill: &KillWhy) -> &'static str {
    match kill {
        KillWhy::Asked => "Killed on request ",
        KillWhy::Unhealthy(_) => "Killed for its health check ",
        KillWhy::Shutdown => "Killed with its agent, which was told to stop, ",
    }
}

fn exited(exit: &Exit, kill: Option<&KillWhy>, info: &TaskInfo) -> Verdict {
    let how = match &exit.end {
        End::Code(code) => format!("exited with status {code}"),
        End::Signal(signal) => format!("terminated by signal {}", signal_name(*signal)),
        End::Stuck(why) => format!("did not end: {why}"),
        End::Failed(why) => {
            return verdict(TaskState::Failed, Some(Reason::CommandExecutorFailed), why.clone());
        }
    };
    match kill {
        Some(KillWhy::Unhealthy(why)) => {
            let message = format!("Task was killed since health check failed: {why}");
            verdict(TaskState::Killed, Some(Reason::TaskHealthCheckStatusUpdated), message)
        }
        Some(KillWhy::Shutdown) => {
            let message = format!("Killed with its agent, which was told to stop: command {how}");
            verdict(TaskState::Killed, Some(Reason::AgentRestarted), message)
        }
        Some(KillWhy::Asked) => verdict(TaskState::Killed, None, format!("Command {how}")),
        None if exit.killed => verdict(TaskState::Killed, None, format!("Command {how}")),
        None if exit.oom && exit.end != End::Code(0) => {
            verdict(TaskState::Failed, Some(Reason::ContainerLimitationMemory), memory(exit, info))
        }
        None if exit.end == End::Code(0) => verdict(TaskState::Finished, None, format!("Command {how}")),
        None => verdict(TaskState::Failed, None, format!("Command {how}")),
    }
}

fn memory(exit: &Exit, info: &TaskInfo) -> String {
    let limit = match info.limits.mem {
        Some(api::mesos::Limit::At(amount)) => format!("{amount} MiB"),
        Some(api::mesos::Limit::Unlimited) => "the host's".to_owned(),
        None => format!("{} MiB", memory_of(info)),
    };
    let peak = exit
        .usage
        .memory_peak_bytes
        .map_or_else(String::new, |bytes| format!("; at most it used {} MiB", bytes.div_ceil(1 << 20)));
    format!("Memory limit exceeded: the kernel ended a process of the task, whose limit is {limit}{peak}")
}

fn memory_of(info: &TaskInfo) -> scheduler::Scalar {
    info.resources.parts().fold(scheduler::Scalar::ZERO, |sum, (_, bundle)| sum.plus(bundle.mem()))
}

fn lost(why: &Why, kill: Option<&KillWhy>) -> Verdict {
    match why {
        Why::NeverStarted => {
            let message = "The agent was started anew before the task ran";
            verdict(TaskState::Dropped, Some(Reason::AgentRestarted), message)
        }
        Why::Rebooted => {
            let message = "The agent's host was started anew while the task ran";
            verdict(TaskState::Gone, Some(Reason::AgentRestarted), message)
        }
        Why::ShimGone { .. } if kill.is_some() => {
            let message =
                "Its supervisor ended without a word while the task was being killed; nothing of it runs";
            verdict(TaskState::Killed, Some(Reason::ExecutorTerminated), message)
        }
        Why::ShimGone { .. } => {
            let message = "Its supervisor ended without a word, so how the task ended is not known";
            verdict(TaskState::Failed, Some(Reason::ExecutorTerminated), message)
        }
        Why::Stranger { pid } => {
            let message = format!("Its lock is held by process {pid}, which is not its supervisor");
            verdict(TaskState::Failed, Some(Reason::ExecutorTerminated), message)
        }
        Why::Damaged(what) => verdict(
            TaskState::Failed,
            Some(Reason::ExecutorTerminated),
            format!("How the task ended is not known: {what}"),
        ),
    }
}

fn signal_name(signal: i32) -> String {
    use rustix::process::Signal;
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    names
        .iter()
        .find(|(known, _)| known.as_raw() == signal)
        .map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::Leader;
    use crate::cgroup::Usage;
    use crate::daemon::core::tests::info;

    fn exit(end: End) -> Exit {
        Exit {
            version: 1,
            task_id: "t".into(),
            end,
            oom: false,
            killed: false,
            stuck: vec![],
            output_lost: 0,
            usage: Usage { memory_peak_bytes: Some(32 << 20), ..Usage::default() },
            finished_at_ms: 0,
        }
    }

    fn text(ended: &Ended, kill: Option<&KillWhy>) -> String {
        let Verdict { state, reason, message } = verdict_of(ended, kill, &info("t", "cpus:1;mem:32"));
        let reason = reason.map_or("-", Reason::name);
        format!("{state} {reason} {message}")
    }

    #[test]
    fn ends_are_told_like_this() {
        let ended = |change: fn(&mut Exit), end| {
            let mut exit = exit(end);
            change(&mut exit);
            Ended::Exit(Box::new(exit))
        };
        let plain: fn(&mut Exit) = |_| {};
        let unhealthy = KillWhy::Unhealthy("3 failures in a row, the last: status 500".into());
        let lines = [
            text(&ended(plain, End::Code(0)), None),
            text(&ended(plain, End::Code(3)), None),
            text(&ended(plain, End::Signal(11)), None),
            text(&ended(plain, End::Signal(60)), None),
            text(&ended(|e| e.killed = true, End::Signal(15)), Some(&KillWhy::Asked)),
            text(&ended(|e| e.killed = true, End::Code(0)), None),
            text(&ended(plain, End::Signal(9)), Some(&KillWhy::Asked)),
            text(&ended(|e| e.killed = true, End::Signal(15)), Some(&unhealthy)),
            text(&ended(|e| e.killed = true, End::Signal(15)), Some(&KillWhy::Shutdown)),
            text(&ended(|e| e.oom = true, End::Signal(9)), None),
            text(&ended(|e| e.oom = true, End::Code(0)), None),
            text(&ended(|e| e.stuck = vec![7], End::Signal(9)), None),
            text(
                &ended(|e| e.stuck = vec![7, 8], End::Stuck("SIGKILL had no effect".into())),
                Some(&KillWhy::Asked),
            ),
            text(&ended(|e| e.stuck = vec![7], End::Failed("the supervisor failed".into())), None),
            text(&Ended::NeverRan("cannot run x: no such file".into()), None),
            text(&Ended::NeverRan("killed".into()), Some(&KillWhy::Asked)),
            text(&Ended::Lost(Why::ShimGone { leader: Leader::Gone }), None),
            text(&Ended::Lost(Why::ShimGone { leader: Leader::Gone }), Some(&KillWhy::Asked)),
            text(&Ended::Lost(Why::Rebooted), None),
            text(&Ended::Lost(Why::NeverStarted), None),
            text(&Ended::Lost(Why::Damaged("exit.json is damaged".into())), None),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        TASK_FINISHED - Command exited with status 0
        TASK_FAILED - Command exited with status 3
        TASK_FAILED - Command terminated by signal SIGSEGV
        TASK_FAILED - Command terminated by signal 60
        TASK_KILLED - Command terminated by signal SIGTERM
        TASK_KILLED - Command exited with status 0
        TASK_KILLED - Command terminated by signal SIGKILL
        TASK_KILLED REASON_TASK_HEALTH_CHECK_STATUS_UPDATED Task was killed since health check failed: 3 failures in a row, the last: status 500
        TASK_KILLED REASON_AGENT_RESTARTED Killed with its agent, which was told to stop: command terminated by signal SIGTERM
        TASK_FAILED REASON_CONTAINER_LIMITATION_MEMORY Memory limit exceeded: the kernel ended a process of the task, whose limit is 32 MiB; at most it used 32 MiB
        TASK_FINISHED - Command exited with status 0
        TASK_FAILED - Command terminated by signal SIGKILL; even SIGKILL did not end processes [7]
        TASK_KILLED - Command did not end: SIGKILL had no effect; even SIGKILL did not end processes [7, 8]
        TASK_FAILED REASON_COMMAND_EXECUTOR_FAILED the supervisor failed; even SIGKILL did not end processes [7]
        TASK_FAILED REASON_COMMAND_EXECUTOR_FAILED cannot run x: no such file
        TASK_KILLED REASON_TASK_KILLED_DURING_LAUNCH Killed on request before it ran
        TASK_FAILED REASON_EXECUTOR_TERMINATED Its supervisor ended without a word, so how the task ended is not known
        TASK_KILLED REASON_EXECUTOR_TERMINATED Its supervisor ended without a word while the task was being killed; nothing of it runs
        TASK_GONE REASON_AGENT_RESTARTED The agent's host was started anew while the task ran
        TASK_DROPPED REASON_AGENT_RESTARTED The agent was started anew before the task ran
        TASK_FAILED REASON_EXECUTOR_TERMINATED How the task ended is not known: exit.json is damaged
        ");
    }
}
