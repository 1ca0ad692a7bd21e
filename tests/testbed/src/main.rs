//! The testbed as a program: hosts that stand until they are taken down.
#![expect(clippy::print_stderr, reason = "a small program that says what it waits for")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use testbed::{Error, Host, Owner, Release, Result, Status, Testbed};

const ENVIRONMENT: &str = "\
Environment:
  CLUSTERCTL_TESTBED_DIR    where testbeds stand (/var/lib/clusterctl-testbed)
  CLUSTERCTL_TESTBED_CACHE  where root file systems are kept (/var/cache/clusterctl-testbed)
  CLUSTERCTL_TESTBED_ACCEL  QEMU's accelerator for guests: tcg unless set, kvm where that works";

/// Real hosts on this machine: each with its own address, sshd, systemd and hostname.
///
/// Hosts outlive the terminal; `down` removes them. They reach each other and this machine, and nothing else.
#[derive(Parser)]
#[command(name = "testbed", version, after_long_help = ENVIRONMENT)]
struct Cli {
    /// Which testbed, when there are several; with `up`, what the new one is called
    #[arg(long, global = true, value_name = "NAME")]
    name: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make hosts and leave them standing
    Up(Up),
    /// Show all testbeds and their hosts
    List,
    /// Log into a host, or run a command there
    Ssh(Ssh),
    /// Switch hosts on
    Start(Hosts),
    /// Shut hosts down in good order
    Stop(Hosts),
    /// Cut the power of hosts
    Kill(Hosts),
    /// Freeze hosts where they stand
    Pause(Hosts),
    /// Let paused hosts go on
    Resume(Hosts),
    /// Cut hosts off from all others and from this machine; among themselves they still speak
    Partition(Hosts),
    /// End all partitions
    Heal,
    /// Print the inventory of the hosts
    Inventory,
    /// Remove the testbed
    Down {
        /// All that belong to no running process
        #[arg(long)]
        all: bool,
    },
    /// Remove what killed runs left, and nothing else
    Gc {
        /// Also root file systems that no testbed uses
        #[arg(long)]
        cache: bool,
    },
}

#[derive(Args)]
struct Up {
    /// How many containers (h1, h2, …), 200 at the most; 3 unless a guest is asked for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=200))]
    hosts: Option<u8>,
    /// Also a virtual machine with control groups v2 (g1); emulated, it boots in half a minute
    #[arg(long)]
    v2: bool,
    /// The Debian release of all hosts
    #[arg(long, value_enum, default_value_t)]
    release: Release,
    /// A Debian package that the hosts have besides the usual ones; may be repeated
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Write the inventory of the hosts there
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
}

#[derive(Args)]
struct Ssh {
    /// The host
    host: String,
    /// As whom: root, admin (password for sudo: admin), or deploy (sudo without password)
    #[arg(long, short, default_value = "root")]
    user: String,
    /// A command instead of a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Hosts {
    /// Names of hosts, with commas between them
    #[arg(required = true, value_delimiter = ',')]
    hosts: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = String::new();
    let done = tokio::select! {
        done = run(cli, &mut out) => done,
        signal = interrupted() => {
            // What was begun is taken away as it is dropped.
            eprintln!("interrupted; hosts that were just being made are removed");
            return ExitCode::from(signal);
        }
    };
    // Results first: an error in the middle does not make them untrue.
    let printed = std::io::stdout().write_all(out.as_bytes());
    let error = match (done, printed) {
        (Err(error), _) => error,
        (Ok(code), Ok(())) => return code,
        // A reader that went away has seen enough.
        (Ok(code), Err(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => return code,
        (Ok(_), Err(source)) => Error::Io { action: "write to", path: "standard output".into(), source },
    };
    eprintln!("error: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        eprintln!("  caused by: {error}");
        cause = error.source();
    }
    ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
}

/// Waits for a signal that ends programs: from the keyboard, from a closing terminal, or from another process.
/// Gives the exit status.
async fn interrupted() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};

    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => signals.recv().await,
        // Then the signal ends the process as it does by itself.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        _ = wait(SignalKind::interrupt()) => 130,
        _ = wait(SignalKind::terminate()) => 143,
        _ = wait(SignalKind::hangup()) => 129,
    }
}

async fn run(cli: Cli, out: &mut String) -> Result<ExitCode> {
    let name = cli.name.as_deref();
    match cli.command {
        Command::Up(args) => up(cli.name, args, out).await?,
        Command::List => list(name, out)?,
        Command::Ssh(args) => return ssh(name, &args),
        Command::Start(args) => {
            for host in pick(name, &args)? {
                match host.status() {
                    Status::Running => {}
                    Status::Paused => host.resume()?,
                    Status::Stopped => host.start().await?,
                }
            }
        }
        Command::Stop(args) => {
            for host in pick(name, &args)?.iter().filter(|host| host.status() != Status::Stopped) {
                host.stop().await?;
            }
        }
        Command::Kill(args) => pick(name, &args)?.iter().try_for_each(Host::kill)?,
        Command::Pause(args) => pick(name, &args)?.iter().try_for_each(Host::pause)?,
        Command::Resume(args) => pick(name, &args)?.iter().try_for_each(Host::resume)?,
        Command::Partition(args) => {
            let hosts = pick(name, &args)?;
            Testbed::open(name)?.partition(&hosts.iter().collect::<Vec<_>>())?;
        }
        Command::Heal => Testbed::open(name)?.heal()?,
        Command::Inventory => out.push_str(&Testbed::open(name)?.inventory()),
        Command::Down { all } => down(name, all, out).await?,
        Command::Gc { cache } => return gc(name, cache, out),
    }
    Ok(ExitCode::SUCCESS)
}

/// The hosts that were named, each once.
fn pick(name: Option<&str>, args: &Hosts) -> Result<Vec<Host>> {
    let testbed = Testbed::open(name)?;
    let mut hosts: Vec<Host> = Vec::new();
    for named in args.hosts.iter().filter(|named| !named.is_empty()) {
        let host = testbed.host(named)?;
        if !hosts.iter().any(|h| h.name() == host.name()) {
            hosts.push(host.clone());
        }
    }
    Ok(hosts)
}

async fn up(name: Option<String>, args: Up, out: &mut String) -> Result<()> {
    let guests = u8::from(args.v2);
    let hosts = args.hosts.unwrap_or(if args.v2 { 0 } else { 3 });
    if let Some(path) = &args.inventory {
        // Known before anything is made.
        std::fs::File::options().append(true).create(true).open(path).map_err(|source| Error::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    let mut builder = Testbed::builder()
        .hosts(hosts)
        .guests(guests)
        .release(args.release)
        .packages(args.packages)
        .report(|text| eprintln!("{text}"));
    if let Some(name) = name {
        builder = builder.name(name);
    }
    let begin = Instant::now();
    let testbed = builder.start().await?;
    let took = begin.elapsed();

    if let Some(path) = &args.inventory {
        std::fs::write(path, testbed.inventory()).map_err(|source| Error::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    let name = testbed.name().to_owned();
    testbed.detach()?;
    let testbed = Testbed::open(Some(&name))?;
    out.push_str(&table(&testbed));
    let memory: Vec<u64> = testbed.hosts().iter().filter_map(Host::memory).collect();
    let each = memory.iter().sum::<u64>() / u64::try_from(memory.len().max(1)).unwrap_or(1);
    let _ = writeln!(
        out,
        "{} up after {:.1} s; memory of each, without page cache: {}",
        match testbed.hosts().len() {
            1 => "1 host".to_owned(),
            several => format!("{several} hosts"),
        },
        took.as_secs_f64(),
        mebibytes(each)
    );
    if let Some(path) = &args.inventory {
        let _ = writeln!(out, "the inventory is in {}", path.display());
    }
    Ok(())
}

fn list(name: Option<&str>, out: &mut String) -> Result<()> {
    let all = match name {
        Some(_) => vec![Testbed::open(name)?],
        None => Testbed::list()?,
    };
    if all.is_empty() {
        out.push_str("no testbed; `testbed up` makes one\n");
    }
    for testbed in all {
        out.push_str(&table(&testbed));
    }
    Ok(())
}

async fn down(name: Option<&str>, all: bool, out: &mut String) -> Result<()> {
    if all && name.is_some() {
        return Err(Error::Usage("--all and --name say different things; leave one away".into()));
    }
    let doomed = if all { Testbed::list()? } else { vec![Testbed::open(name)?] };
    if doomed.is_empty() {
        out.push_str("no testbed\n");
    }
    for testbed in doomed {
        let name = testbed.name().to_owned();
        if all && testbed.owner()? == Owner::Process {
            let _ = writeln!(out, "left {name} alone: it belongs to a running process");
            continue;
        }
        testbed.down().await?;
        let _ = writeln!(out, "removed {name}");
    }
    Ok(())
}

/// A line for the testbed, and one for each host.
fn table(testbed: &Testbed) -> String {
    let mut text = format!("{}  Debian {}, {}", testbed.name(), testbed.release().suite(), testbed.network());
    text.push_str(match testbed.owner() {
        Ok(Owner::Nobody) => "",
        Ok(Owner::Process) => ", owned by a running process",
        Ok(Owner::Gone) => ", left by a run that ended: `testbed gc` removes it",
        Err(_) => ", just being removed",
    });
    let rules = testbed.rules();
    if rules > 0 {
        let _ = write!(text, ", {rules} rules lose packets: `testbed heal` ends them");
    }
    text.push('\n');
    for host in testbed.hosts() {
        let memory = host.memory().filter(|_| host.status() != Status::Stopped).map_or("-".into(), mebibytes);
        let _ = writeln!(
            text,
            "  {:<5} {:<15} {:<7} {:<8} {memory:>10}",
            host.name(),
            host.address(),
            host.kind().to_string(),
            host.status().to_string()
        );
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Takes this process's place, so that signals, terminal and status are ssh's own.
fn ssh(name: Option<&str>, args: &Ssh) -> Result<ExitCode> {
    let testbed = Testbed::open(name)?;
    let host = testbed.host(&args.host)?;
    if host.status() != Status::Running {
        let text = format!("{0} is {1}; `testbed start {0}` brings it back", host.name(), host.status());
        return Err(Error::Usage(text));
    }
    let mut ssh = std::process::Command::new("ssh");
    ssh.args(host.ssh_args(&args.user));
    if !args.command.is_empty() {
        ssh.arg("--").args(&args.command);
    }
    let error = ssh.exec();
    Err(Error::Command { command: "ssh".into(), status: None, output: error.to_string() })
}

fn gc(name: Option<&str>, cache: bool, out: &mut String) -> Result<ExitCode> {
    if name.is_some() {
        return Err(Error::Usage("gc takes no --name: it removes all that killed runs left".into()));
    }
    let collected = testbed::gc(cache)?;
    let mut code = ExitCode::SUCCESS;
    for (name, result) in &collected.testbeds {
        match result {
            Ok(()) => {
                let _ = writeln!(out, "removed {name}, left by a run that ended");
            }
            Err(error) => {
                eprintln!("error: {name} could not be removed: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    for key in &collected.rootfs {
        let _ = writeln!(out, "removed the cached root file system {key}");
    }
    if collected.testbeds.is_empty() && collected.rootfs.is_empty() {
        out.push_str("nothing to remove\n");
    }
    Ok(code)
}
