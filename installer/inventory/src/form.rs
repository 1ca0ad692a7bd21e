//! The form of an inventory: every key, what may stand behind it, and what it is for. The reader knows no other keys, and the
//! schema is this table in other words.

/// A map with known keys.
pub(crate) struct Form {
    /// In the words of a message: `unknown key … in a host`.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key of a form.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) is_required: bool,
    /// What it is for, as an editor shows it.
    pub(crate) help: &'static str,
}

/// What may stand behind a key.
pub(crate) enum Value {
    /// A text that has a form of its own, such as an address.
    Text,
    Port,
    Truth,
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One value or a list of them.
    Some(&'static Value),
    /// A list of maps.
    Maps(&'static Form),
    Map(&'static Form),
    /// Names that are not known here with values, or Mesos' text for them.
    Named,
}

impl Form {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, value: Value, help: &'static str) -> Key {
    Key { name, value, is_required: false, help }
}

const fn required(name: &'static str, value: Value, help: &'static str) -> Key {
    Key { name, value, is_required: true, help }
}

pub(crate) const ROLES: &[&str] = &["coordinator", "master", "agent", "public_agent"];
pub(crate) const CONNECTIONS: &[&str] = &["ssh", "local"];
pub(crate) const STATES: &[&str] = &["present", "absent-ok"];
pub(crate) const CHECKINGS: &[&str] = &["ask", "strict", "accept-new"];
pub(crate) const BECOMES: &[&str] = &["sudo", "none"];

/// The whole inventory.
pub(crate) static INVENTORY: Form = Form {
    name: "an inventory",
    keys: &[
        required("cluster", Value::Map(&CLUSTER), "What holds for the cluster as a whole."),
        key(
            "ssh",
            Value::Map(&SSH),
            "How the installer logs in: defaults for all hosts, each of which may override them.",
        ),
        required("hosts", Value::Maps(&HOST), "The machines of the cluster."),
        key("artifacts", Value::Map(&ARTIFACTS), "Where parts come from that are not in the binary."),
    ],
};

pub(crate) static CLUSTER: Form = Form {
    name: "`cluster`",
    keys: &[
        required("name", Value::Text, "The cluster's name: letters, digits, `-`, `_` and `.`."),
        key("task_user", Value::Text, "Whom tasks run as that do not say it. Default: nobody."),
        key("port", Value::Port, "Where masters listen. Default: 5050."),
        key("agent_port", Value::Port, "Where agents listen. Default: 5051."),
        key(
            "timeouts",
            Value::Map(&TIMEOUTS),
            "How long to wait before what is not heard of counts as lost.",
        ),
    ],
};

pub(crate) static TIMEOUTS: Form = Form {
    name: "`timeouts`",
    keys: &[
        key("lease", Value::Duration, "How long a master leads without renewing it. Default: 3s."),
        key(
            "unreachable",
            Value::Duration,
            "From when on an agent that is not heard of is unreachable. Default: 75s.",
        ),
        key(
            "reregistration",
            Value::Duration,
            "How long a new leader waits for agents to register again. Default: 10m.",
        ),
    ],
};

pub(crate) static SSH: Form = Form {
    name: "`ssh`",
    keys: &[
        key("user", Value::Text, "Whom to log in as."),
        key("port", Value::Port, "The port of SSH. Default: 22."),
        key("identity_file", Value::Some(&Value::Text), "Files with private keys."),
        key("identities_only", Value::Truth, "Offer these keys alone, not all that the SSH agent has."),
        key(
            "host_key_checking",
            Value::Choice(CHECKINGS),
            "What to do about an unknown host key: ask once for all, refuse it, or take it. Default: ask.",
        ),
        key("become", Value::Choice(BECOMES), "How to become root. Default: sudo."),
        key(
            "jump",
            Value::Some(&Value::Text),
            "Over which hosts, in this order, each `[user@]host[:port]`; or `none`.",
        ),
        key("known_hosts", Value::Text, "The file with known host keys."),
        key("connect_timeout", Value::Duration, "How long one connection may take to stand. Default: 10s."),
        key(
            "config",
            Value::Text,
            "The configuration of OpenSSH that is read, or `none`. Default: the user's own.",
        ),
        key("password_file", Value::Text, "A file with the password to log in with."),
    ],
};

pub(crate) static HOST: Form = Form {
    name: "a host",
    keys: &[
        required(
            "name",
            Value::Text,
            "What people call it. A range like `a[01:20]` makes many hosts of one entry.",
        ),
        required("address", Value::Text, "Where the operator's machine reaches it: an IP address or a name."),
        key("private_address", Value::Text, "Where the other hosts reach it, when that is elsewhere."),
        key("hostname", Value::Text, "What Mesos calls it. Default: its address."),
        required("roles", Value::Some(&Value::Choice(ROLES)), "What it is in the cluster."),
        key(
            "connection",
            Value::Choice(CONNECTIONS),
            "How the installer gets there; `local` is this machine. Default: ssh.",
        ),
        key("port", Value::Port, "The port of SSH, short for `ssh: {port: …}`."),
        key("ssh", Value::Map(&SSH), "SSH settings of this host."),
        key(
            "host_key",
            Value::Some(&Value::Text),
            "Fingerprints of its host keys, like `SHA256:…`. No other key is taken then.",
        ),
        key("task_user", Value::Text, "Whom its tasks run as that do not say it. Default: the cluster's."),
        key("host_paths", Value::Some(&Value::Text), "Directories of the host that tasks may mount."),
        key(
            "file_roots",
            Value::Some(&Value::Text),
            "Directories of the host from which tasks may take files.",
        ),
        key("region", Value::Text, "The region it stands in."),
        key("zone", Value::Text, "The zone of the region."),
        key(
            "attributes",
            Value::Named,
            "What is said about it as an agent, for placement, like `{rack: r1}`.",
        ),
        key(
            "resources",
            Value::Named,
            "What it has to offer, like `{cpus: 8, mem: 15000}`. Default: detected.",
        ),
        key(
            "state",
            Value::Choice(STATES),
            "`absent-ok` when an install is to go on without it. Default: present.",
        ),
    ],
};

pub(crate) static ARTIFACTS: Form = Form {
    name: "`artifacts`",
    keys: &[
        key("etcd", Value::Map(&ANY_ORIGIN), "The coordinators' store."),
        key("clusterctl", Value::Map(&ARCHES), "This program for machines of another kind."),
    ],
};

pub(crate) static ARCHES: Form = Form {
    name: "`clusterctl`",
    keys: &[
        key("x86_64", Value::Map(&FILE_ORIGIN), "For x86_64, also called amd64."),
        key("aarch64", Value::Map(&FILE_ORIGIN), "For aarch64, also called arm64."),
    ],
};

pub(crate) static ANY_ORIGIN: Form = Form {
    name: "an artifact",
    keys: &[
        key("file", Value::Text, "A file on the operator's machine."),
        key("url", Value::Text, "Fetched from there; `sha256` says what it has to be."),
        key("sha256", Value::Text, "Its SHA-256 in hexadecimal digits."),
        key("package", Value::Text, "A package of the host's distribution."),
        key("purl", Value::Text, "A package URL that names one file."),
    ],
};

pub(crate) static FILE_ORIGIN: Form = Form {
    name: "an artifact",
    keys: &[
        key("file", Value::Text, "A file on the operator's machine."),
        key("url", Value::Text, "Fetched from there; `sha256` says what it has to be."),
        key("sha256", Value::Text, "Its SHA-256 in hexadecimal digits."),
    ],
};
