use std::collections::BTreeMap;

use store::{Candidate, EmbeddedStore, Entry, Key, Prefix, Revision, Snapshot, Stamp, Store};

use super::*;
use crate::core::RecordError;

async fn stored(effects: &[Effect]) -> Snapshot {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), store::Options::default()).await.unwrap();
    let leadership = store.campaign(&Candidate::new("m1")).await.unwrap();
    for effect in effects {
        if let Effect::Commit { batch, .. } = effect {
            store.commit(&leadership, batch.clone()).await.unwrap();
        }
    }
    store.load(&Prefix::all()).await.unwrap()
}

#[tokio::test]
async fn agents_and_frameworks_are_read_as_they_were_written() {
    let mut world = World::new();
    let mut new = registration(None, "a1");
    Arc::make_mut(&mut new.facts.host).attributes =
        "rack:r1;level:2;disks:{a,b};slots:[1-3]".parse().unwrap();
    Arc::make_mut(&mut new.facts.host).region = Some("eu".to_owned());
    new.facts.total = "cpus:4.5;mem(eng/web):1024;ports:[1-2,4-5];things:{a}".parse().unwrap();
    let (_, mut effects) = world.connect(new);
    let channel = world.number();
    let roles = vec!["eng/web".parse().unwrap(), Role::star()];
    effects.extend(world.step(Input::Subscribed { channel, info: FrameworkInfo { roles, ..info("a b/c") } }));
    let odd = FrameworkInfo { id: Some("../odd id".into()), ..info("odd") };
    effects.extend(world.step(Input::Subscribed { channel: 99, info: odd }));
    effects.extend(world.call(99, Call::Teardown));
    let snapshot = stored(&effects).await;
    let state = State::load("m".to_owned(), &snapshot, Config::default(), Duration::ZERO).unwrap();
    let of = |state: &State| {
        let agents = state.agents.values().map(|agent| (agent.id.clone(), agent.facts.clone()));
        let frameworks = state.frameworks.values().map(|one| (one.id.clone(), one.info.clone()));
        (agents.collect::<Vec<_>>(), frameworks.collect::<Vec<_>>(), state.names.clone())
    };
    assert_eq!(of(&state), of(&world.state));
    assert_eq!((state.next_agent, state.next_framework), (1, 1));
    assert_eq!(state.frameworks.get("../odd id").unwrap().state, FrameworkState::Removed);
    assert!(state.agents.values().all(|agent| agent.state == AgentState::Recovering));
}

#[test]
fn what_is_damaged_or_newer_is_named() {
    let load = |key: &str, value: &str| {
        let entry = Entry { value: value.as_bytes().to_vec(), modified: Revision::new(1) };
        let entries = BTreeMap::from([(Key::new(key).unwrap(), entry)]);
        let snapshot = Snapshot { stamp: Stamp::default(), prefix: Prefix::all(), entries };
        State::load("m".to_owned(), &snapshot, Config::default(), Duration::ZERO)
    };
    assert!(
        load("agents/m-S6", "{").unwrap_err().to_string().starts_with("agents/m-S6: the record is damaged")
    );
    assert!(matches!(load("frameworks/f", "{\"version\":2}"), Err(RecordError::Newer { version: 2, .. })));
    let framework = r#"{"version":1,"name":"f","user":"u","roles":["a//b"],"removed":false}"#;
    assert!(load("frameworks/m-0041", framework).unwrap_err().to_string().contains("roles"));
    let framework = framework.replace("a//b", "*");
    assert_eq!(load("frameworks/m-0041", &framework).unwrap().next_framework, 42, "never given twice");
    assert_eq!(load("other/x", "?").unwrap().agents.size(), 0);
}
