//! The testbed as a program: hosts that stand until they are taken down.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a small program that prints its results")]

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use testbed::{Error, Host, Release, Result, Status, Testbed};

/// Real hosts on this machine: each with its own address, sshd, systemd and hostname.
#[derive(Parser)]
#[command(name = "testbed", disable_help_subcommand = true)]
struct Cli {
    /// Which testbed, when there are several
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
        /// All that are left standing
        #[arg(long, conflicts_with = "name")]
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
    /// How many containers (h1, h2, …); 3 unless a guest is asked for
    #[arg(long, value_name = "N")]
    hosts: Option<u8>,
    /// Also a virtual machine with control groups v2 (g1)
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
    let done = tokio::select! {
        done = run(cli) => done,
        // What was begun is taken away as it is dropped.
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("  caused by: {error}");
                cause = error.source();
            }
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let name = cli.name.as_deref();
    match cli.command {
        Command::Up(args) => up(cli.name, args).await?,
        Command::List => list()?,
        Command::Ssh(args) => return ssh(name, &args),
        Command::Start(args) => {
            for host in pick(name, &args)? {
                host.start().await?;
            }
        }
        Command::Stop(args) => {
            for host in pick(name, &args)? {
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
        Command::Inventory => print!("{}", Testbed::open(name)?.inventory()),
        Command::Down { all } => {
            let doomed = if all {
                Testbed::list()?.into_iter().filter(Testbed::is_detached).collect()
            } else {
                vec![Testbed::open(name)?]
            };
            for testbed in doomed {
                let name = testbed.name().to_owned();
                testbed.down().await?;
                println!("removed {name}");
            }
        }
        Command::Gc { cache } => return gc(cache),
    }
    Ok(ExitCode::SUCCESS)
}

fn pick(name: Option<&str>, args: &Hosts) -> Result<Vec<Host>> {
    let testbed = Testbed::open(name)?;
    args.hosts.iter().map(|host| testbed.host(host).cloned()).collect()
}

async fn up(name: Option<String>, args: Up) -> Result<()> {
    let guests = u8::from(args.v2);
    let hosts = args.hosts.unwrap_or(if args.v2 { 0 } else { 3 });
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
    print!("{}", table(&testbed));
    let memory: Vec<u64> = testbed.hosts().iter().filter_map(Host::memory).collect();
    let each = memory.iter().sum::<u64>() / u64::try_from(memory.len().max(1)).unwrap_or(1);
    println!(
        "{} hosts answer SSH after {:.1} s, with {} of memory each (without page cache)",
        testbed.hosts().len(),
        took.as_secs_f64(),
        mebibytes(each)
    );
    if let Some(path) = &args.inventory {
        println!("the inventory is in {}", path.display());
    }
    testbed.detach()
}

fn list() -> Result<()> {
    let all = Testbed::list()?;
    if all.is_empty() {
        println!("no testbed; `testbed up` makes one");
    }
    for testbed in all {
        print!("{}", table(&testbed));
    }
    Ok(())
}

/// A line for the testbed, and one for each host.
fn table(testbed: &Testbed) -> String {
    let mut text = format!(
        "{}  Debian {}, {}{}\n",
        testbed.name(),
        testbed.release().suite(),
        testbed.network(),
        if testbed.is_detached() { "" } else { ", owned by a running process" }
    );
    for host in testbed.hosts() {
        let status = match host.status() {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        };
        let memory = host.memory().filter(|_| host.status() != Status::Stopped).map_or("-".into(), mebibytes);
        let _ = writeln!(
            text,
            "  {:<5} {:<15} {:<7} {status:<8} {memory:>10}",
            host.name(),
            host.address(),
            host.kind().to_string()
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
    let mut ssh = std::process::Command::new("ssh");
    ssh.args(host.ssh_args(&args.user));
    if !args.command.is_empty() {
        ssh.arg("--").args(&args.command);
    }
    let error = ssh.exec();
    Err(Error::Command { command: "ssh".into(), status: None, output: error.to_string() })
}

fn gc(cache: bool) -> Result<ExitCode> {
    let collected = testbed::gc(cache)?;
    let mut code = ExitCode::SUCCESS;
    for (name, result) in &collected.testbeds {
        match result {
            Ok(()) => println!("removed {name}, left by a run that ended"),
            Err(error) => {
                eprintln!("error: {name} could not be removed: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    for key in &collected.rootfs {
        println!("removed the cached root file system {key}");
    }
    if collected.testbeds.is_empty() && collected.rootfs.is_empty() {
        println!("nothing to remove");
    }
    Ok(code)
}
