//! What a login shell is asked to run, and what is sent to it. Pure.
//!
//! The command is one line in single quotes, without a quote, backslash-quote or exclamation mark inside: sh, bash, zsh, fish,
//! csh and BusyBox read it alike. It holds a random mark and a length, nothing else that varies. The script follows on
//! standard input, between a line that says that it begins and a last line that says that it is whole; reading stops at
//! its last byte, so that what comes after it is the script's own input. A script that was cut off does not run.
//!
//! sudo reads a password from standard input byte by byte, sudo-rs takes all that is there: so nothing is sent behind a password
//! before what sudo runs says that it is ready. Whether it wants one is found out with the password alone in a pipe of its own: when
//! it is wrong, sudo finds the pipe empty at its second try and gives up at once, and no line of the script is ever taken for a
//! password.

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use super::{Become, Exec, ExecError, SudoWay};

/// A command, and what is sent after it.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// What the login shell gets.
    pub(crate) command: String,
    /// What each part of the conversation begins with.
    pub(crate) mark: String,
    /// Sent at once.
    pub(crate) first: Vec<Bytes>,
    /// Sent when sudo wants a password.
    pub(crate) on_need: Vec<Bytes>,
    /// Sent when the password was right.
    pub(crate) on_good: Vec<Bytes>,
    /// Sent when sudo has taken the password; nothing where it wants none.
    pub(crate) on_ready: Vec<Bytes>,
    /// Sent when none is needed.
    pub(crate) on_free: Vec<Bytes>,
}

/// The script that ends another one, which said that it is process `pid`, and all that this one started in its group.
/// sshd gives signals on only to users other than root, and closing a session ends nobody who does not write. A number
/// that now belongs to somebody else is left alone: what we started shows its mark.
pub(crate) fn stop(mark: &str, pid: u32) -> String {
    format!(
        "ours() {{ grep -qs {mark} /proc/{pid}/cmdline /proc/{pid}/environ; }}\n\
         end() {{ ours && {{ kill -$1 -{pid} 2>/dev/null || kill -$1 {pid}; }}; }}\n\
         end TERM\nfor i in 1 2 3 4 5; do ours || exit 0; sleep 1; done\nend KILL"
    )
}

/// What cannot be sent is refused before anything runs.
pub(crate) fn check(exec: &Exec) -> Result<(), ExecError> {
    if exec.script.contains('\0') {
        return Err(ExecError::Unsendable { what: "script", has: "a zero byte" });
    }
    if let Become::Sudo { password: Some(password) } = &exec.r#become
        && password.expose_secret().contains(['\n', '\r', '\0'])
    {
        return Err(ExecError::Unsendable { what: "password", has: "a line's end" });
    }
    Ok(())
}

/// What to run for a script, when sudo works as `way` says.
pub(crate) fn start(exec: &Exec, way: SudoWay, mark: &str) -> Start {
    let script = format!("{}\n#{mark}", exec.script);
    let inner = inner(mark, script.len());
    let mut whole = vec![Bytes::from(format!("{mark}:sync\n")), Bytes::from(script)];
    whole.extend(exec.input.iter().cloned());
    let mut start = Start {
        command: String::new(),
        mark: mark.to_owned(),
        first: Vec::new(),
        on_need: Vec::new(),
        on_good: Vec::new(),
        on_ready: Vec::new(),
        on_free: Vec::new(),
    };
    let outer = match (way, password(exec)) {
        (SudoWay::None, _) => {
            start.first = whole;
            start.command = format!("exec /bin/sh -c '{inner}'");
            return start;
        }
        (SudoWay::Free, _) | (_, None) => {
            start.first = whole;
            "exec sudo -n /bin/sh -c \"$1\"".to_owned()
        }
        (SudoWay::Password, Some(password)) => {
            start.first = vec![password];
            start.on_ready = whole;
            "exec sudo -k -S /bin/sh -c \"$1\"".to_owned()
        }
        (SudoWay::Unknown, Some(password)) => {
            start.on_need = vec![password.clone()];
            start.on_good = vec![password];
            start.on_ready.clone_from(&whole);
            start.on_free = whole;
            ask(mark)
        }
    };
    let sudo = format!(
        "command -v sudo >/dev/null 2>&1 || {{ echo {mark}:missing; exit 127; }}; export LC_ALL=C; {outer}"
    );
    start.command = format!("exec /bin/sh -c '{sudo}' sh '{inner}'");
    start
}

/// Runs as whoever it is to be: reads the script, makes sure that it is whole, says that it begins, and becomes it.
/// `dd` reads whole blocks where it can, and else byte by byte; neither reads more than it was told to.
fn inner(mark: &str, length: usize) -> String {
    format!(
        "echo {mark}:ready; while IFS= read -r _l; do [ \"$_l\" = {mark}:sync ] && break; done; \
         _s=$(dd bs={length} count=1 iflag=fullblock 2>/dev/null || dd bs=1 count={length} 2>/dev/null); \
         case \"$_s\" in *\"#{mark}\") ;; *) exit 125;; esac; \
         export LC_ALL=C _clusterctl={mark}; echo {mark}:start $$; echo {mark}:start >&2; eval \"$_s\""
    )
}

/// Finds out whether sudo wants a password, and whether it is the right one, before it runs anything. `printf` must be
/// a part of the shell: as a program of its own it would show the password among its arguments.
fn ask(mark: &str) -> String {
    format!(
        "if sudo -k -n /bin/sh -c : 2>/dev/null; then echo {mark}:free; exec sudo -n /bin/sh -c \"$1\"; fi; \
         [ \"$(command -v printf)\" = printf ] || {{ echo {mark}:shell; exit 126; }}; \
         echo {mark}:need; IFS= read -r _p; \
         printf \"%s\\n\" \"$_p\" | sudo -k -S /bin/sh -c : || {{ echo {mark}:denied; exit 1; }}; \
         _p=; echo {mark}:good; exec sudo -k -S /bin/sh -c \"$1\""
    )
}

fn password(exec: &Exec) -> Option<Bytes> {
    match &exec.r#become {
        Become::Sudo { password: Some(password) } => Some(line(password)),
        _ => None,
    }
}

fn line(password: &SecretString) -> Bytes {
    Bytes::from(format!("{}\n", password.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [SudoWay; 4] = [SudoWay::None, SudoWay::Free, SudoWay::Password, SudoWay::Unknown];

    fn sent(parts: &[Bytes]) -> String {
        parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }

    #[test]
    fn nothing_secret_stands_in_the_command_and_every_shell_reads_it_alike() {
        let exec = Exec::new("echo SCRIPT").input("INPUT").sudo(Some(SecretString::from("PASS")));
        for way in WAYS {
            let command = start(&exec, way, "cc0123").command;
            for secret in ["SCRIPT", "INPUT", "PASS"] {
                assert!(!command.contains(secret), "{way:?}: {command}");
            }
            assert!(!command.contains(['!', '\n', '`']), "{way:?}: {command}");
            assert!(!command.contains("\\'") && !command.contains("\\\\"), "{way:?}: {command}");
            assert!(command.len() < 1500, "{way:?}: {}", command.len());
            assert_eq!(command.matches('\'').count(), if way == SudoWay::None { 2 } else { 4 });
        }
    }

    #[test]
    fn a_password_is_sent_once_before_all_else_and_only_where_it_is_wanted() {
        let exec = Exec::new("x").input("IN").sudo(Some(SecretString::from("PASS")));
        let whole = "cc:sync\nx\n#ccIN";
        assert_eq!(sent(&start(&exec, SudoWay::None, "cc").first), whole);
        assert_eq!(sent(&start(&exec, SudoWay::Free, "cc").first), whole);
        let known = start(&exec, SudoWay::Password, "cc");
        assert_eq!((sent(&known.first), sent(&known.on_ready)), ("PASS\n".to_owned(), whole.to_owned()));
        let unknown = start(&exec, SudoWay::Unknown, "cc");
        assert_eq!(sent(&unknown.first), "");
        assert_eq!(sent(&unknown.on_need), "PASS\n");
        assert_eq!(
            (sent(&unknown.on_good), sent(&unknown.on_ready)),
            ("PASS\n".to_owned(), whole.to_owned())
        );
        assert_eq!(sent(&unknown.on_free), whole);
    }

    #[test]
    fn without_a_password_sudo_is_told_not_to_ask() {
        let start = start(&Exec::new("x").sudo(None), SudoWay::Unknown, "cc");
        assert!(start.command.contains("exec sudo -n "), "{}", start.command);
        assert!(!start.command.contains(" -S"), "{}", start.command);
        assert_eq!(sent(&start.first), "cc:sync\nx\n#cc");
    }

    #[test]
    fn what_would_be_read_as_something_else_is_not_sent() {
        assert!(matches!(check(&Exec::new("a\0b")), Err(ExecError::Unsendable { what: "script", .. })));
        for bad in ["a\nb", "a\rb", "a\0b"] {
            let exec = Exec::new("x").sudo(Some(SecretString::from(bad)));
            assert!(matches!(check(&exec), Err(ExecError::Unsendable { what: "password", .. })));
        }
        assert!(check(&Exec::new("x").sudo(Some(SecretString::from("a b'\\\"$")))).is_ok());
    }
}
