//! What a run over hosts needs before it begins: the inventory, the way to hosts, the program, the authority, the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use installer::binary::{self, Needs};
use installer::blob::Blob;
use installer::connect::{Base, known_hosts, state_dir};
use installer::control::Control;
use installer::desired::{Material, authority};
use installer::event::{Event as Happening, Listener, Outcome, SCHEMA};
use installer::journal::Journal;
use installer::preflight::{EtcdProgram, Finding, Level};
use installer::run::{Options, Removal, Run, UPLOADS, runs_dir};
use installer::templates::Templates;
use inventory::{Arch, Inventory, Origin, Role, SshConfig};
use pki::{Ca, Pki};
use secrecy::{ExposeSecret as _, SecretString};
use ssh::{Connector, Prompt, Settings, UnknownKey};

use super::args::HostArgs;
use super::etcd;
use crate::error::CliError;
use crate::inventory_file;
use crate::password;
use crate::printer::{Printer, style};
use crate::progress::{Progress, Screen};
use crate::text::visible;
use crate::version;

/// A name that is not found by then is not found.
const LOOKUP: Duration = Duration::from_secs(5);

/// The file of the key of secrets, beside the authorities.
const SECRETS_KEY: &str = "secrets.key";

/// Runs work of many hosts.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))
}

/// A run that has begun.
pub(super) struct Setup {
    what: &'static str,
    file: PathBuf,
    inventory: Inventory,
    base: Base,
    state: PathBuf,
    journal: Arc<Journal>,
    progress: Progress,
    screen: Screen,
    listener: Listener,
    programs: BTreeMap<String, (Needs, u64)>,
    blobs: BTreeMap<String, Arc<Blob>>,
    etcd: Option<etcd::Found>,
    began: Instant,
    has_become_password: bool,
}

impl Setup {
    /// Reads the inventory and begins the journal.
    pub(super) fn begin(ui: &mut Printer, args: &HostArgs, what: &'static str) -> Result<Self, CliError> {
        let began = Instant::now();
        let inventory = inventory_file::read(&args.inventory)?;
        for name in &args.exclude {
            if inventory.host(name).is_none() {
                let names = inventory.hosts.iter().map(|host| host.name.as_str());
                let near = crate::text::similar(name, names);
                let error =
                    CliError::usage(format!("`--exclude {name}`: there is no such host in the inventory"));
                return Err(near
                    .iter()
                    .fold(error, |error, near| error.hint(format!("did you mean `{near}`?"))));
            }
        }
        let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from).unwrap_or_default();
        let dir = args.inventory.parent().map(Path::to_owned).unwrap_or_default();
        let state = state_dir(&args.inventory, &inventory.cluster.name);
        let (programs, blobs) = programs(&inventory, args, &Base { home: home.clone(), dir: dir.clone() })?;
        let journal = Journal::begin(&runs_dir(&state), SystemTime::now(), what).map_err(|cause| {
            CliError::usage("the journal of this run cannot be begun")
                .caused_by(&cause)
                .hint("make the directory of the inventory writable: the cluster's state is kept beside it")
        })?;
        let journal = Arc::new(journal);
        let progress = Progress::start(ui)?;
        let (shown, written) = (progress.listener(), Arc::clone(&journal));
        let listener: Listener = Arc::new(move |event: Happening| {
            written.event(&event, SystemTime::now());
            shown(event);
        });
        listener(Happening::RunStarted {
            schema: SCHEMA,
            run: journal.id().to_owned(),
            command: format!("{what} {}", args.inventory.display()),
            cluster: inventory.cluster.name.clone(),
            hosts: inventory.hosts.iter().map(|host| host.name.clone()).collect(),
        });
        Ok(Self {
            what,
            file: args.inventory.clone(),
            base: Base { home, dir },
            state,
            screen: progress.screen(),
            inventory,
            journal,
            progress,
            listener,
            programs,
            blobs,
            etcd: None,
            began,
            has_become_password: args.become_password_file.is_some(),
        })
    }

    /// The run over all hosts.
    pub(super) fn run(&self, ui: &Printer, args: &HostArgs) -> Result<Run, CliError> {
        let become_password = match &args.become_password_file {
            Some(file) => Some(password::read(ui, Some(file), "Password for sudo")?),
            None => None,
        };
        let ssh_password = match args.ask_pass {
            true => Some(self.pause(|| password::read(ui, None, "Password for SSH"))?),
            false => password_of(&self.inventory, &self.base)?,
        };
        let options = Options {
            base: self.base.clone(),
            parallel: usize::from(args.parallel),
            uploads: UPLOADS,
            max_failures: None,
            become_password,
            ssh_password,
            ssh_password_for_all: args.ask_pass,
            exclude: args.exclude.iter().cloned().collect::<BTreeSet<_>>(),
        };
        Ok(Run::new(self.inventory.clone(), options, self.connector()?, Arc::clone(&self.listener)))
    }

    fn connector(&self) -> Result<Connector, CliError> {
        let user = env::var("USER").or_else(|_| env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
        let mut settings = Settings::for_user(&self.base.home, &user);
        let named = known_hosts(&self.inventory.hosts, &self.base);
        if !named.is_empty() {
            settings.known_hosts = named;
            // What is revoked there stays so.
            settings.known_hosts.push(PathBuf::from("/etc/ssh/ssh_known_hosts"));
        }
        settings.agent = env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
        settings.prompt = io::stdin().is_terminal().then(|| {
            let prompt: Arc<dyn Prompt> = Arc::new(Passphrases(self.screen.clone()));
            prompt
        });
        settings.config = self.ssh_config()?;
        Connector::new(settings).map_err(|cause| CliError::usage("cannot use SSH").caused_by(&cause))
    }

    fn ssh_config(&self) -> Result<ssh::SshConfig, CliError> {
        let mut wanted: Vec<&SshConfig> = self.inventory.hosts.iter().map(|host| &host.ssh.config).collect();
        wanted.dedup();
        let path = match wanted.as_slice() {
            [SshConfig::None] | [] => return Ok(ssh::SshConfig::default()),
            [SshConfig::Default] => self.base.home.join(".ssh/config"),
            [SshConfig::File(path)] => self.base.resolve(path),
            _ => {
                return Err(CliError::usage(
                    "hosts name different files under `ssh: config:`, which is not supported",
                )
                .hint("name one for all, and write what differs into the inventory"));
            }
        };
        if !path.exists() && !matches!(wanted.as_slice(), [SshConfig::Default]) {
            return Err(CliError::usage(format!(
                "`ssh: config:` names {}, which is not there",
                path.display()
            )));
        }
        let config = ssh::SshConfig::load(&path, &self.base.home).map_err(|cause| {
            CliError::usage(format!("{} cannot be read", path.display())).caused_by(&cause)
        })?;
        for warning in config.warnings() {
            tracing::warn!(?warning, "a part of the SSH configuration is passed over");
        }
        Ok(config)
    }

    /// Looks for the etcd that coordinators get, which may be fetched now.
    pub(super) async fn find_etcd(&mut self) -> Result<(), CliError> {
        let listener = Arc::clone(&self.listener);
        let fetching = |url: &str| listener(Happening::Waiting { what: format!("etcd from {url}") });
        self.etcd = etcd::find(&self.inventory, &self.base, &self.state, fetching).await?;
        Ok(())
    }

    /// What is checked of the etcd that coordinators get.
    pub(super) fn etcd(&self) -> Option<&EtcdProgram> {
        self.etcd.as_ref().map(|(_, checked)| checked)
    }

    /// What all hosts share.
    pub(super) async fn material(&self) -> Result<Material, CliError> {
        let templates =
            Templates::new().map_err(|cause| CliError::internal("a template is broken").caused_by(&cause))?;
        let authorities = self.authorities()?;
        let secrets_key = Arc::new(self.secrets_key()?);
        Ok(Material {
            version: version::VERSION.to_owned(),
            programs: self.blobs.clone(),
            ca: authorities.cluster.certificate().to_owned(),
            etcd_ca: authorities.etcd.certificate().to_owned(),
            secrets_key,
            etcd: self.etcd.as_ref().map(|(etcd, _)| etcd.clone()),
            templates,
            addresses: self.addresses().await,
        })
    }

    /// IP addresses of the names at which hosts reach each other. What this machine cannot look up is left out.
    async fn addresses(&self) -> BTreeMap<String, std::net::IpAddr> {
        let names = self.inventory.hosts.iter().filter_map(|host| match host.cluster_address() {
            inventory::Address::Name(name) => Some(name.clone()),
            inventory::Address::Ip(_) => None,
        });
        let found = names.map(|name| async move {
            let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name.as_str(), 0))).await;
            // The same of several each time; those of IPv4 come first.
            let address = found.ok()?.ok()?.map(|found| found.ip()).min()?;
            Some((name, address))
        });
        futures_util::future::join_all(found).await.into_iter().flatten().collect()
    }

    /// Programs by the kind of machine that they are for.
    pub(super) fn programs(&self) -> &BTreeMap<String, (Needs, u64)> {
        &self.programs
    }

    /// The cluster's certificate authorities, made if there are none yet.
    pub(super) fn authorities(&self) -> Result<Pki, CliError> {
        let (dir, cluster) = (self.state.join("pki"), &self.inventory.cluster.name);
        let made = pki::directory::open_or_create(&dir, cluster, SystemTime::now());
        made.map(|(pki, _)| pki).map_err(|cause| {
            CliError::usage("the cluster's certificate authority cannot be used").caused_by(&cause)
        })
    }

    /// The key of the cluster's secrets, made if there is none yet, and as masters' files have it.
    fn secrets_key(&self) -> Result<SecretString, CliError> {
        let dir = self.state.join("pki");
        let unusable = || CliError::usage("the key of the cluster's secrets cannot be used");
        let new = secrets::Key::draw().map_err(|cause| unusable().caused_by(&cause))?;
        let (text, _) =
            pki::directory::keep(&dir, SECRETS_KEY, &new).map_err(|cause| unusable().caused_by(&cause))?;
        if secrets::Key::read(&text).is_none() {
            let path = dir.join(SECRETS_KEY);
            return Err(CliError::usage(format!(
                "{} holds no key of secrets, which has 64 hexadecimal digits",
                path.display()
            ))
            .hint(format!(
                "bring it back from a backup, or from a master, which has it as {}",
                installer::desired::SECRETS_KEY
            )));
        }
        // One that came by way of an editor is the same key.
        Ok(format!("{}\n", text.expose_secret().trim().to_ascii_lowercase()).into())
    }

    /// The one of masters, agents and clients.
    pub(super) fn authority(&self) -> Result<Ca, CliError> {
        Ok(self.authorities()?.cluster)
    }

    /// The digest of the cluster's authority, where there is one: nothing is made.
    pub(super) fn known_authority(&self) -> Result<Option<installer::item::Sum>, CliError> {
        let (dir, cluster) = (self.state.join("pki"), &self.inventory.cluster.name);
        let known = pki::directory::open(&dir, cluster).map_err(|cause| {
            CliError::usage("the cluster's certificate authority cannot be used").caused_by(&cause)
        })?;
        Ok(known.map(|pki| installer::item::Sum::of(pki.cluster.certificate().as_bytes())))
    }

    /// Whether this machine reaches the port of each of these masters, which it speaks to directly: a refusal is fine before an install.
    pub(super) async fn unreached_masters(&self, is_there: impl Fn(&str) -> bool) -> Vec<Finding> {
        let port = self.inventory.cluster.port;
        let masters: Vec<_> =
            self.inventory.with_role(Role::Master).filter(|host| is_there(&host.name)).collect();
        let tried = masters.iter().map(|host| async move {
            let address = host.address.to_string();
            let tried = tokio::time::timeout(LOOKUP, tokio::net::TcpStream::connect((address.as_str(), port))).await;
            let silent = match tried {
                Ok(Ok(_)) => false,
                Ok(Err(error)) => error.kind() != io::ErrorKind::ConnectionRefused,
                Err(_) => true,
            };
            silent.then(|| Finding {
                host: host.name.clone(),
                check: "network",
                level: Level::Error,
                what: format!("this machine does not reach {}", authority(&host.address, port)),
                remedy: format!("open TCP port {port} for it: commands speak to masters directly, also where SSH goes over a jump host"),
            })
        });
        futures_util::future::join_all(tried).await.into_iter().flatten().collect()
    }

    /// A client of the cluster with the operator's certificate.
    pub(super) fn control(&self) -> Result<Control, CliError> {
        Control::new(&self.authority()?, self.masters(), SystemTime::now())
            .map_err(|cause| CliError::internal("cannot speak to the cluster").caused_by(&cause))
    }

    /// URLs of the masters, as this machine reaches them.
    pub(super) fn masters(&self) -> Vec<String> {
        let port = self.inventory.cluster.port;
        self.inventory
            .with_role(Role::Master)
            .map(|host| format!("https://{}", authority(&host.address, port)))
            .collect()
    }

    /// Something on the terminal while the view is there.
    pub(super) fn pause<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.screen.aside(ask)
    }

    /// Whether the user can be asked for a password, and has given none.
    pub(super) fn can_ask(&self, ui: &Printer) -> bool {
        !self.has_become_password && !ui.is_json() && io::stdin().is_terminal()
    }

    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn cluster(&self) -> &str {
        &self.inventory.cluster.name
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.journal.log_path()
    }

    pub(super) fn listener(&self) -> Listener {
        Arc::clone(&self.listener)
    }

    /// This machine's own name.
    pub(super) fn machine(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// When it began, RFC 3339.
    pub(super) fn now_text(&self) -> String {
        installer::journal::clock(SystemTime::now()).to_string()
    }

    /// Ends the run and the view; how hosts came out of it, and how long it took.
    pub(super) async fn close(self, run: Run) -> Result<(Vec<(String, Outcome)>, Duration), CliError> {
        let hosts = run.finish(&self.journal.log_path()).await;
        self.progress.finish()?;
        Ok((hosts, self.began.elapsed()))
    }
}

type Programs = (BTreeMap<String, (Needs, u64)>, BTreeMap<String, Arc<Blob>>);

/// This program, and those that the inventory names for other kinds of machines.
fn programs(inventory: &Inventory, args: &HostArgs, base: &Base) -> Result<Programs, CliError> {
    let mut files: Vec<(PathBuf, Option<&'static str>)> = Vec::new();
    for (arch, artifact) in &inventory.artifacts.clusterctl {
        match &artifact.origin {
            Origin::File(path) => files.push((base.resolve(path), Some(Arch::name(*arch)))),
            Origin::Url(_) | Origin::Package(_) | Origin::Purl(_) => {
                return Err(CliError::usage(format!(
                    "`artifacts: clusterctl: {}` can only be a file in this version",
                    arch.name()
                ))
                .hint("download it, check its digest, and name the file"));
            }
        }
    }
    let own = match &args.program {
        Some(file) => file.clone(),
        None => crate::commands::agent::own_file()?,
    };
    files.push((own, None));
    let mut programs: Programs = Programs::default();
    for (file, wanted) in files {
        let wrong = |cause: &(dyn std::error::Error + 'static)| {
            CliError::usage(format!("{} cannot go to nodes", file.display())).caused_by(cause)
        };
        let opened = fs::File::open(&file).map_err(|cause| wrong(&cause))?;
        let needs = binary::needs(opened).map_err(|cause| wrong(&cause))?;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != needs.machine) {
            return Err(CliError::usage(format!(
                "{} is a program for {}, and the inventory names it for {wanted}",
                file.display(),
                needs.machine
            )));
        }
        // What the inventory names comes before this very program.
        if programs.0.contains_key(needs.machine) {
            continue;
        }
        let blob = Blob::open(&file).map_err(|cause| wrong(&cause))?;
        let machine = needs.machine.to_owned();
        programs.0.insert(machine.clone(), (needs, blob.size()));
        programs.1.insert(machine, Arc::new(blob));
    }
    Ok(programs)
}

/// The password that the inventory's file holds; one for all.
fn password_of(inventory: &Inventory, base: &Base) -> Result<Option<SecretString>, CliError> {
    let mut files: Vec<&String> =
        inventory.hosts.iter().filter_map(|host| host.ssh.password_file.as_ref()).collect();
    files.sort();
    files.dedup();
    match files.as_slice() {
        [] => Ok(None),
        [file] => {
            let path = base.resolve(file);
            let text = fs::read_to_string(&path).map_err(|cause| {
                CliError::usage(format!("the password file {} cannot be read", path.display()))
                    .caused_by(&cause)
            })?;
            Ok(Some(SecretString::from(text.lines().next().unwrap_or_default().to_owned())))
        }
        _ => Err(CliError::usage("hosts name different password files, which is not supported")
            .hint("name one for all, or use keys")),
    }
}

/// Asks for passphrases of keys, while the view is there.
struct Passphrases(Screen);

impl Prompt for Passphrases {
    fn passphrase<'a>(
        &'a self,
        path: &'a Path,
        attempt: u32,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<SecretString>> + Send + 'a>> {
        let (screen, path) = (self.0.clone(), path.display().to_string());
        Box::pin(async move {
            let again = if attempt > 1 { " (that was not it)" } else { "" };
            let text = format!("Passphrase for {path}{again}");
            let asked = tokio::task::spawn_blocking(move || screen.aside(|| password::ask_once(&text).ok()));
            asked.await.ok().flatten()
        })
    }
}

/// Asks for sudo's password.
pub(super) fn ask_for_become_password(ui: &Printer) -> Result<SecretString, CliError> {
    password::read(ui, None, "Password for sudo")
}

/// One table, one question.
pub(super) fn ask_about_keys(ui: &mut Printer, unknown: &[(String, UnknownKey)]) -> Result<bool, CliError> {
    if ui.is_json() || !io::stdin().is_terminal() {
        return Ok(false);
    }
    let bold = style::HEADING;
    let mut text = format!("{bold}The keys of these hosts are not known yet:{bold:#}\n");
    let width = unknown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, key) in unknown {
        text += &format!("  {name:width$}  {}  {} {}\n", key.host, key.key.kind(), key.key.fingerprint());
    }
    ui.prompt(&text);
    crate::confirm::ask(ui, "Are these the right hosts? They are written to known_hosts then.")
}

/// A host that was not reached or failed, as a finding.
pub(super) fn finding_of(host: &str, outcome: &Outcome) -> Option<Finding> {
    let (check, failure) = match outcome {
        Outcome::Unreachable { failure } => ("connect", failure),
        Outcome::Failed { failure, .. } => ("facts", failure),
        _ => return None,
    };
    Some(Finding {
        host: host.to_owned(),
        check,
        level: Level::Error,
        what: failure.what.clone(),
        remedy: failure.hint.clone().unwrap_or_else(|| "look at the log of this run".to_owned()),
    })
}

/// What a reset does, for people: hosts with the very same list once.
pub(super) fn removal_view(removals: &[(String, Removal)]) -> String {
    let mut text = String::new();
    let mut seen: Vec<(&Removal, Vec<&str>)> = Vec::new();
    for (name, removal) in removals {
        match seen.iter_mut().find(|(known, _)| *known == removal) {
            Some((_, names)) => names.push(name),
            None => seen.push((removal, vec![name])),
        }
    }
    let bold = style::HEADING;
    for (removal, names) in seen {
        text += &format!("{bold}{}{bold:#}\n", names.join(", "));
        if removal.is_empty() {
            text += "  nothing was put there\n";
        }
        for words in &removal.words {
            text += &format!("  {}\n", visible(words));
        }
        for (path, why) in &removal.kept {
            text += &format!("  leave {}: {why}\n", visible(path));
        }
    }
    text
}

/// The same for programs.
pub(super) fn removal_words(removals: &[(String, Removal)]) -> Vec<(String, Vec<String>)> {
    removals.iter().map(|(name, removal)| (name.clone(), removal.words.clone())).collect()
}

/// What tells one run from another.
pub(super) fn random_token() -> Result<String, CliError> {
    let number =
        getrandom::u64().map_err(|cause| CliError::internal("there is no randomness").caused_by(&cause))?;
    Ok(format!("{number:016x}"))
}
