//! How a host is started: the command for its container or guest, and the small script that keeps it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::command::{run, search_path};
use crate::error::{Error, Result};
use crate::layout::{Kind, Layout};
use crate::rootfs::Rootfs;

const RUNNER: &str = include_str!("files/runner.sh");
/// The size a guest sees of its disk; the file grows only with what is written.
const GUEST_DISK: &str = "8G";
const GUEST_MEMORY_MIB: u32 = 512;
/// QEMU's accelerator for guests; `kvm` makes them fast where it works.
const ACCELERATOR: &str = "CLUSTERCTL_TESTBED_ACCEL";

/// What a host is started from.
pub(crate) struct Launch<'a> {
    pub(crate) layout: Layout,
    pub(crate) name: &'a str,
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    pub(crate) dir: &'a Path,
    pub(crate) rootfs: &'a Rootfs,
}

impl Launch<'_> {
    /// The container's or guest's command line.
    fn command(&self) -> Result<Vec<OsString>> {
        match self.kind {
            Kind::Nspawn => Ok(self.nspawn()),
            Kind::Guest => self.qemu(),
        }
    }

    fn nspawn(&self) -> Vec<OsString> {
        let mut root = OsString::from("--directory=");
        root.push(self.dir.join("root"));
        let mut args: Vec<OsString> = vec!["systemd-nspawn".into(), "--quiet".into(), "--boot".into(), root];
        args.extend(
            [
                format!("--machine={}", self.layout.machine(self.name)),
                format!("--hostname={}", self.name),
                format!("--network-bridge={}", self.layout.bridge()),
                "--register=no".into(),
                "--keep-unit".into(),
                "--console=pipe".into(),
                "--kill-signal=SIGRTMIN+3".into(),
                "--resolv-conf=off".into(),
                "--timezone=off".into(),
                "--link-journal=no".into(),
                "--".into(),
                // systemd 256 and later start on v1 groups only when told so; others ignore it, as all do on v2.
                "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1".into(),
            ]
            .map(OsString::from),
        );
        args
    }

    fn qemu(&self) -> Result<Vec<OsString>> {
        let (kernel, initrd) = self.rootfs.kernel()?;
        let mut drive = OsString::from("if=virtio,format=raw,cache=unsafe,file=");
        drive.push(self.disk());
        let mut args: Vec<OsString> = ["qemu-system-x86_64", "-name"].map(OsString::from).into();
        args.push(self.layout.machine(self.name).into());
        // Emulation works everywhere; where /dev/kvm is there but dead, a guest under it hangs for ever.
        let accelerator = std::env::var_os(ACCELERATOR).unwrap_or_else(|| "tcg".into());
        args.extend([OsString::from("-accel"), accelerator]);
        // Two emulated processors have been seen to wait for each other for ever on a busy machine.
        args.extend(["-cpu", "max", "-smp", "1", "-m"].map(OsString::from));
        args.push(GUEST_MEMORY_MIB.to_string().into());
        args.extend([
            OsString::from("-kernel"),
            kernel.into(),
            "-initrd".into(),
            initrd.into(),
            "-append".into(),
        ]);
        args.push("root=/dev/vda rootflags=noinit_itable rw console=ttyS0 net.ifnames=0 loglevel=4 systemd.show_status=auto".into());
        args.extend([OsString::from("-drive"), drive, "-netdev".into()]);
        args.push(
            format!(
                "tap,id=net0,ifname={},script=no,downscript=no",
                self.layout.interface(self.name, Kind::Guest)
            )
            .into(),
        );
        args.push("-device".into());
        args.push(format!("virtio-net-pci,netdev=net0,mac={}", self.layout.mac(self.number)).into());
        args.extend(
            ["-device", "virtio-rng-pci", "-display", "none", "-serial", "stdio", "-monitor", "none"]
                .map(OsString::from),
        );
        Ok(args)
    }

    fn disk(&self) -> PathBuf {
        self.dir.join("disk.img")
    }

    /// Makes a guest's disk out of the root file system and the host's own files.
    pub(crate) fn create_disk(&self) -> Result<()> {
        const SCRIPT: &str = "mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work\" \"$2/root\" \
             && mke2fs -q -F -t ext4 -L root -d \"$2/root\" \"$2/disk.partial\" \"$3\" \
             && mv \"$2/disk.partial\" \"$2/disk.img\"";
        let args: [&std::ffi::OsStr; 11] = [
            "--pdeathsig=KILL".as_ref(),
            "unshare".as_ref(),
            "--mount".as_ref(),
            "--propagation=slave".as_ref(),
            "sh".as_ref(),
            "-c".as_ref(),
            SCRIPT.as_ref(),
            "create-disk".as_ref(),
            self.rootfs.path.as_os_str(),
            self.dir.as_os_str(),
            GUEST_DISK.as_ref(),
        ];
        run("setpriv", &args).map(drop)
    }

    /// Starts the host's tree of processes and returns; they live on by themselves. `groups` are the
    /// directories of its control groups, one in each hierarchy.
    pub(crate) fn start(&self, groups: &[PathBuf]) -> Result<()> {
        let script = self.dir.join("runner.sh");
        std::fs::write(&script, RUNNER).map_err(Error::io("write", &script))?;
        std::fs::create_dir_all("/run/systemd/nspawn").map_err(Error::io("create", "/run/systemd/nspawn"))?;
        let _ = std::fs::remove_file(exit_file(self.dir));
        let console = console_file(self.dir);
        let console = std::fs::File::create(&console).map_err(Error::io("create", console))?;
        let errors = console.try_clone().map_err(Error::io("open", console_file(self.dir)))?;
        let rootfs = match self.kind {
            Kind::Nspawn => self.rootfs.path.clone(),
            Kind::Guest => PathBuf::from("-"),
        };
        let mut command = std::process::Command::new("setsid");
        command
            .env_clear()
            .env("PATH", search_path())
            .args(["--fork", "unshare", "--mount", "--propagation=slave", "--", "sh"])
            .arg(script)
            .arg(self.dir)
            .arg(rootfs)
            .args(groups)
            .arg("--")
            .args(self.command()?)
            .stdin(Stdio::null())
            .stdout(console)
            .stderr(errors);
        let failed = |output: String, status| Error::Command { command: "setsid".into(), status, output };
        let status = command.status().map_err(|e| failed(e.to_string(), None))?;
        if !status.success() {
            return Err(failed(String::new(), status.code()));
        }
        Ok(())
    }
}

/// What the host's console and its runner wrote.
pub(crate) fn console_file(dir: &Path) -> PathBuf {
    dir.join("console.log")
}

/// Written by the runner when the host has ended; holds its status.
pub(crate) fn exit_file(dir: &Path) -> PathBuf {
    dir.join("exit")
}
