//! The book, by tables and by chance.

use super::*;
use api::mesos::{Command, CommandLine, Limits};

pub(crate) fn info(id: &str, resources: &str) -> TaskInfo {
    TaskInfo {
        id: id.parse().unwrap(),
        name: id.into(),
        agent: "A".into(),
        role: "*".parse().unwrap(),
        resources: resources.parse().unwrap(),
        command: Command {
            line: CommandLine::Shell("true".into()),
            env: BTreeMap::new(),
            secrets: [].into(),
            user: None,
            uris: vec![],
        },
        limits: Limits::default(),
        grace: None,
        checks: vec![],
        labels: BTreeMap::new(),
        peers: None,
        volumes: vec![],
    }
}

mod book;
mod chance;
