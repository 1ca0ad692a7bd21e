//! How long a task takes to run, and to run, end and be reported, beside a plain spawn of the same program
//! (and `runc run` where it is installed as root); and what a shim costs in memory. `cargo bench -p agent`.
//!
//! Every figure is the median; "at once" means that all are started before the first is waited for.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};

use agent::cgroup::{Group, Layout, Limits};
use agent::launch;
use agent::record::PROTOCOL;
use agent::shim::Outcome;
use agent::spec::{Command, Groups, Logs, Namespaces, Spec};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 50;
const CROWD: usize = 100;

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = rustix::process::geteuid().is_root();
    let parent = format!("clusterctl-agent-bench-{}", std::process::id());
    let bench = Bench { dir: dir.path(), parent: root.then_some(parent) };

    let spawn = median((0..ROUNDS).map(|_| spawned()).collect::<Result<_>>()?);
    println!("/bin/true, median of {ROUNDS}; root: {root}");
    println!("  spawn to end, no shim           {spawn:>10.2?}");
    let mut variants = vec![("no isolation", false, false)];
    if root {
        variants.extend([("groups", true, false), ("groups, pid and mount", true, true)]);
    }
    for (name, groups, namespaces) in variants {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            times.push(bench.alone(&format!("{groups}-{namespaces}-{round}"), groups, namespaces)?);
        }
        let running = median(times.iter().map(|t| t.0).collect());
        let ended = median(times.iter().map(|t| t.1).collect());
        println!("  {name:<22} running  {running:>10.2?}  {:>5.1} x spawn", ratio(running, spawn));
        println!("  {name:<22} reported {ended:>10.2?}  {:>5.1} x spawn", ratio(ended, spawn));
        let (running, all) = bench.crowd(&format!("{groups}-{namespaces}"), groups, namespaces)?;
        println!("  {name:<22} {CROWD} at once: running {running:.2?} each, all reported in {all:.2?}");
        let (pss, rss) = bench.memory(&format!("m-{groups}-{namespaces}"), groups, namespaces)?;
        println!("  {name:<22} {CROWD} idle tasks: {pss} KiB PSS, {rss} KiB RSS a shim (with its process 1)");
    }
    match Program::new("runc").arg("--version").stdout(Stdio::null()).status() {
        Ok(_) if root => {
            let (running, ended) = runc(&dir.path().join("runc"))?;
            println!(
                "  runc run --detach      running  {running:>10.2?}  {:>5.1} x spawn",
                ratio(running, spawn)
            );
            println!(
                "  runc run               ended    {ended:>10.2?}  {:>5.1} x spawn",
                ratio(ended, spawn)
            );
        }
        Ok(_) => println!("  runc needs root: no comparison with it"),
        Err(_) => println!("  runc is not installed: no comparison with it"),
    }
    bench.clean()
}

/// The same program in a container of runc's with its default namespaces and the same limits; this machine's own programs,
/// read-only, are its root. Median time until a detached one runs, and until one that is waited for has ended.
fn runc(dir: &Path) -> Result<(Duration, Duration)> {
    for name in
        ["rootfs/usr", "rootfs/bin", "rootfs/lib", "rootfs/lib64", "rootfs/proc", "rootfs/dev", "rootfs/sys"]
    {
        fs::create_dir_all(dir.join(name))?;
    }
    finish(Program::new("runc").arg("spec").current_dir(dir))?;
    let file = dir.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(["/bin/true"]);
    config["linux"]["resources"]["memory"] = serde_json::json!({"limit": 64 << 20});
    config["linux"]["resources"]["cpu"] = serde_json::json!({"shares": 1024});
    config["linux"]["resources"]["pids"] = serde_json::json!({"limit": 64});
    let mounts = config["mounts"].as_array_mut().ok_or("runc's spec has no mounts")?;
    for name in ["/usr", "/bin", "/lib", "/lib64"] {
        mounts.push(serde_json::json!({
            "destination": name, "type": "bind", "source": name, "options": ["rbind", "ro"],
        }));
    }
    fs::write(&file, serde_json::to_vec(&config)?)?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (detached, times) in [true, false].into_iter().zip(&mut times) {
            let id = format!("clusterctl-bench-{}-{round}-{detached}", std::process::id());
            let before = Instant::now();
            let mut run = Program::new("runc");
            run.arg("run").args(detached.then_some("--detach")).args(["--bundle", "."]).arg(&id);
            finish(run.current_dir(dir))?;
            times.push(before.elapsed());
            if detached {
                finish(Program::new("runc").args(["delete", "--force"]).arg(&id))?;
            }
        }
    }
    let [running, ended] = times.map(median);
    Ok((running, ended))
}

fn finish(program: &mut Program) -> Result<()> {
    let output = program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

struct Bench<'a> {
    dir: &'a Path,
    parent: Option<String>,
}

impl Bench<'_> {
    fn spec(&self, id: &str, argv: &[&str], groups: bool, namespaces: bool) -> Result<Spec> {
        let dir = self.dir.join(id);
        fs::create_dir(&dir)?;
        let parent = self.parent.as_ref().filter(|_| groups);
        let layout = Layout::detect()?;
        let groups = parent.map(|parent| Groups {
            layout,
            task: format!("{parent}/{id}"),
            shim: format!("{parent}/shims"),
        });
        let limits = Limits {
            cpu_shares: Some(1024),
            memory_bytes: Some(64 << 20),
            pids: Some(64),
            ..Limits::default()
        };
        Ok(Spec {
            version: PROTOCOL,
            task_id: id.into(),
            command: Command::Argv(argv.iter().map(|a| (*a).to_owned()).collect()),
            env: std::collections::BTreeMap::new(),
            cwd: dir.clone(),
            user: None,
            limits: if groups.is_some() { limits } else { Limits::default() },
            groups,
            logs: Logs { dir, max_bytes: 1 << 20, keep: 1 },
            grace_ms: 1000,
            namespaces: Namespaces { pid: namespaces, mount: namespaces },
            mounts: vec![],
            root: None,
            no_new_privileges: true,
        })
    }

    fn launch(&self, spec: &Spec) -> Result<launch::Launching> {
        let program = launch::Program { path: env!("CARGO_BIN_EXE_agent-shim").into(), args: vec![] };
        Ok(launch::launch(&program, &self.dir.join(&spec.task_id), spec)?)
    }

    /// Time to running, and to the report on disk.
    fn alone(&self, id: &str, groups: bool, namespaces: bool) -> Result<(Duration, Duration)> {
        let spec = self.spec(id, &["/bin/true"], groups, namespaces)?;
        let before = Instant::now();
        let (outcome, shim) = self.launch(&spec)?.outcome()?;
        let running = before.elapsed();
        shim.reap();
        let ended = before.elapsed();
        check(&outcome)?;
        Ok((running, ended))
    }

    /// Median time to running, and the time until all are reported.
    fn crowd(&self, id: &str, groups: bool, namespaces: bool) -> Result<(Duration, Duration)> {
        let before = Instant::now();
        let mut started = Vec::new();
        for n in 0..CROWD {
            let spec = self.spec(&format!("c-{id}-{n}"), &["/bin/true"], groups, namespaces)?;
            started.push((Instant::now(), self.launch(&spec)?));
        }
        let mut times = Vec::new();
        let mut shims = Vec::new();
        for (start, launching) in started {
            let (outcome, shim) = launching.outcome()?;
            times.push(start.elapsed());
            check(&outcome)?;
            shims.push(shim);
        }
        shims.into_iter().for_each(launch::Shim::reap);
        Ok((median(times), before.elapsed()))
    }

    /// Mean PSS and RSS of a shim, in KiB, while `CROWD` tasks sleep.
    fn memory(&self, id: &str, groups: bool, namespaces: bool) -> Result<(u64, u64)> {
        let mut shims = Vec::new();
        for n in 0..CROWD {
            let spec = self.spec(&format!("{id}-{n}"), &["/bin/sleep", "1000"], groups, namespaces)?;
            let (outcome, shim) = self.launch(&spec)?.outcome()?;
            let Outcome::Running { pid } = outcome else { return Err(format!("{outcome:?}").into()) };
            shims.push((shim, pid));
        }
        let (mut pss, mut rss) = (0, 0);
        for (shim, leader) in &shims {
            let ours = if namespaces { vec![shim.pid(), *leader] } else { vec![shim.pid()] };
            for pid in ours {
                let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
                pss += kib(&text, "Pss:");
                rss += kib(&text, "Rss:");
            }
        }
        for (shim, _) in shims {
            if let Some(process) = shim.process() {
                process.signal(rustix::process::Signal::TERM);
            }
            shim.reap();
        }
        Ok((pss / CROWD as u64, rss / CROWD as u64))
    }

    fn clean(&self) -> Result<()> {
        if let Some(parent) = &self.parent {
            let group = Group::new(Layout::detect()?, parent)?;
            group.kill(Duration::from_secs(5))?;
            group.remove()?;
        }
        Ok(())
    }
}

fn check(outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Running { .. } => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn spawned() -> Result<Duration> {
    let before = Instant::now();
    Program::new("/bin/true").stdin(Stdio::null()).spawn()?.wait()?;
    Ok(before.elapsed())
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ratio(time: Duration, base: Duration) -> f64 {
    time.as_secs_f64() / base.as_secs_f64()
}
