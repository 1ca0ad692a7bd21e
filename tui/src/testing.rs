//! For tests: a cluster that is always the same, and a screen as text.

use std::collections::BTreeMap;

use api::watch::{Amounts, Deployment, Failure, Frame, Hello, Node, ROWS, Rows, Service, Task, Waiting};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::state::{Options, State, update};
use crate::{Connection, Input};

/// The time in the sample: 2026-11-22 10:23:51 UTC.
pub(crate) const NOW: u64 = 1_795_343_031_000;

/// The screen as text, a line each, without blanks at the ends.
pub(crate) fn screen(state: &State, columns: u16, rows: u16) -> String {
    let place = Rect::new(0, 0, columns, rows);
    let mut canvas = Buffer::empty(place);
    crate::draw(state, place, &mut canvas);
    let line = |y| {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..columns {
            let symbol = canvas.cell((x, y)).map_or(" ", |cell| cell.symbol());
            if skip > 0 {
                skip -= 1;
                continue;
            }
            skip = crate::text::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        line.trim_end().to_owned()
    };
    (0..rows).map(line).collect::<Vec<_>>().join("\n")
}

/// A dashboard that has just begun, and knows nothing.
pub(crate) fn fresh() -> State {
    State::new(Options { context: "prod-eu".into(), ..Options::default() }, (120, 35), NOW)
}

/// A dashboard whose cluster has nothing in it.
pub(crate) fn empty() -> State {
    let mut state = fresh();
    let _ = update(&mut state, Input::Connection(Connection::Live));
    for frame in [hello(), Frame::Ready { now: NOW }] {
        let _ = update(&mut state, Input::Frame(Box::new(frame)));
    }
    state
}

fn hello() -> Frame {
    Frame::Hello(Hello {
        cluster: "prod-eu".into(),
        version: "0.1.0".into(),
        leader: "m2".into(),
        epoch: 7,
        user: Some("admin".into()),
        operates: true,
    })
}

/// Twenty nodes, seven services of which one waits, one is unhealthy, one is being deployed and one is suspended.
pub(crate) fn sample() -> State {
    let mut state = fresh();
    let _ = update(&mut state, Input::Connection(Connection::Live));
    for frame in frames() {
        let _ = update(&mut state, Input::Frame(Box::new(frame)));
    }
    state
}

/// The frames of the sample.
pub(crate) fn frames() -> Vec<Frame> {
    let each = |cpus, mem| Amounts { cpus, mem, disk: 0.0 };
    let service = |id: &str, instances: u32, each: Amounts, runs: &str| Service {
        id: id.into(),
        version: "2026-11-22T09:00:00.000Z".into(),
        instances,
        each,
        running: instances,
        healthy: instances,
        checked: true,
        runs: runs.into(),
        versions: 3,
        ..Service::default()
    };
    let mut services = vec![
        service("/shop/web", 10, each(1.0, 2048.0), "exec /srv/web --port $PORT0"),
        service("/shop/cart", 4, each(1.0, 2048.0), "exec /srv/cart"),
        service("/shop/search", 3, each(0.5, 1024.0), "exec /srv/search"),
        service("/data/kafka", 6, each(4.0, 16384.0), "exec kafka"),
        service("/data/redis", 1, each(0.2, 256.0), "redis-server"),
        service("/batch/report", 0, each(0.1, 64.0), "sleep 1000"),
        service("/ping", 2, each(0.1, 32.0), "exec sleep 100000"),
    ];
    services[0].deployment = Some("91cc2f6e-0000-4000-8000-000000000001".into());
    (services[0].running, services[0].healthy, services[0].staged) = (8, 8, 2);
    (services[1].healthy, services[1].unhealthy) = (2, 2);
    services[1].failure = Some(Failure {
        at: NOW - 180_000,
        task: "shop_cart.instance-9c1d._app.1".into(),
        state: "TASK_FAILED".into(),
        host: "a07".into(),
        message: "Command exited with status 137".into(),
    });
    (services[3].running, services[3].healthy) = (5, 5);
    services[3].waiting = Some(Waiting {
        count: 1,
        since: NOW - 360_000,
        why: "no agent has 4 cores: the most that one has free is 2.5".into(),
        declined: BTreeMap::from([("InsufficientCpus".into(), 17), ("UnfulfilledConstraint".into(), 1)]),
    });
    services[3].labels = BTreeMap::from([
        ("DCOS_PACKAGE_NAME".into(), "kafka".into()),
        ("DCOS_PACKAGE_VERSION".into(), "3.9.1".into()),
    ]);
    services[6].checked = false;
    services[6].healthy = 0;
    let mut nodes: Vec<Node> = (1..=20)
        .map(|n| Node {
            id: format!("{n:08x}-S{n}"),
            hostname: format!("a{n:02}"),
            address: format!("192.0.2.{}:5051", 20 + n),
            state: "active".into(),
            since: NOW - 86_400_000,
            total: Amounts { cpus: 8.0, mem: 32768.0, disk: 1_048_576.0 },
            attributes: BTreeMap::from([("rack".into(), format!("r{}", 1 + n % 4))]),
            zone: Some(format!("eu-{}", 1 + n % 3)),
            version: "0.1.0".into(),
            ..Node::default()
        })
        .collect();
    nodes[18].state = "unreachable".into();
    nodes[18].since = NOW - 660_000;
    nodes[14].state = "disconnected".into();
    let mut tasks = Vec::new();
    let mut at = 0;
    for service in &services {
        for n in 0..service.running + service.staged {
            let node = &mut nodes[at % 20];
            at += 7;
            node.used.cpus += service.each.cpus;
            node.used.mem += service.each.mem;
            let staged = n >= service.running;
            let name = service.id[1..].replace('/', "_");
            tasks.push(Task {
                id: format!("{name}.instance-{n:04x}._app.1"),
                service: service.id.clone(),
                state: if staged { "TASK_STAGING" } else { "TASK_RUNNING" }.into(),
                host: node.hostname.clone(),
                node: node.id.clone(),
                ports: vec![u16::try_from(31000 + at % 1000).unwrap()],
                healthy: (service.checked && !staged).then_some(n < service.healthy),
                version: service.version.clone(),
                staged: NOW - 60_000 - u64::from(n) * 3000,
                started: (!staged).then_some(NOW - 51_000),
            });
        }
    }
    let mut frames = vec![hello(), Frame::Nodes(Rows { set: nodes, gone: vec![] })];
    frames.push(Frame::Services(Rows { set: services, gone: vec![] }));
    frames.extend(tasks.chunks(ROWS).map(|part| Frame::Tasks(Rows { set: part.to_vec(), gone: vec![] })));
    frames.push(Frame::Deployments {
        set: vec![Deployment {
            id: "91cc2f6e-0000-4000-8000-000000000001".into(),
            version: "2026-11-22T10:22:53.000Z".into(),
            services: vec!["/shop/web".into()],
            step: 3,
            steps: 5,
            doing: vec!["RestartApplication /shop/web".into()],
        }],
    });
    frames.push(Frame::Ready { now: NOW });
    frames
}
