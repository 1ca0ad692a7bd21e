use std::time::Duration;

use prost::Message as _;
use scheduler::AgentId;

use super::*;
use crate::Secret;
use crate::marathon::{Timestamp, Uuid};
use crate::mesos::{
    Check, CheckAddress, CheckKind, Command, CommandLine, HealthReport, Limit, Limits, Purpose, Reason,
    Response, Sight, Source, TaskInfo, TaskState, TaskStatus, Uri, Volume,
};

/// With every field set, and to something that is not its default.
fn info() -> TaskInfo {
    let check = |kind| Check {
        kind,
        delay: Duration::from_millis(1),
        interval: Duration::from_millis(2),
        timeout: Duration::from_millis(3),
        grace_period: Duration::from_millis(4),
        kill_after: Some(5),
        purpose: Purpose::Health,
    };
    let http =
        |address, tls| CheckKind::Http { address, port: 80, path: "/h?a".into(), tls, ignore_1xx: !tls };
    TaskInfo {
        id: "web.1".parse().unwrap(),
        name: "web".into(),
        agent: AgentId::from("m-S1"),
        role: "slave_public".parse().unwrap(),
        resources: "cpus:0.1;mem(slave_public):64;ports:[1-2,5-5];gpus(a/b):1;x:{p,q}".parse().unwrap(),
        command: Command {
            line: CommandLine::Shell("hunter2".into()),
            env: [("TOKEN".to_owned(), Secret::from("hunter2"))].into(),
            secrets: [].into(),
            user: Some("www".into()),
            uris: vec![Uri {
                value: "http://u:hunter2@h/a.tgz?sig=hunter2".into(),
                executable: true,
                extract: true,
                cache: true,
                output_file: Some("a".into()),
            }],
        },
        limits: Limits { cpus: Some(Limit::Unlimited), mem: Some(Limit::At(scheduler::Scalar::whole(7))) },
        grace: Some(Duration::from_millis(6)),
        checks: vec![
            check(http(CheckAddress::Loopback6, true)),
            check(http(CheckAddress::Agent, false)),
            check(CheckKind::Tcp { address: CheckAddress::Loopback, port: 81 }),
            Check {
                kill_after: None,
                ..check(CheckKind::Command(CommandLine::Argv(vec!["a".into(), "b".into()])))
            },
            Check {
                purpose: Purpose::Readiness { statuses: vec![200, 418], keep_response: true },
                ..check(http(CheckAddress::Agent, false))
            },
            Check { purpose: Purpose::Information, ..check(http(CheckAddress::Agent, false)) },
        ],
        volumes: vec![Volume { container_path: "c".into(), host_path: "/h".into(), read_only: true }],
        labels: [("l".to_owned(), "v".to_owned())].into(),
        peers: Some(crate::mesos::Peers { version: 1 << 63, json: "{}".into(), tsv: "t".into() }),
    }
}

fn sent(info: &TaskInfo) -> wire::TaskInfo {
    wire::TaskInfo::decode(info_to_wire(info).encode_to_vec().as_slice()).unwrap()
}

#[test]
fn a_task_arrives_as_it_was_sent() {
    assert_eq!(info_from_wire(sent(&info())).unwrap(), info());
}

#[test]
fn statuses_arrive_as_they_were_sent() {
    let full = TaskStatus {
        task: "web.1".parse().unwrap(),
        state: TaskState::Running,
        message: Some("m".into()),
        source: Source::Executor,
        reason: Some(Reason::Reconciliation),
        agent: Some(AgentId::from("m-S1")),
        uuid: Some(Uuid::from_bits(7 << 100)),
        healthy: Some(false),
        timestamp: Timestamp::from_millis(-1),
        addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
    };
    let bare = TaskStatus {
        message: None,
        reason: None,
        agent: None,
        uuid: None,
        healthy: None,
        addresses: vec![],
        ..full.clone()
    };
    for status in [full, bare] {
        let bytes = status_to_wire(&status).encode_to_vec();
        assert_eq!(status_from_wire(wire::TaskStatus::decode(bytes.as_slice()).unwrap()).unwrap(), status);
    }
}

#[test]
fn every_name_is_read_again() {
    assert!(TaskState::ALL.iter().all(|state| TaskState::from_name(state.name()) == Some(*state)));
    assert!(Reason::ALL.iter().all(|reason| Reason::from_name(reason.name()) == Some(*reason)));
}

#[test]
fn health_arrives_as_it_was_sent() {
    let report = HealthReport {
        task: "web.1".parse().unwrap(),
        agent: AgentId::from("m-S1"),
        check: 2,
        alive: true,
        consecutive_failures: 3,
        first_success: Some(Timestamp::from_millis(4)),
        last_success: None,
        last_failure: Some(Timestamp::from_millis(5)),
        last_failure_cause: Some("c".into()),
        sight: None,
    };
    let response = Response { status: 503, content_type: "text/plain".into(), body: "wait".into() };
    for sight in [
        None,
        Some(Sight::Response(response)),
        Some(Sight::Status(200)),
        Some(Sight::Connected(false)),
        Some(Sight::Exit(-1)),
    ] {
        let report = HealthReport { sight, ..report.clone() };
        let bytes = health_to_wire("f", &report).encode_to_vec();
        let arrived = wire::HealthReport::decode(bytes.as_slice()).unwrap();
        assert_eq!(health_from_wire(&report.agent, arrived).unwrap(), report);
    }
}

#[test]
fn what_cannot_be_is_named() {
    type Break = fn(&mut wire::TaskInfo);
    let broken: [(Break, &str); 8] = [
        (|info| info.id = "a/b".into(), "id: "),
        (|info| info.role = "-".into(), "role: "),
        (|info| info.command = None, "command: is missing"),
        (|info| info.checks[0].kind = None, "checks: is of an unknown kind"),
        (
            |info| {
                let readiness = wire::Readiness { status: vec![70_000], keep_response: false };
                info.checks[0].purpose = Some(wire::check::Purpose::Readiness(readiness));
            },
            "status: ",
        ),
        (
            |info| info.mem_limit = Some(wire::Limit { thousandths: Some(-1) }),
            "limits: -0.001 is out of bounds",
        ),
        (
            |info| info.resources[0].value = Some(wire::resource::Value::ScalarThousandths(i64::MAX)),
            "resources: ",
        ),
        (
            |info| {
                let range = vec![wire::Range { begin: 2, end: 1 }];
                info.resources[0].value = Some(wire::resource::Value::Ranges(wire::Ranges { range }));
            },
            "resources: ",
        ),
    ];
    for (breaks, wanted) in broken {
        let mut info = sent(&info());
        breaks(&mut info);
        let error = info_from_wire(info).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[test]
fn secrets_are_not_printed() {
    assert!(!format!("{:?}", info()).contains("hunter2"));
    let sent = sent(&info());
    assert!(
        !format!("{:?}{:?}", sent.command, sent.command.as_ref().map(|command| &command.line))
            .contains("hunter2")
    );
    assert!(!format!("{sent:?}").contains("hunter2"));
}
