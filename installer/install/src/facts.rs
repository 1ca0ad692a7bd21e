//! What was found on a host. Pure data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;

use crate::item::{Access, Sum};
use crate::manifest::Manifest;

/// All that one look at a host tells.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What it is.
    pub system: System,
    /// What there is at the paths that were asked about; what is not there has no entry.
    pub paths: BTreeMap<String, Found>,
    /// Users that are there, of those that were asked about.
    pub users: BTreeSet<String>,
    /// Units, by name.
    pub units: BTreeMap<String, UnitFound>,
    /// Guards that succeeded, by their place among the items.
    pub guards: BTreeSet<usize>,
    /// File systems, by the path that was asked about.
    pub disks: BTreeMap<String, Disk>,
    /// Addresses that were tried from there.
    pub reach: BTreeMap<(String, u16), Reach>,
    /// What was put there before.
    pub manifest: Manifest,
}

/// What a host is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct System {
    /// Its clock against ours, in seconds; positive when it is ahead. Half of the look's duration is the uncertainty.
    pub clock_ahead: f64,
    /// Whether the look was made as root.
    pub root: bool,
    /// Like `x86_64`.
    pub machine: String,
    /// Of the kernel.
    pub kernel: String,
    /// Its own name.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Of this boot.
    pub boot_id: String,
    /// For people.
    pub os: String,
    /// The C library's version, if it is glibc.
    pub glibc: Option<(u32, u32)>,
    /// Processors.
    pub cpus: u32,
    /// KiB.
    pub memory: u64,
    /// Its version, if it runs there.
    pub systemd: Option<u32>,
    /// What limits and counts processes.
    pub cgroups: Cgroups,
    /// Whether SELinux enforces.
    pub selinux: bool,
    /// TCP ports that something listens on.
    pub listening: BTreeSet<u16>,
    /// Programs that are missing.
    pub lacks: BTreeSet<String>,
}

/// Control groups of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cgroups {
    /// Version 2 alone.
    pub v2: bool,
    /// Controllers that are there.
    pub controllers: BTreeSet<String>,
}

/// What there is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What kind of thing.
    pub kind: Kind,
    /// Whose it is.
    pub access: Access,
    /// Bytes.
    pub size: u64,
    /// Of a file.
    pub sum: Option<Sum>,
    /// Of a small file that is not as it is to be.
    pub content: Option<String>,
    /// Of a link.
    pub target: Option<String>,
    /// The certificate in it, where one was asked for.
    pub certificate: Option<String>,
}

/// What kind of thing is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// Something else.
    Other,
}

/// What systemd says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFound {
    /// Whether there is such a unit.
    pub loaded: bool,
    /// Like `active`, `inactive`, `failed`, `activating`.
    pub active: String,
    /// Whether it starts with the host.
    pub enabled: bool,
    /// Whether its file was changed since systemd read it.
    pub stale: bool,
    /// What its process was started with.
    pub inputs: Option<Sum>,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// KiB that are free.
    pub free: u64,
    /// Where it is mounted.
    pub mount: String,
    /// How.
    pub options: String,
}

/// What became of an attempt to reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Something answered.
    Open,
    /// The host did, and nothing listens.
    Refused,
    /// Nothing came.
    None,
    /// It could not be tried.
    Unknown,
}

/// When a host was looked at, by our clock.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// Before.
    pub began: SystemTime,
    /// After.
    pub ended: SystemTime,
}
