//! The loop: takes inputs from everywhere, decides, and has the effects carried out.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;

use api::marathon::Uuid;
use api::server::Entry;
use identity::PeerRole;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scheduler::AgentId;
use tls::Clients;
use tokio::io::AsyncRead;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tonic::transport::Endpoint;

use super::clock::{now, until};
use super::core::{About, Effect, Input, State, step};
use super::dial::{self, Outbox, Word};
use super::fetching::{Attach, Fetcher};
use super::isolation::Means;
use super::launching::{Terms, can_have_root, make_sandbox, spec_of, user_of};
use super::lifeline::{Lifeline, Wish};
use super::paths::{Meta, sandbox, virtual_paths};
use super::recover::{Left, recover};
use super::roots::{self, Roots};
use super::shims::Shims;
use super::signals::Signals;
use super::view::{self, Question};
use super::worker::{self, Done};
use super::{Alive, DaemonError, Options, Parts, gc, lock, sandbox_files, volumes};
use crate::detect;
use crate::health::Looker;

/// Of each kind of message so many may wait for the loop.
const QUEUE: usize = 1024;

/// Runs an agent until its holder, a signal or a master ends it.
///
/// Returning does not end tasks, except after `stop` or `kill` on the lifeline: then all have ended and that is on disk.
///
/// # Errors
/// When the work directory is in use or cannot be used, the port is taken, a master's address is none, or a master says
/// that it will never have this agent.
pub async fn run<F, A, L>(options: Options, parts: Parts<F, A, L>) -> Result<(), DaemonError>
where
    F: Fetcher,
    A: Attach,
    L: AsyncRead + Unpin,
{
    let masters = endpoints(&options.masters, options.tls.is_some())?;
    let (entry, dialler) = match &options.tls {
        None => (Entry::Plain, None),
        Some(tls) => {
            let acceptor = tls.acceptor(Clients::Only(PeerRole::Master))?;
            (Entry::Tls(acceptor), Some(tls.dialler(PeerRole::Master, &["h2"])?))
        }
    };
    descriptors();
    let io = |action, path: &PathBuf| {
        let path = path.clone();
        move |source| DaemonError::Io { action, path, source }
    };
    let given = &options.work_dir;
    std::fs::create_dir_all(given).map_err(io("create the work directory", given))?;
    let work_dir = given.canonicalize().map_err(io("find the work directory", given))?;
    let meta = Meta::of(&work_dir);
    meta.make()?;
    let _lock = lock::take(meta.root(), &work_dir)?;
    let (epoch, id) = (meta.epoch()?, meta.agent_id()?.map(AgentId::from));

    let address = SocketAddr::new(options.address, options.port);
    if !entry.allows(address) {
        return Err(DaemonError::Exposed { address });
    }
    let listening = |source| DaemonError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listening)?;
    let endpoint = listener.local_addr().map_err(listening)?;

    let facts = detect::facts(&work_dir).map_err(io("find out what this host has; stated for", &work_dir))?;
    let about = About {
        name: options.name.clone(),
        hostname: options.hostname.clone(),
        address: options.address,
        port: endpoint.port(),
        resources: detect::of_role(&detect::resources(facts, &options.resources), &options.role),
        attributes: options.attributes.to_string(),
        region: options.region.clone(),
        zone: options.zone.clone(),
        work_dir: work_dir.clone(),
        grace: options.grace,
    };
    let terms = Terms {
        means: Means::find(&options.isolation, &work_dir),
        user: options.user.clone(),
        guarded: options.tls.is_some(),
        pids: options.pids,
        host_paths: options.host_paths.clone(),
        endpoint,
        roots: Roots::of(&work_dir),
    };
    let looker = Looker::new(options.address, options.shim.clone()).map_err(DaemonError::Http)?;
    let state = State::new(about, id, epoch, random()?);

    let (inputs, heard_inputs) = mpsc::channel(QUEUE);
    let (to_disk, disk) = mpsc::channel(QUEUE);
    let (done, from_disk) = mpsc::channel(QUEUE);
    let shims = Shims::new(options.shim.clone(), meta.clone(), terms.means.clone(), inputs.clone());
    let mut agent = Loop {
        state,
        backlog: VecDeque::new(),
        inputs,
        shims,
        looker,
        terms,
        meta: meta.clone(),
        fetcher: parts.fetcher,
        attached: parts.attached,
        link: None,
        preparing: BTreeMap::new(),
        work: JoinSet::new(),
        over: None,
    };
    agent.recover(&meta).await?;
    let disk_thread = std::thread::Builder::new()
        .name("agent-disk".to_owned())
        .spawn(move || worker::run(&meta, disk, &done))
        .map_err(|e| DaemonError::Broken(format!("cannot start a thread: {e}")))?;

    let (words, heard_words) = mpsc::channel(QUEUE);
    let (questions, asked) = mpsc::channel(16);
    agent.work.spawn(dial::run(masters, dialler, words));
    let router = view::router(questions).merge(parts.router);
    let own = [options.address.to_string(), options.hostname.clone()];
    agent.work.spawn(view::serve(listener, entry, router, own));
    if let Some(ready) = parts.ready {
        let _ = ready.send(endpoint);
    }
    let sources = Sources {
        to_disk,
        inputs: heard_inputs,
        from_disk,
        words: heard_words,
        asked,
        lifeline: Lifeline::new(parts.lifeline),
        signals: Signals::listen(options.signals)?,
        alive: options.alive,
    };
    let ended = agent.run(sources).await;
    let (all_ended, means) = (agent.state.is_over(), agent.terms.means.clone());
    // What is still on its way to the disk gets there.
    drop(agent);
    let _ = tokio::task::spawn_blocking(move || {
        let _ = disk_thread.join();
        if all_ended {
            means.remove_groups();
        }
    })
    .await;
    ended
}

fn endpoints(masters: &[String], secure: bool) -> Result<Vec<Endpoint>, DaemonError> {
    if masters.is_empty() {
        return Err(DaemonError::NoMaster);
    }
    let scheme = if secure { "https" } else { "http" };
    let endpoint = |master: &String| {
        let right = master.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://"));
        // Without a scheme, what is wrong is told below.
        if !right && (secure || master.contains("://")) {
            return Err(DaemonError::Scheme { master: master.clone(), scheme });
        }
        dial::endpoint(master).map_err(|source| DaemonError::Master { master: master.clone(), source })
    };
    masters.iter().map(endpoint).collect()
}

/// When the loop is to say that it turns; never, where nobody wants to know.
async fn due(alive: &mut Option<(tokio::time::Interval, fn())>) -> fn() {
    match alive {
        Some((interval, tell)) => {
            interval.tick().await;
            *tell
        }
        None => std::future::pending().await,
    }
}

/// Each task takes some; the soft limit is for programs that use `select`.
fn descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!("few files can be open at once: the limit cannot be raised: {e}");
    }
}

fn random() -> Result<u128, DaemonError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| DaemonError::Broken(format!("there is no randomness: {e}")))?;
    Ok(u128::from_ne_bytes(bytes))
}

/// Where inputs come from.
struct Sources<L> {
    /// Where effects go; here, since the loop waits for room in it like for an input.
    to_disk: mpsc::Sender<Effect>,
    inputs: mpsc::Receiver<Input>,
    from_disk: mpsc::Receiver<Done>,
    words: mpsc::Receiver<Word>,
    asked: mpsc::Receiver<Question>,
    lifeline: Lifeline<L>,
    signals: Signals,
    alive: Option<Alive>,
}

struct Loop<F, A> {
    state: State,
    /// Effects that the disk has not taken yet.
    backlog: VecDeque<Effect>,
    inputs: mpsc::Sender<Input>,
    shims: Shims,
    looker: Looker,
    terms: Terms,
    meta: Meta,
    fetcher: F,
    attached: A,
    link: Option<(u64, Outbox)>,
    preparing: BTreeMap<Uuid, AbortHandle>,
    /// All that runs beside the loop; it ends with the loop, but no shim does.
    work: JoinSet<()>,
    over: Option<Result<(), DaemonError>>,
}

impl<F: Fetcher, A: Attach> Loop<F, A> {
    async fn recover(&mut self, meta: &Meta) -> Result<(), DaemonError> {
        let (of, root, roots) = (meta.clone(), meta.tasks(), self.terms.roots.clone());
        let found = tokio::task::spawn_blocking(move || {
            roots.clean();
            (recover(&of), of.read_past())
        })
        .await;
        let (left, past) = found.map_err(|e| DaemonError::Broken(e.to_string()))?;
        let left =
            left.map_err(|source| DaemonError::Io { action: "list the tasks in", path: root, source })?;
        let mut tasks = Vec::with_capacity(left.len());
        for Left { task, shim } in left {
            let container = task.checkpoint.container;
            self.show(&task.checkpoint);
            if let Some(shim) = shim {
                self.work.spawn(self.shims.clone().adopt(container, shim));
            }
            tasks.push(task);
        }
        for entry in &past {
            let paths = virtual_paths(
                entry.past.framework.as_str(),
                entry.past.task.as_str(),
                entry.container,
                &entry.directory,
            );
            paths.iter().for_each(|path| self.attached.attach(path, &entry.directory));
        }
        let past = past.into_iter().map(|entry| (entry.container, entry.past)).collect();
        let effects = self.state.recover(tasks, past, now());
        self.backlog.extend(effects);
        Ok(())
    }

    fn show(&self, task: &super::core::Checkpoint) {
        let (framework, id) = (task.framework.as_str(), task.info.id.as_str());
        let paths = virtual_paths(framework, id, task.container, &task.directory);
        paths.iter().for_each(|path| self.attached.attach(path, &task.directory));
    }

    /// What is not kept any more is not shown any more.
    fn hide(&self, input: &Input) {
        let Input::Forgotten(container) = input else { return };
        let Some(past) = self.state.past.get(container) else { return };
        let runs = format!("/frameworks/{}/executors/{}/runs", past.framework, past.task);
        for name in ["latest".to_owned(), container.to_string()] {
            self.attached.detach(&format!("{runs}/{name}"));
        }
    }

    async fn run<L: AsyncRead + Unpin>(&mut self, mut from: Sources<L>) -> Result<(), DaemonError> {
        let mut sweep = tokio::time::interval(gc::EVERY);
        let mut alive = from.alive.map(|alive| (tokio::time::interval(alive.every), alive.tell));
        loop {
            if let Some(over) = self.over.take() {
                return over;
            }
            let wake = self.state.wake_at();
            tokio::select! {
                permit = from.to_disk.reserve(), if !self.backlog.is_empty() => match permit {
                    Ok(permit) => if let Some(effect) = self.backlog.pop_front() {
                        permit.send(effect);
                    },
                    Err(_) => return Err(DaemonError::Broken("the disk's thread ended".to_owned())),
                },
                Some(done) = from.from_disk.recv() => match done {
                    Done::Effect(effect) => self.carry_out(effect),
                    Done::Input(input) => self.decide(*input),
                },
                Some(input) = from.inputs.recv() => {
                    self.hide(&input);
                    self.decide(input);
                }
                Some(word) = from.words.recv() => self.hear(word),
                Some(question) = from.asked.recv() => view::answer(&self.state, question),
                () = until(wake) => self.decide(Input::Tick),
                wish = from.lifeline.next() => match wish {
                    Wish::Stop => self.decide(Input::ShutDown { at_once: false }),
                    Wish::Kill => self.decide(Input::ShutDown { at_once: true }),
                    Wish::Leave => return Ok(()),
                },
                () = from.signals.next() => return Ok(()),
                _ = sweep.tick() => self.sweep(),
                tell = due(&mut alive) => tell(),
                Some(_) = self.work.join_next() => {}
            }
        }
    }

    fn decide(&mut self, input: Input) {
        let effects = step(&mut self.state, input, now());
        self.backlog.extend(effects);
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Up(number, outbox) => {
                self.link = Some((number, outbox));
                self.decide(Input::LinkUp(number));
            }
            Word::Heard(number, message) => self.decide(Input::Heard(number, message)),
            Word::Down(number) => {
                self.link.take_if(|(current, _)| *current == number);
                self.decide(Input::LinkDown(number));
            }
        }
    }

    /// Carries out what is not the disk's. Nothing here waits.
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(number, message) => {
                let sent = self.link.as_ref().filter(|(current, _)| *current == number);
                if sent.is_some_and(|(_, outbox)| outbox.messages.try_send(*message).is_err()) {
                    self.close(number, "it takes no more messages");
                }
            }
            Effect::CloseLink(number, why) => self.close(number, &why),
            Effect::Prepare(container) => self.prepare(container),
            Effect::CancelPrepare(container) => {
                if let Some(preparing) = self.preparing.remove(&container) {
                    preparing.abort();
                }
            }
            Effect::StartShim(container) => self.start(container),
            Effect::AskShim(container) => self.shims.ask(container),
            Effect::KillTask(container) => {
                self.work.spawn(self.shims.clone().kill_task(container));
            }
            Effect::Empty(container) => {
                self.work.spawn(self.shims.clone().empty(container));
            }
            Effect::LookAgain(container) => {
                let Some(task) = self.state.tasks.get(&container) else { return };
                let id = task.info.id.to_string();
                self.work.spawn(self.shims.clone().look(container, id));
            }
            Effect::Probe(container, number, check) => {
                let (looker, inputs, dir) =
                    (self.looker.clone(), self.inputs.clone(), self.meta.task(container));
                self.work.spawn(async move {
                    let finding = looker.look(&check, dir).await;
                    let _ = inputs.send(Input::Probed(container, number, finding)).await;
                });
            }
            Effect::WritePeers(container, peers) => {
                let Some(task) = self.state.tasks.get(&container) else { return };
                let (info, directory, terms) =
                    (task.info.clone(), task.directory.clone(), self.terms.clone());
                let (shims, inputs) = (self.shims.clone(), self.inputs.clone());
                self.work.spawn(async move {
                    let version = peers.version;
                    let written = shims.blocking(move || {
                        let user = user_of(&terms, &info)?;
                        sandbox_files::write_peers(&directory, &peers, user.as_ref())
                    });
                    let written = written.await.and_then(|written| written);
                    if let Err(why) = &written {
                        tracing::warn!("a task is not told of its peers: {why}");
                    }
                    let _ = inputs.send(Input::PeersWritten(container, version, written)).await;
                });
            }
            Effect::Done(how) => self.over = Some(how.map_err(DaemonError::Refused)),
            Effect::Remove(container, past) => self.let_go(container, &past),
            // The disk's, which has done it.
            Effect::KeepEpoch(_) | Effect::KeepId(_) | Effect::Checkpoint(_) | Effect::Journal(..) => {}
        }
    }

    fn close(&mut self, number: u64, why: &str) {
        if self.link.take_if(|(current, _)| *current == number).is_some() {
            tracing::warn!("the link to the master is closed: {why}");
        }
    }

    fn prepare(&mut self, container: Uuid) {
        let Some(task) = self.state.tasks.get(&container) else { return };
        let (info, directory) = (task.info.clone(), task.directory.clone());
        let checkpoint = task.checkpoint();
        self.show(&checkpoint);
        let (terms, fetcher, inputs) = (self.terms.clone(), self.fetcher.clone(), self.inputs.clone());
        let shims = self.shims.clone();
        let handle = self.work.spawn(async move {
            let ready = async {
                if let Some(address) = roots::address(&info.labels) {
                    can_have_root(&terms)?;
                    terms.roots.ensure(&fetcher, address).await?;
                }
                let (of, at) = (info.clone(), directory.clone());
                let (user, links) = shims
                    .blocking(move || {
                        let placed = volumes::place(&of.volumes, &terms)?;
                        let user = user_of(&terms, &of)?;
                        make_sandbox(&at, user.as_ref())?;
                        if roots::address(&of.labels).is_some() {
                            roots::make_scratch(&roots::scratch(&at))?;
                        }
                        Ok::<_, String>((user, placed.links))
                    })
                    .await??;
                let fetched = fetcher.fetch(&info.command.uris, &directory, user.as_ref()).await;
                fetched.map_err(|e| e.to_string())?;
                // After what was fetched, so that nothing of it lands outside.
                let peers = info.peers.clone();
                shims
                    .blocking(move || {
                        volumes::link(&links, &directory)?;
                        peers.map_or(Ok(()), |peers| {
                            sandbox_files::write_peers(&directory, &peers, user.as_ref())
                        })
                    })
                    .await?
            };
            let ready = ready.await;
            let _ = inputs.send(Input::Prepared(container, ready)).await;
        });
        self.preparing.retain(|_, handle| !handle.is_finished());
        self.preparing.insert(container, handle);
    }

    fn start(&mut self, container: Uuid) {
        self.preparing.remove(&container);
        let Some(task) = self.state.tasks.get(&container) else { return };
        let (checkpoint, grace, terms) = (task.checkpoint(), task.grace(), self.terms.clone());
        let spec = move || spec_of(&terms, &checkpoint, grace);
        self.work.spawn(self.shims.clone().run(container, spec));
    }

    /// Of a task that is over, what it wrote outside its sandbox goes at once, beside everything else.
    fn let_go(&self, container: Uuid, past: &super::core::Past) {
        let Some(agent) = &self.state.id else { return };
        let (framework, task) = (past.framework.as_str(), past.task.as_str());
        let directory = sandbox(&self.state.about.work_dir, agent.as_str(), framework, task, container);
        let shims = self.shims.clone();
        tokio::spawn(async move {
            let scratch = roots::scratch(&directory);
            let removed = shims.blocking(move || roots::remove_scratch(&scratch)).await;
            if let Ok(Err(e)) = removed {
                tracing::warn!("what a task wrote is left beside {}: {e}", directory.display());
            }
        });
    }

    /// Removes old sandboxes, and root file systems that no task has, beside everything else.
    fn sweep(&mut self) {
        let (meta, work_dir, inputs) =
            (self.meta.clone(), self.state.about.work_dir.clone(), self.inputs.clone());
        let live = self.state.tasks.values().filter_map(|task| roots::address(&task.info.labels));
        let (live, roots) = (live.map(str::to_owned).collect(), self.terms.roots.clone());
        let keep = gc::keep_on(&work_dir);
        self.work.spawn(async move {
            roots.sweep(&live, keep).await;
            let swept = tokio::task::spawn_blocking(move || gc::collect(&meta, &work_dir)).await;
            for container in swept.unwrap_or_default() {
                let _ = inputs.send(Input::Forgotten(container)).await;
            }
        });
    }
}
