//! One host, and what can be done to it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cgroup::{Group, Hierarchy};
use crate::command::{self, Output, run, tail};
use crate::error::{Error, Result};
use crate::launch::{Launch, console_file, exit_file};
use crate::layout::Kind;
use crate::net::{self, End, Rule};
use crate::rootfs::Rootfs;
use crate::ssh::Ssh;
use crate::state::{Home, HostState, State};

/// How long a command on a host may take unless the caller says otherwise.
pub const EXEC_LIMIT: Duration = Duration::from_secs(60);
/// How long a container may take to boot, on a machine that does other things too.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// The same for a guest whose processor is emulated.
const GUEST_BOOT_LIMIT: Duration = Duration::from_secs(600);
/// How long an orderly shutdown may take.
const STOP_LIMIT: Duration = Duration::from_secs(90);
/// How often an outside condition is looked at that nothing reports.
const POLL: Duration = Duration::from_millis(50);
const CONSOLE_LINES: usize = 20;

/// What all hosts of a testbed have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) home: Home,
    pub(crate) ssh: Ssh,
    pub(crate) hierarchies: Vec<Hierarchy>,
    pub(crate) rootfs: Rootfs,
}

impl Shared {
    /// Adds or replaces rules and puts them in force.
    pub(crate) fn change_rules(&self, change: impl FnOnce(&mut Vec<Rule>)) -> Result<()> {
        self.home.update(
            |state| {
                change(&mut state.rules);
                Ok(())
            },
            |state| net::apply(state.layout(), &state.rules, |host| state.interface(host)),
        )?;
        Ok(())
    }
}

/// Whether a host is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its processes run.
    Running,
    /// Its processes are frozen where they stand.
    Paused,
    /// It has no processes.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// A host of a testbed. Copies stand for the same host.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Arc<Shared>,
    index: u8,
    state: HostState,
}

impl Host {
    pub(crate) fn new(shared: Arc<Shared>, testbed: &State, state: HostState) -> Self {
        Self { shared, index: testbed.index, state }
    }

    /// Its name, which is its hostname too: `h1`, or `g1` for a guest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Its address in the testbed's network, also from this machine.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.state.address
    }

    /// Container or guest.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.state.kind
    }

    /// The fingerprint of its Ed25519 host key, `SHA256:…`.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.state.host_key
    }

    /// The private key that lets root, admin and deploy in.
    #[must_use]
    pub fn identity_file(&self) -> PathBuf {
        self.shared.ssh.key()
    }

    /// The known_hosts file that holds the keys of all hosts of the testbed.
    #[must_use]
    pub fn known_hosts_file(&self) -> PathBuf {
        self.shared.ssh.known_hosts()
    }

    /// The arguments for an `ssh` of the caller's own, up to and with `user@address`.
    #[must_use]
    pub fn ssh_args(&self, user: &str) -> Vec<std::ffi::OsString> {
        self.shared.ssh.args(user, self.address())
    }

    fn layout(&self) -> crate::layout::Layout {
        crate::layout::Layout::new(self.index)
    }

    fn dir(&self) -> PathBuf {
        self.shared.home.host_dir(self.name())
    }

    fn group(&self) -> Group {
        Group::new(self.layout().host_cgroup(self.name()), self.shared.hierarchies.clone())
    }

    /// Runs a command as root over SSH, for at most [`EXEC_LIMIT`].
    ///
    /// # Errors
    /// When ssh cannot be started or the time is up. A command that fails is no error here: see its status,
    /// where 255 means that ssh could not reach the host.
    pub async fn exec(&self, command: &str) -> Result<Output> {
        self.exec_as("root", command, EXEC_LIMIT).await
    }

    /// As [`Host::exec`], for another user and limit.
    ///
    /// # Errors
    /// As [`Host::exec`].
    pub async fn exec_as(&self, user: &str, command: &str, limit: Duration) -> Result<Output> {
        command::output(self.shared.ssh.command(user, self.address(), command), limit).await
    }

    /// Runs a command as root that has to succeed, and gives what it wrote to standard output.
    ///
    /// # Errors
    /// As [`Host::exec`], and [`Error::Remote`] when the status is not 0.
    pub async fn run(&self, command: &str) -> Result<String> {
        let output = self.exec(command).await?;
        if output.success() {
            return Ok(output.stdout);
        }
        Err(Error::Remote {
            host: self.name().to_owned(),
            command: command.to_owned(),
            status: output.status,
            output: tail(&format!("{}\n{}", output.stdout, output.stderr), CONSOLE_LINES).trim().to_owned(),
        })
    }

    /// Runs a command as root without the network, as from a console, which works while the host is cut off.
    /// Its processes are not in the host's control groups.
    ///
    /// # Errors
    /// As [`Host::exec`]; [`Error::Usage`] for a guest, which has no such door, and when the host is down.
    pub async fn exec_inside(&self, command: &str) -> Result<Output> {
        let leader = self.leader()?;
        let mut enter = tokio::process::Command::new("nsenter");
        enter
            .env("PATH", command::search_path())
            .args(["--all", "--root", "--target", &leader.to_string(), "--"])
            .args(["/bin/sh", "-c", command]);
        command::output(enter, EXEC_LIMIT).await
    }

    /// Puts a copy of a local file on the host, owned by root, with a mode as `chmod` takes it.
    /// The file appears whole, under its name, at the end.
    ///
    /// # Errors
    /// When the file cannot be read, the host not be reached, or the file not be written there.
    pub async fn upload(&self, local: &Path, remote: &str, mode: &str) -> Result<()> {
        let file = fs::File::open(local).map_err(Error::io("read", local))?;
        let script = format!(
            "set -e; f={}; cat >\"$f.new\"; chmod {} \"$f.new\"; mv \"$f.new\" \"$f\"",
            quoted(remote),
            quoted(mode)
        );
        let mut ssh = self.shared.ssh.command("root", self.address(), &script);
        ssh.stdin(file)
            .kill_on_drop(true)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped());
        let failed = |output: String, status| Error::Remote {
            host: self.name().to_owned(),
            command: format!("upload to {remote}"),
            status,
            output,
        };
        let done = match tokio::time::timeout(EXEC_LIMIT, ssh.output()).await {
            Ok(Ok(done)) => done,
            Ok(Err(e)) => return Err(failed(e.to_string(), -1)),
            Err(_elapsed) => {
                let what = format!("the upload of {} to {}", local.display(), self.name());
                return Err(Error::Timeout { what, limit: EXEC_LIMIT, detail: String::new() });
            }
        };
        if done.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned(), done.status.code().unwrap_or(-1)))
    }

    /// Whether the host is up.
    #[must_use]
    pub fn status(&self) -> Status {
        let group = self.group();
        if group.is_empty() {
            Status::Stopped
        } else if group.is_frozen() {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// Bytes of memory the host needs: anonymous, shared and kernel memory of all its processes, without
    /// page cache. Nothing when it is down or the machine does not count memory.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.group().memory()
    }

    /// The last lines of its console.
    #[must_use]
    pub fn console(&self) -> String {
        let text = fs::read(console_file(&self.dir())).unwrap_or_default();
        tail(&String::from_utf8_lossy(&text), CONSOLE_LINES)
    }

    /// Switches the host on, without waiting for it to boot.
    ///
    /// # Errors
    /// When it is on already, or its processes cannot be started.
    pub fn power_on(&self) -> Result<()> {
        // Two at once would mount the same upper layer twice.
        let _lock = self.shared.home.lock()?;
        if self.status() != Status::Stopped {
            return Err(Error::Usage(format!("{} is {} already", self.name(), self.status())));
        }
        let dir = self.dir();
        let launch = Launch {
            layout: self.layout(),
            name: self.name(),
            number: self.state.number,
            kind: self.kind(),
            dir: &dir,
            rootfs: &self.shared.rootfs,
        };
        if self.kind() == Kind::Guest {
            if !dir.join("disk.img").exists() {
                launch.create_disk()?;
            }
            net::create_tap(self.layout(), &self.layout().interface(self.name(), Kind::Guest))?;
        } else {
            // A port that the last run left would make the next one fail.
            net::delete_link(&self.layout().interface(self.name(), Kind::Nspawn))?;
        }
        let group = self.group();
        // What the last run left of its groups does not concern the next.
        group.remove()?;
        group.create(&["runner", "node"])?;
        launch.start(&group.dirs().collect::<Vec<_>>())
    }

    /// Switches the host on and waits until it has booted and lets one in.
    ///
    /// # Errors
    /// As [`Host::power_on`] and [`Host::wait_ready`].
    pub async fn start(&self) -> Result<()> {
        self.power_on()?;
        self.wait_ready().await
    }

    /// Waits until the host has booted and runs commands over SSH.
    ///
    /// # Errors
    /// When it ends meanwhile, or takes longer than a host may.
    pub async fn wait_ready(&self) -> Result<()> {
        self.until("its boot", self.boot_limit(), || async {
            if exit_file(&self.dir()).exists() {
                return Some(Err(Error::HostDied { host: self.name().to_owned(), console: self.console() }));
            }
            if !self.listens().await {
                return None;
            }
            let state = self.exec_as("root", "systemctl is-system-running --wait", self.boot_limit()).await;
            let booted = state.is_ok_and(|o| ["running", "degraded"].contains(&o.stdout.trim()));
            booted.then_some(Ok(()))
        })
        .await
    }

    /// Shuts the host down in good order and waits until it is off.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&self) -> Result<()> {
        match self.kind() {
            Kind::Nspawn => {
                if self.status() == Status::Paused {
                    return Err(Error::Usage(format!("{} is paused; resume it first", self.name())));
                }
                // From inside, so that it works while the host is cut off.
                self.exec_inside("systemctl --no-block poweroff").await?;
            }
            Kind::Guest => {
                self.tell("systemctl --no-block poweroff").await?;
            }
        }
        self.until("its shutdown", STOP_LIMIT, || async { self.group().is_empty().then_some(Ok(())) }).await
    }

    /// Cuts the power: every process ends at once, without a word to anyone.
    ///
    /// # Errors
    /// When processes do not end.
    pub fn kill(&self) -> Result<()> {
        self.group().kill()
    }

    /// Boots the host anew in good order and waits until it is back.
    ///
    /// # Errors
    /// When it does not come back in time.
    pub async fn reboot(&self) -> Result<()> {
        const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";
        let before = self.run(BOOT_ID).await?;
        self.tell("systemctl --no-block reboot").await?;
        let before = before.as_str();
        self.until("its reboot", self.boot_limit(), || async move {
            if !self.listens().await {
                return None;
            }
            let now = self.exec(BOOT_ID).await.ok()?;
            (now.success() && now.stdout != before).then_some(Ok(()))
        })
        .await?;
        self.wait_ready().await
    }

    /// Freezes every process of the host, as a machine that hangs: it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When it is off, or the machine cannot freeze control groups.
    pub fn pause(&self) -> Result<()> {
        if self.status() == Status::Stopped {
            return Err(Error::Usage(format!("{} is not running", self.name())));
        }
        self.group().freeze(true)
    }

    /// Lets a paused host go on.
    ///
    /// # Errors
    /// As [`Host::pause`].
    pub fn resume(&self) -> Result<()> {
        self.group().freeze(false)
    }

    /// Cuts the links between this host and `others`, in both directions; all else stays.
    ///
    /// # Errors
    /// When the rules cannot be put in force.
    pub fn partition_from(&self, others: &[&Host]) -> Result<()> {
        let me = End::Host(self.name().to_owned());
        for other in others {
            self.check_neighbour(other.index)?;
        }
        self.shared.change_rules(|rules| {
            for other in others {
                let other = End::Host(other.name().to_owned());
                rules.push(Rule::all_of(me.clone(), other.clone()));
                rules.push(Rule::all_of(other, me.clone()));
            }
        })
    }

    /// Loses packets that this host sends or receives, until the testbed is healed.
    ///
    /// # Errors
    /// When the rules cannot be put in force.
    pub fn drop_packets(&self, loss: &Loss) -> Result<()> {
        let me = End::Host(self.name().to_owned());
        if let Some(index) = loss.testbed {
            self.check_neighbour(index)?;
        }
        let (from, to) = if loss.sent { (me, loss.peer.clone()) } else { (loss.peer.clone(), me) };
        let rule = Rule { from, to, tcp_port: loss.tcp_port, percent: loss.percent };
        self.shared.change_rules(|rules| rules.push(rule))
    }

    /// Hosts of different testbeds have the same names.
    fn check_neighbour(&self, index: u8) -> Result<()> {
        if index == self.index {
            return Ok(());
        }
        Err(Error::Usage(format!("{} has no links to hosts of another testbed", self.name())))
    }

    /// Puts a file system of its own under `path`, so small that it can be filled. It begins with a copy of
    /// what stood there, and is gone after a reboot.
    ///
    /// # Errors
    /// When it cannot be made or mounted.
    pub async fn mount_disk(&self, path: &str, mib: u32) -> Result<Disk> {
        if !path.starts_with('/') || path == "/" {
            return Err(Error::Usage(format!(
                "a disk is mounted below the root, under an absolute path; got `{path}`"
            )));
        }
        self.run(&format!("mkdir -p {}", quoted(path))).await?;
        match self.kind() {
            Kind::Nspawn => self.mount_loop(path, mib)?,
            Kind::Guest => {
                self.run(&format!(
                    "set -e; f=$(mktemp /var/tmp/disk-XXXXXX); truncate -s {mib}M \"$f\"; \
                     mke2fs -q -F -m 0 -t ext4 -d {p} \"$f\"; mount -o loop \"$f\" {p}; rm \"$f\"",
                    p = quoted(path)
                ))
                .await?;
            }
        }
        Ok(Disk { host: self.clone(), path: path.to_owned() })
    }

    /// A file system from a file of the testbed's, by a loop device of this machine, mounted in the container.
    fn mount_loop(&self, path: &str, mib: u32) -> Result<()> {
        let leader = self.leader()?;
        let root = PathBuf::from(format!("/proc/{leader}/root"));
        let dir = self.dir().join("disks");
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        let mut number = 1;
        let image = loop {
            let image = dir.join(format!("{number}.img"));
            if !image.exists() {
                break image;
            }
            number += 1;
        };
        let file = fs::File::create(&image).map_err(Error::io("create", &image))?;
        file.set_len(u64::from(mib) << 20).map_err(Error::io("resize", &image))?;
        let source = root.join(path.trim_start_matches('/'));
        let args: [&std::ffi::OsStr; 9] = [
            "-q".as_ref(),
            "-F".as_ref(),
            "-m0".as_ref(),
            "-t".as_ref(),
            "ext4".as_ref(),
            "-d".as_ref(),
            source.as_os_str(),
            image.as_os_str(),
            "-Lsmall".as_ref(),
        ];
        run("mke2fs", &args)?;
        let device =
            run("losetup", &["--find".as_ref(), "--show".as_ref(), image.as_os_str()])?.trim().to_owned();
        // The container has no loop devices: lend it this one for as long as mounting takes.
        let mounted = lend_device(&root, &device)
            .and_then(|lent| {
                let done = run(
                    "nsenter",
                    &[
                        "--mount",
                        "--root",
                        "--target",
                        &leader.to_string(),
                        "--",
                        "mount",
                        "-t",
                        "ext4",
                        &lent,
                        path,
                    ],
                );
                let _ = fs::remove_file(root.join(lent.trim_start_matches('/')));
                done
            })
            .map(drop);
        // From here on the mount alone holds the device; it goes with the last container that has it.
        let released = run("losetup", &["--detach", &device]).map(drop);
        mounted.and(released)
    }

    /// Makes a small file system under `path`, as [`Host::mount_disk`], and fills it to the last byte.
    ///
    /// # Errors
    /// As [`Host::mount_disk`].
    pub async fn fill_disk(&self, path: &str, mib: u32) -> Result<Disk> {
        let disk = self.mount_disk(path, mib).await?;
        disk.fill().await?;
        Ok(disk)
    }

    /// The host's first process, seen from this machine.
    fn leader(&self) -> Result<i32> {
        if self.kind() == Kind::Guest {
            return Err(Error::Usage(format!(
                "{} is a guest; its processes are not seen from outside",
                self.name()
            )));
        }
        self.group()
            .pids()
            .into_iter()
            .find(|pid| {
                fs::read_to_string(format!("/proc/{pid}/status"))
                    .is_ok_and(|status| is_first_of_a_namespace(&status))
            })
            .ok_or_else(|| Error::Usage(format!("{} is not running", self.name())))
    }

    fn boot_limit(&self) -> Duration {
        match self.kind() {
            Kind::Nspawn => BOOT_LIMIT,
            Kind::Guest => GUEST_BOOT_LIMIT,
        }
    }

    /// Runs a command after which the connection may go before the answer comes.
    async fn tell(&self, command: &str) -> Result<()> {
        match self.exec(command).await {
            Err(Error::Timeout { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether something takes connections on the SSH port.
    async fn listens(&self) -> bool {
        let connect = tokio::net::TcpStream::connect(SocketAddrV4::new(self.address(), 22));
        tokio::time::timeout(Duration::from_millis(500), connect).await.is_ok_and(|c| c.is_ok())
    }

    /// Looks again and again until `done` has an answer.
    async fn until<F: Future<Output = Option<Result<()>>>>(
        &self,
        what: &str,
        limit: Duration,
        done: impl Fn() -> F,
    ) -> Result<()> {
        let waiting = async {
            loop {
                if let Some(answer) = done().await {
                    return answer;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Error::Timeout {
                what: format!("{} of {}", what.trim_start_matches("its "), self.name()),
                limit,
                detail: format!("; its console says:\n{}", self.console()),
            }),
        }
    }
}

/// A small file system mounted on a host.
#[derive(Clone, Debug)]
pub struct Disk {
    host: Host,
    path: String,
}

impl Disk {
    /// Writes until nothing more goes in.
    ///
    /// # Errors
    /// When the host cannot be reached, or the disk still has room afterwards.
    pub async fn fill(&self) -> Result<()> {
        let filler = quoted(&format!("{}/.filler", self.path));
        self.host
            .run(&format!(
                "dd if=/dev/zero of={filler} bs=64k status=none 2>/dev/null; \
                 dd if=/dev/zero of={filler} bs=1k oflag=append conv=notrunc status=none 2>/dev/null; \
                 sync; [ \"$(stat -f -c %a {})\" -eq 0 ]",
                quoted(&self.path)
            ))
            .await?;
        Ok(())
    }

    /// Takes back what [`Disk::fill`] wrote.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub async fn free(&self) -> Result<()> {
        self.host.run(&format!("rm -f {}", quoted(&format!("{}/.filler", self.path)))).await?;
        Ok(())
    }
}

/// Packets that are lost on their way to or from a host.
#[derive(Clone, Debug)]
pub struct Loss {
    peer: End,
    /// Whose host the peer is.
    testbed: Option<u8>,
    sent: bool,
    tcp_port: Option<u16>,
    percent: u8,
}

impl Loss {
    fn new(peer: End, sent: bool) -> Self {
        Self { peer, testbed: None, sent, tcp_port: None, percent: 100 }
    }

    /// Packets to another host.
    #[must_use]
    pub fn to(other: &Host) -> Self {
        Self { testbed: Some(other.index), ..Self::new(End::Host(other.name().to_owned()), true) }
    }

    /// Packets from another host.
    #[must_use]
    pub fn from(other: &Host) -> Self {
        Self { testbed: Some(other.index), ..Self::new(End::Host(other.name().to_owned()), false) }
    }

    /// Packets to this machine.
    #[must_use]
    pub fn to_machine() -> Self {
        Self::new(End::Machine, true)
    }

    /// Packets from this machine.
    #[must_use]
    pub fn from_machine() -> Self {
        Self::new(End::Machine, false)
    }

    /// Packets to anyone.
    #[must_use]
    pub fn to_all() -> Self {
        Self::new(End::All, true)
    }

    /// Packets from anyone.
    #[must_use]
    pub fn from_all() -> Self {
        Self::new(End::All, false)
    }

    /// Only so many of a hundred, at random; 1 to 100, and 100 unless set.
    #[must_use]
    pub fn percent(mut self, percent: u8) -> Self {
        self.percent = percent.clamp(1, 100);
        self
    }

    /// Only packets to this TCP port.
    #[must_use]
    pub fn tcp_port(mut self, port: u16) -> Self {
        self.tcp_port = Some(port);
        self
    }
}

/// Whether `/proc/<pid>/status` is that of a process which is number 1 in a namespace one below ours.
fn is_first_of_a_namespace(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .map(|pids| pids.split_whitespace().collect::<Vec<_>>())
        .is_some_and(|pids| pids.len() == 2 && pids[1] == "1")
}

/// Makes the block device known under the same path in a container. Returns the path.
fn lend_device(root: &Path, device: &str) -> Result<String> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::MetadataExt as _;

    let number = fs::metadata(device).map_err(Error::io("read", device))?.rdev();
    let there = root.join(device.trim_start_matches('/'));
    let _ = fs::remove_file(&there);
    mknodat(CWD, &there, FileType::BlockDevice, Mode::from_raw_mode(0o600), number)
        .map_err(|e| Error::Io { action: "create", path: there, source: e.into() })?;
    Ok(device.to_owned())
}

/// A word as a POSIX shell takes it for itself.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_of_a_container_is_told_by_its_two_numbers() {
        for (status, expected) in [
            ("Name:\tsystemd\nNSpid:\t4711\t1\n", true),
            ("Name:\tsshd\nNSpid:\t4712\t59\n", false),
            ("Name:\tsystemd-nspawn\nNSpid:\t1\n", false),
            ("Name:\tinner\nNSpid:\t4713\t60\t1\n", false),
            ("", false),
        ] {
            assert_eq!(is_first_of_a_namespace(status), expected, "{status}");
        }
    }

    #[test]
    fn quoted_words_come_back_unchanged_from_a_shell() {
        for word in ["plain", "two words", "it's", "$(id) `id` \"x\" \\", "", "a\nb"] {
            assert_eq!(run("sh", &["-c", &format!("printf %s {}", quoted(word))]).unwrap(), word);
        }
    }
}
