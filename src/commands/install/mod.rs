//! `clusterctl install`, `plan`, `check` and `reset`: from an inventory to a healthy cluster, and away again.

mod args;
mod credential;
mod etcd;
mod saved;
mod setup;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use installer::control::Control;
use installer::event::{Event as Happening, Outcome};
use installer::journal::Journal;
use installer::lock::Owner;
use installer::preflight::{Finding, Level};
use installer::report::{Counts, table};
use installer::run::{CarryError, Planned, Run};
use ssh::UnknownKey;

use self::args::HostArgs;
pub(crate) use self::args::{CheckArgs, InstallArgs, PlanArgs, ResetArgs};
use self::setup::Setup;
use crate::confirm::confirm;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::plan_view::{Detail, findings_view, plan_view};
use crate::printer::Printer;
use crate::text::visible;

/// Installs, or puts right what differs.
pub(crate) fn install(ui: &mut Printer, args: &InstallArgs) -> Result<Exit, CliError> {
    setup::runtime()?.block_on(async {
        if args.resume {
            resume(ui, &args.hosts)?;
        }
        let mut setup = Setup::begin(ui, &args.hosts, "install")?;
        let wanted = args.plan.as_deref().map(saved::read).transpose()?;
        let mut run = setup.run(ui, &args.hosts)?;
        run.max_failures(args.max_failures);
        let planned = look_and_plan(ui, &mut setup, &mut run, args.yes || args.resume).await?;
        if let Some(exit) = blocked(ui, &planned, &mut setup)? {
            return end(ui, setup, run, Some(exit)).await;
        }
        if let Some(wanted) = wanted {
            wanted.check(&setup, &planned)?;
        }
        let control = setup.control()?;
        if planned.is_empty() {
            return unchanged(ui, setup, run, &control).await;
        }
        setup.pause(|| {
            if args.plan.is_none() {
                let shown = plan_view(&planned.hosts, Detail::Changes);
                ui.styled_result(&shown, &Event::Plan { hosts: &planned.hosts, renewed: &planned.renewed })?;
            }
            confirm(ui, args.yes || args.resume || args.plan.is_some(), "Carry this out?")
        })?;
        let owner = owner(&setup, "install")?;
        carry_out(&setup, &mut run, &control, &owner).await?;
        end_with_credential(ui, setup, run, &control).await
    })
}

/// Shows what an install would do.
pub(crate) fn plan(ui: &mut Printer, args: &PlanArgs) -> Result<Exit, CliError> {
    setup::runtime()?.block_on(async {
        let mut setup = Setup::begin(ui, &args.hosts, "plan")?;
        let mut run = setup.run(ui, &args.hosts)?;
        let planned = look_and_plan(ui, &mut setup, &mut run, false).await?;
        let stopped = blocked(ui, &planned, &mut setup)?;
        if stopped.is_none() {
            setup.pause(|| {
                let shown = plan_view(&planned.hosts, Detail::Whole);
                ui.styled_result(&shown, &Event::Plan { hosts: &planned.hosts, renewed: &planned.renewed })
            })?;
            if let Some(file) = &args.out {
                saved::write(file, &setup, &planned)?;
                setup.pause(|| {
                    ui.hint(&format!(
                        "`clusterctl install {} --plan {}` carries it out",
                        setup.file().display(),
                        file.display()
                    ));
                });
            }
        }
        let differs = if planned.is_empty() { Exit::Done } else { Exit::Differences };
        let unreached = run
            .outcomes("it was only looked at")
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Unreachable { .. } | Outcome::Failed { .. }));
        let exit = stopped.unwrap_or(if unreached { Exit::HostsUnreachable } else { differs });
        setup.close(run).await?;
        Ok(exit)
    })
}

/// Checks hosts and cluster, and changes nothing.
pub(crate) fn check(ui: &mut Printer, args: &CheckArgs) -> Result<Exit, CliError> {
    setup::runtime()?.block_on(async {
        let mut setup = Setup::begin(ui, &args.hosts, "check")?;
        let mut run = setup.run(ui, &args.hosts)?;
        let mut planned = look_and_plan(ui, &mut setup, &mut run, false).await?;
        let mut findings = std::mem::take(&mut planned.findings);
        for (host, steps) in planned.hosts.iter().filter(|(_, steps)| !steps.is_empty()) {
            findings.push(Finding {
                host: host.clone(),
                check: "install",
                level: Level::Error,
                what: format!("{} things are not as the inventory says", steps.len()),
                remedy: "`clusterctl plan` shows them, `clusterctl install` puts them right".to_owned(),
            });
        }
        let (of_coordinators, quorum) = run.coordinator_findings().await;
        findings.extend(of_coordinators);
        findings.extend(cluster_findings(&setup, &run).await?);
        let outcomes = run.outcomes("it was only looked at");
        findings.extend(outcomes.iter().filter_map(|(host, outcome)| setup::finding_of(host, outcome)));
        let bad = findings.iter().any(|finding| finding.level == Level::Error);
        setup.pause(|| {
            let quorum = quorum.map(|words| format!(" {words}.")).unwrap_or_default();
            let good = format!("{} hosts and the cluster are well.{quorum}\n", outcomes.len());
            let text = if findings.is_empty() { good } else { findings_view(&findings) };
            ui.styled_result(&text, &Event::Findings { findings: &findings })
        })?;
        setup.close(run).await?;
        Ok(if bad { Exit::ChecksFailed } else { Exit::Done })
    })
}

/// Takes the cluster away.
pub(crate) fn reset(ui: &mut Printer, args: &ResetArgs) -> Result<Exit, CliError> {
    setup::runtime()?.block_on(async {
        let mut setup = Setup::begin(ui, &args.hosts, "reset")?;
        let mut run = setup.run(ui, &args.hosts)?;
        connect(ui, &setup, &mut run, args.yes).await?;
        let ca = setup.known_authority()?;
        retry_with_password(ui, &mut setup, &mut run, async |run| run.look_for_removal(ca.as_ref()).await)
            .await?;
        let removals = run.removals();
        let todo = removals.iter().filter(|(_, removal)| !removal.is_empty()).count();
        if todo > 0 {
            setup.pause(|| {
                ui.progress(
                    &setup::removal_view(&removals),
                    &Event::Removal { hosts: &setup::removal_words(&removals) },
                )?;
                let question = format!(
                    "End all tasks of the cluster {} and remove it from {todo} host{}?",
                    setup.cluster(),
                    if todo == 1 { "" } else { "s" }
                );
                confirm(ui, args.yes, &question)
            })?;
        }
        let owner = owner(&setup, "reset")?;
        run.remove(&removals, &owner).await.map_err(|error| refused(&error))?;
        let (name, masters) = (setup.cluster().to_owned(), setup.masters());
        let state = setup.state().to_owned();
        let exit = end(ui, setup, run, None).await?;
        if exit == Exit::Done && args.hosts.exclude.is_empty() {
            credential::forget(ui, &name, &masters)?;
            ui.hint(&format!(
                "the cluster's authority, its key of secrets and the journal of runs stay in {}; remove that by hand",
                state.display()
            ));
        }
        Ok(exit)
    })
}

fn owner(setup: &Setup, what: &str) -> Result<Owner, CliError> {
    let token = setup::random_token()?;
    let since = setup.now_text();
    Ok(Owner::this_process(token, format!("clusterctl {what} {}", setup.file().display()), since))
}

/// Connects, and asks about host keys that are not known: one table, one question.
async fn connect(ui: &mut Printer, setup: &Setup, run: &mut Run, yes: bool) -> Result<(), CliError> {
    // The second time for those whose keys were learned, a third for those behind a host that was not known either.
    for _ in 0..3 {
        let unknown = run.connect().await;
        if unknown.is_empty() {
            return Ok(());
        }
        let agreed = !yes && setup.pause(|| setup::ask_about_keys(ui, &unknown))?;
        if !agreed {
            run.refuse_keys(&unknown);
            return Ok(());
        }
        learn(run, &unknown).await?;
    }
    Ok(())
}

async fn learn(run: &Run, keys: &[(String, UnknownKey)]) -> Result<(), CliError> {
    run.learn(keys).await.map_err(|error| {
        CliError::usage("the hosts' keys cannot be written down")
            .caused_by(&error)
            .hint("make the file writable, or write the fingerprints as `host_key:` in the inventory")
    })
}

/// Looks at hosts, and once more with a password at those whose sudo wants one.
async fn retry_with_password(
    ui: &mut Printer,
    setup: &mut Setup,
    run: &mut Run,
    look: impl AsyncFn(&mut Run),
) -> Result<(), CliError> {
    look(run).await;
    if run.wants_password() && setup.can_ask(ui) {
        let password = setup.pause(|| setup::ask_for_become_password(ui))?;
        run.use_password(&password);
        look(run).await;
    }
    run.give_up_waiting();
    Ok(())
}

async fn look_and_plan(
    ui: &mut Printer,
    setup: &mut Setup,
    run: &mut Run,
    yes: bool,
) -> Result<Planned, CliError> {
    setup.find_etcd().await?;
    connect(ui, setup, run, yes).await?;
    let material = setup.material().await?;
    let broken = std::cell::RefCell::new(None);
    retry_with_password(ui, setup, run, async |run: &mut Run| {
        if let Err(error) = run.look(&material).await {
            *broken.borrow_mut() = Some(CliError::internal("a template is broken").caused_by(&error));
        }
    })
    .await?;
    if let Some(error) = broken.into_inner() {
        return Err(error);
    }
    let authorities = setup.authorities()?;
    let mut planned = run
        .plan(&material, &authorities, setup.programs(), setup.etcd(), SystemTime::now())
        .map_err(|error| CliError::internal("the plan cannot be made").caused_by(&error))?;
    // One that is down is told by other words, and stops nobody else.
    let is_there = |name: &str| planned.hosts.iter().any(|(host, _)| host == name);
    let unreached = setup.unreached_masters(is_there).await;
    planned.findings.extend(unreached);
    Ok(planned)
}

/// Says what was found; with something that stops, that is the end.
fn blocked(ui: &mut Printer, planned: &Planned, setup: &mut Setup) -> Result<Option<Exit>, CliError> {
    if planned.findings.is_empty() {
        return Ok(None);
    }
    setup.pause(|| {
        let text = findings_view(&planned.findings);
        ui.progress(text.trim_end(), &Event::Findings { findings: &planned.findings })
    })?;
    Ok(planned.is_blocked().then_some(Exit::ChecksFailed))
}

async fn carry_out(setup: &Setup, run: &mut Run, control: &Control, owner: &Owner) -> Result<(), CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    run.stop_when(Arc::clone(&stop));
    let screen = setup.listener();
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
        stop.store(true, Ordering::Relaxed);
        screen(Happening::Note {
            host: None,
            text: "stopping: what runs is finished, nothing is begun; Ctrl-C again leaves at once".to_owned(),
        });
        let _ = tokio::signal::ctrl_c().await;
    };
    tokio::select! {
        done = run.carry_out(control, owner) => done.map_err(|error| refused(&error)),
        () = interrupted => Err(CliError::interrupted("left in the middle: hosts may be half done")
            .hint(format!("`clusterctl install {} --resume` goes on", setup.file().display()))),
    }
}

fn refused(error: &CarryError) -> CliError {
    match error {
        CarryError::Locked(_) | CarryError::Lost(_) => CliError::locked(error.to_string())
            .hint("wait until it is done; a lock whose installer is gone runs out after 90 seconds"),
        CarryError::Minority { .. } => CliError::failed(error.to_string())
            .hint("bring coordinators back; or leave those out that are gone, with `--exclude HOST`"),
        CarryError::Lock { failure, .. } => {
            let shown = CliError::failed(error.to_string());
            failure.hint.iter().fold(shown, |shown, hint| shown.hint(hint))
        }
    }
}

/// Nothing differs: the cluster is looked at, and that is all.
async fn unchanged(
    ui: &mut Printer,
    setup: Setup,
    mut run: Run,
    control: &Control,
) -> Result<Exit, CliError> {
    run.verify(control).await;
    end_with_credential(ui, setup, run, control).await
}

/// The operator's own way in: a user, a token, and a context.
async fn end_with_credential(
    ui: &mut Printer,
    setup: Setup,
    mut run: Run,
    control: &Control,
) -> Result<Exit, CliError> {
    let all_good = run.outcomes("nothing was done there").iter().any(|(_, outcome)| outcome.is_good());
    let given = if all_good { Some(credential::ensure(&setup, control).await) } else { None };
    let exit = end(ui, setup, run, None).await?;
    match given {
        Some(Ok(Some(name))) => {
            ui.hint(&format!("`clusterctl cluster status` and all other commands speak to {name} now"));
        }
        Some(Err(error)) if exit == Exit::Done => return Err(error),
        _ => {}
    }
    Ok(exit)
}

/// The table at the end, and the exit code.
async fn end(ui: &mut Printer, setup: Setup, run: Run, exit: Option<Exit>) -> Result<Exit, CliError> {
    let (what, file) = (setup.what(), setup.file().to_owned());
    let log = setup.log_path();
    let (execs, trips) = run.cost();
    let (hosts, took) = setup.close(run).await?;
    let counts = Counts::of(&hosts);
    let interrupted = hosts
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Skipped { why } if why.contains("interrupted")));
    let good = counts.failed + counts.unreachable == 0 && !interrupted;
    let text = summary(&hosts, took);
    ui.styled_result(
        &text,
        &Event::RunSummary {
            hosts: &hosts,
            millis: installer::host::millis(took),
            execs,
            round_trips: trips,
        },
    )?;
    if !good {
        ui.hint(&format!("the full log: {}", log.display()));
        if exit.is_none() && what == "install" {
            ui.hint(&format!("`clusterctl install {}` goes on where this ended", file.display()));
        }
    }
    Ok(exit.unwrap_or(match () {
        () if counts.failed > 0 => Exit::StepsFailed,
        () if counts.unreachable > 0 => Exit::HostsUnreachable,
        () if interrupted => Exit::Interrupted,
        // Nothing that was asked for was done.
        () if what == "install" && !hosts.iter().any(|(_, outcome)| outcome.is_good()) => Exit::StepsFailed,
        () => Exit::Done,
    }))
}

/// What a person reads at the end. All well is one line.
fn summary(hosts: &[(String, Outcome)], took: std::time::Duration) -> String {
    let counts = Counts::of(hosts);
    let seconds = took.as_secs_f64();
    if counts.ok == hosts.len() {
        return format!("Nothing to change: {} hosts are as they are to be ({seconds:.1} s).\n", hosts.len());
    }
    let blank = if counts.failed + counts.unreachable > 0 { "\n" } else { "" };
    let shown: String = table(hosts).lines().map(|line| visible(line) + "\n").collect();
    format!("{shown}{blank}{} ({seconds:.1} s).\n", counts.words())
}

/// Says with what it goes on.
fn resume(ui: &mut Printer, args: &HostArgs) -> Result<(), CliError> {
    let inventory = crate::inventory_file::read(&args.inventory)?;
    let runs =
        installer::run::runs_dir(&installer::connect::state_dir(&args.inventory, &inventory.cluster.name));
    let earlier = Journal::latest(&runs)
        .map_err(|error| CliError::usage("the journal of the last run cannot be read").caused_by(&error))?;
    let Some(earlier) = earlier.filter(|earlier| earlier.was_begun() && !earlier.all_well()) else {
        return Err(CliError::usage(
            "there is no run to go on with: the last one came to its end, or there was none",
        )
        .hint(format!("`clusterctl install {}` begins one", args.inventory.display())));
    };
    let done = earlier.finished();
    ui.hint(&format!(
        "going on with {}: {done} host{} finished, and only looked at again",
        earlier.id,
        if done == 1 { " was" } else { "s were" }
    ));
    Ok(())
}

async fn cluster_findings(setup: &Setup, run: &Run) -> Result<Vec<Finding>, CliError> {
    let control = setup.control()?;
    Ok(installer::run::cluster_findings(run.inventory(), run.excluded(), &control.agents().await))
}
