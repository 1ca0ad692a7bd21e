//! What checks found (§7). Where the reference's leader decides, it is decided here that an instance goes.

use api::marathon::{
    CheckResult, Event, HealthCheckResult, HttpResponse, InstanceId, ReadinessCheckResult, TaskFailure,
    TaskId, Timestamp,
};
use api::mesos::{HealthReport, Sight, TaskState};

use super::launch::What;
use super::run;
use super::state::{Instance, config_version, counts};
use super::status;
use super::turn::Turn;

/// A result of one check.
pub(crate) fn report(turn: &mut Turn<'_>, report: HealthReport) {
    let Ok(task) = report.task.as_str().parse::<TaskId>() else { return };
    let id = task.instance().clone();
    let known = turn.state.instance(&id).filter(|instance| instance.key == report.task);
    match known.and_then(|instance| What::of(instance, report.check)) {
        Some(What::Health(check)) => health(turn, &task, check, report),
        Some(What::Readiness) => readiness(turn, &id, report),
        Some(What::Information) => information(turn, &id, &report),
        None => {}
    }
}

fn health(turn: &mut Turn<'_>, task: &TaskId, number: usize, report: HealthReport) {
    let id = task.instance().clone();
    let result = HealthCheckResult {
        alive: report.alive,
        consecutive_failures: report.consecutive_failures,
        first_success: report.first_success,
        last_success: report.last_success,
        last_failure: report.last_failure,
        last_failure_cause: report.last_failure_cause,
        instance_id: id.clone(),
    };
    let counted = counts(&result);
    let Some(instance) = turn.state.instance_mut(&id) else { return };
    let Some(slot) = instance.health.get_mut(number) else { return };
    let failures_before = slot.as_ref().map(|before| (before.consecutive_failures, before.last_failure));
    let alive_before = slot.as_ref().filter(|before| counts(before)).map(|before| before.alive);
    *slot = Some(result);
    let instance = instance.clone();
    let Some(check) = instance.spec.health_checks.get(number).cloned() else { return };
    turn.state.touch(&id.app);
    if !counted {
        return;
    }
    if !report.alive && failures_before != Some((report.consecutive_failures, report.last_failure)) {
        turn.publish(Event::FailedHealthCheck {
            app_id: id.app.clone(),
            task_id: task.clone(),
            health_check: check.clone(),
        });
    }
    if alive_before != Some(report.alive) {
        turn.publish(Event::HealthStatusChanged {
            app_id: id.app.clone(),
            instance_id: id.clone(),
            version: instance.version,
            alive: report.alive,
        });
    }
    changed(turn, &id);
    let most = check.max_consecutive_failures;
    let enough = most > 0 && report.consecutive_failures >= most;
    let decides = !check.protocol.is_agent_run() && instance.state == TaskState::Running;
    if !report.alive && enough && decides && instance.is_active() && !turn.state.frozen {
        kill(turn, &instance, report.consecutive_failures, &cause_of(&instance, number));
    }
}

/// Once ready is ready: nobody looks again.
fn readiness(turn: &mut Turn<'_>, id: &InstanceId, report: HealthReport) {
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let Some(check) = instance.spec.readiness_checks.first() else { return };
    if instance.readiness.as_ref().is_some_and(|before| before.ready) && !report.alive {
        return;
    }
    let last_response = match report.sight {
        Some(Sight::Response(response)) if check.preserve_last_response => Some(HttpResponse {
            status: response.status,
            content_type: response.content_type,
            body: response.body,
        }),
        _ => None,
    };
    let result = ReadinessCheckResult {
        name: check.name.clone(),
        task_id: instance.task.clone(),
        ready: report.alive,
        last_response,
    };
    if instance.readiness.as_deref() != Some(&result) {
        instance.readiness = Some(Box::new(result));
        turn.state.touch(&id.app);
    }
}

fn information(turn: &mut Turn<'_>, id: &InstanceId, report: &HealthReport) {
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let result = match report.sight {
        Some(Sight::Status(status_code)) => Some(CheckResult::Http { status_code }),
        Some(Sight::Connected(succeeded)) => Some(CheckResult::Tcp { succeeded }),
        Some(Sight::Exit(exit_code)) => Some(CheckResult::Exec { exit_code }),
        // It did not come to a result in time.
        Some(Sight::Response(_)) | None => None,
    };
    if instance.check != result {
        instance.check = result;
        turn.state.touch(&id.app);
    }
}

fn cause_of(instance: &Instance, check: usize) -> String {
    let result = instance.health.get(check).and_then(Option::as_ref);
    result.and_then(|result| result.last_failure_cause.clone()).unwrap_or_else(|| "it failed".to_owned())
}

/// The agent's word about the check that kills, where its report has not come yet.
pub(crate) fn said_by_agent(turn: &mut Turn<'_>, id: &InstanceId, alive: bool, at: Timestamp) {
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let checks = &instance.spec.health_checks;
    let Some(check) = checks.iter().position(|check| check.protocol.is_agent_run()) else { return };
    let Some(slot) = instance.health.get_mut(check) else { return };
    if slot.is_some() {
        return;
    }
    *slot = Some(HealthCheckResult {
        alive,
        consecutive_failures: u32::from(!alive),
        first_success: alive.then_some(at),
        last_success: alive.then_some(at),
        last_failure: (!alive).then_some(at),
        last_failure_cause: None,
        instance_id: id.clone(),
    });
    changed(turn, id);
}

/// Says how it is as a whole, when that is news; health is a success for the backoff.
fn changed(turn: &mut Turn<'_>, id: &InstanceId) {
    let Some(instance) = turn.state.instance_mut(id) else { return };
    let healthy = instance.healthy();
    if healthy == instance.said_healthy {
        return;
    }
    instance.said_healthy = healthy;
    let (version, config) = (instance.version, config_version(&instance.spec));
    turn.publish(Event::InstanceHealthChanged {
        instance_id: id.clone(),
        run_spec_id: id.app.clone(),
        healthy,
        run_spec_version: version,
    });
    if healthy == Some(true) {
        status::succeeded(turn, &id.app, &[config]);
    }
}

fn kill(turn: &mut Turn<'_>, instance: &Instance, failures: u32, cause: &str) {
    let reason = format!("{failures} health checks in a row failed: {cause}");
    turn.publish(Event::UnhealthyInstanceKill {
        app_id: instance.id.app.clone(),
        task_id: instance.task.clone(),
        instance_id: instance.id.clone(),
        version: instance.version,
        reason: reason.clone(),
        host: instance.host.hostname.clone(),
        slave_id: Some(instance.agent.to_string()),
    });
    status::set_failure(
        turn,
        TaskFailure {
            app_id: instance.id.app.clone(),
            host: instance.host.hostname.clone(),
            message: format!("Task was killed since {reason}"),
            state: TaskState::Killed.name().to_owned(),
            task_id: instance.task.clone(),
            timestamp: turn.now.wall,
            version: instance.version,
            slave_id: Some(instance.agent.to_string()),
        },
    );
    run::mark(turn, &instance.id);
}
