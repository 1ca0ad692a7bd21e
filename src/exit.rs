//! The exit codes, a part of the interface: scripts tell by them what happened.

use std::process;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    InternalFault = 1,
    WrongUsage = 2,
    Differences = 3,
    HostsUnreachable = 4,
    ChecksFailed = 5,
    StepsFailed = 6,
    HealthGate = 7,
    Locked = 8,
    /// What shells report for a program that Ctrl-C ended: 128 + SIGINT.
    Interrupted = 130,
}

impl Exit {
    /// Every code with what it means to the user; `clusterctl --help` prints this.
    pub(crate) const TABLE: [(Self, &'static str); 10] = [
        (Self::Done, "done, or no difference"),
        (Self::InternalFault, "internal fault"),
        (Self::WrongUsage, "wrong usage or invalid input"),
        (Self::Differences, "differences (plan, diff, --dry-run)"),
        (Self::HostsUnreachable, "hosts are unreachable"),
        (Self::ChecksFailed, "preflight or checks failed"),
        (Self::StepsFailed, "steps failed on some hosts"),
        (Self::HealthGate, "a health gate stopped an upgrade"),
        (Self::Locked, "locked by another run"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn codes_keep_their_numbers() {
        // Scripts depend on these: a change here breaks them.
        let codes = Exit::TABLE.map(|(exit, _)| (exit.code(), exit));
        assert_eq!(
            codes,
            [
                (0, Exit::Done),
                (1, Exit::InternalFault),
                (2, Exit::WrongUsage),
                (3, Exit::Differences),
                (4, Exit::HostsUnreachable),
                (5, Exit::ChecksFailed),
                (6, Exit::StepsFailed),
                (7, Exit::HealthGate),
                (8, Exit::Locked),
                (130, Exit::Interrupted),
            ]
        );
    }
}
