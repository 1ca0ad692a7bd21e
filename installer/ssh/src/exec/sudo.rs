//! What sudo is known to want on a host, and why it did not do what it was asked for. Pure.

use thiserror::Error;

/// How sudo is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SudoWay {
    /// Not at all.
    None,
    /// It is not known yet whether it wants a password.
    #[default]
    Unknown,
    /// It wants none.
    Free,
    /// It wants one, and the one that there is was right.
    Password,
}

/// Why sudo did not run a script.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SudoFault {
    /// There is no sudo.
    #[error("there is no sudo")]
    Missing,
    /// It wants a password and there is none.
    #[error("sudo wants a password")]
    PasswordNeeded,
    /// The password is wrong.
    #[error("sudo does not take the password")]
    WrongPassword,
    /// The user may not become root.
    #[error("the user may not use sudo: {0}")]
    NotAllowed(String),
    /// It insists on a terminal.
    #[error("sudo insists on a terminal (requiretty)")]
    RequiresTerminal,
    /// The shell there would show the password to others.
    #[error("/bin/sh has no printf of its own, so a password could not be kept secret")]
    Shell,
    /// Something else.
    #[error("sudo failed: {0}")]
    Other(String),
}

impl SudoFault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing => "install sudo there, or connect as root with `become: none`",
            Self::PasswordNeeded => {
                "give it with --become-password-file, let it be asked for, or allow NOPASSWD in sudoers"
            }
            Self::WrongPassword => "check the password: it is the login user's own, on that host",
            Self::NotAllowed(_) => {
                "add the user to the group sudo (wheel, on some systems) there, or connect as root"
            }
            Self::RequiresTerminal => {
                "take `Defaults requiretty` out of sudoers there, or except the user from it"
            }
            Self::Shell => "allow NOPASSWD in sudoers there, or connect as root",
            Self::Other(_) => "try `sudo true` there by hand",
        }
    }

    /// What sudo, or sudo-rs, means by what it says in English, which it is asked to speak.
    pub(crate) fn read(said: &str) -> Self {
        let lower = said.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let last =
            || said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
        if says(&["must have a tty", "a terminal is required", "no tty present"]) {
            Self::RequiresTerminal
        } else if says(&[
            "not in the sudoers",
            "is not allowed to",
            "may not run sudo",
            "i'm afraid i can't do that",
        ]) {
            Self::NotAllowed(last())
        } else if says(&[
            "try again",
            "incorrect password",
            "incorrect authentication",
            "authentication failure",
        ]) {
            Self::WrongPassword
        } else if says(&["password is required", "authentication is required", "interaction is required"]) {
            Self::PasswordNeeded
        } else {
            Self::Other(last())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_kinds_of_sudo_say_is_understood() {
        for (said, fault) in [
            ("sudo: a password is required\n", SudoFault::PasswordNeeded),
            ("sudo: interactive authentication is required\n", SudoFault::PasswordNeeded),
            (
                "Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n",
                SudoFault::WrongPassword,
            ),
            (
                "sudo: Authentication failed, try again.\nsudo: Authentication required but not attempted\n",
                SudoFault::WrongPassword,
            ),
            ("sudo: maximum 3 incorrect authentication attempts\n", SudoFault::WrongPassword),
            ("sudo: sorry, you must have a tty to run sudo\n", SudoFault::RequiresTerminal),
            (
                "[sudo] password for x: x is not in the sudoers file.\n",
                SudoFault::NotAllowed("[sudo] password for x: x is not in the sudoers file.".into()),
            ),
            (
                "Sorry, user x is not allowed to execute '/bin/sh' as root on h.\n",
                SudoFault::NotAllowed(
                    "Sorry, user x is not allowed to execute '/bin/sh' as root on h.".into(),
                ),
            ),
            (
                "sudo: I'm sorry x. I'm afraid I can't do that\n",
                SudoFault::NotAllowed("sudo: I'm sorry x. I'm afraid I can't do that".into()),
            ),
            (
                "sudo: /etc/sudoers is world writable\n\n",
                SudoFault::Other("sudo: /etc/sudoers is world writable".into()),
            ),
            ("", SudoFault::Other(String::new())),
        ] {
            assert_eq!(SudoFault::read(said), fault, "{said}");
        }
    }
}
