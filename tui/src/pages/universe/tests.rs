use api::watch::{Amounts, Frame, Rows, Service, Task};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::*;
use crate::state::{Options, Page, update};
use crate::testing::{NOW, empty, fresh, sample, screen};
use crate::{Connection, Input, Progress};

/// A dashboard, and what it asked for.
struct Desk {
    state: State,
    asked: Vec<(u64, Request)>,
    others: Vec<Effect>,
}

impl Desk {
    fn new(state: State) -> Self {
        Self { state, asked: Vec::new(), others: Vec::new() }
    }

    fn put(&mut self, input: Input) {
        for effect in update(&mut self.state, input) {
            match effect {
                Effect::Ask(number, request) => self.asked.push((number, request)),
                Effect::Forget(number) => self.asked.retain(|(asked, _)| *asked != number),
                other => self.others.push(other),
            }
        }
    }

    fn key(&mut self, code: KeyCode) {
        self.put(Input::Key(code.into()));
    }

    fn control(&mut self, letter: char) {
        self.put(Input::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)));
    }

    fn typed(&mut self, text: &str) {
        text.chars().for_each(|c| self.key(KeyCode::Char(c)));
    }

    /// Answers the oldest question of that kind.
    fn answer(&mut self, of: impl Fn(&Request) -> bool, result: Result<Value, Failed>) -> Request {
        let at = self.asked.iter().position(|(_, request)| of(request)).expect("nobody asked that");
        let (number, request) = self.asked.remove(at);
        self.put(Input::Answer(number, result));
        request
    }

    fn tick(&mut self, later: u64) {
        self.put(Input::Tick(self.state.now + later));
    }

    fn message(&self) -> &str {
        self.state.message.as_ref().map(|message| message.text.as_str()).unwrap_or_default()
    }

    fn draft(&self) -> &Draft {
        self.state.universe.draft.as_ref().unwrap()
    }

    /// The keys go to this option.
    fn go(&mut self, path: &str) {
        for _ in 0..200 {
            let draft = self.draft();
            let here = draft.form.fields.iter().position(|field| field.path.join(".") == path);
            let (section, row) = draft.form.place(here.expect("there is no such option")).unwrap();
            if !draft.at_id && (draft.section, draft.list.cursor) == (section, row) {
                return;
            }
            self.key(KeyCode::Tab);
        }
        panic!("{path} is not reached");
    }
}

fn is_search(request: &Request) -> bool {
    matches!(request, Request::Search(_))
}

fn is_describe(request: &Request) -> bool {
    matches!(request, Request::Describe { .. })
}

fn is_render(request: &Request) -> bool {
    matches!(request, Request::Render { .. })
}

fn is_install(request: &Request) -> bool {
    matches!(request, Request::Install { .. } | Request::UpdatePackage { .. })
}

fn packages() -> Value {
    json!({ "packages": [
        {"name": "elasticsearch", "currentVersion": "8.17.0", "versions": {"8.17.0": "1", "7.17.0": "0"}, "description": "Search and analytics.", "tags": ["search"]},
        {"name": "kafka", "currentVersion": "3.9.1", "versions": {"3.9.1": "2", "3.8.0": "1"}, "description": "Apache Kafka without ZooKeeper (KRaft), one broker or three.", "tags": ["queue"]},
        {"name": "nginx", "currentVersion": "1.26.3", "versions": {"1.26.3": "0"}, "description": "A web server.", "tags": []},
        {"name": "redis", "currentVersion": "7.0.15", "versions": {"7.0.15": "0"}, "description": "Keeps data in memory.\nMore of it.", "tags": []},
    ]})
}

fn kafka() -> Value {
    json!({ "package": {
        "name": "kafka", "version": "3.9.1", "maintainer": "clusterctl", "website": "https://kafka.apache.org",
        "description": "Apache Kafka without ZooKeeper (KRaft), one broker or three, each of which is a controller as well. It brings its own Java.",
        "tags": ["kafka", "streaming", "queue"], "licenses": [{"name": "Apache-2.0", "url": "https://www.apache.org"}],
        "tested": false, "needs": {"mem": 1920, "cpus": 1.5}, "web": {"app": "", "port": 0, "path": "/"}, "upgradesFrom": ["3.8.0"],
        "preInstallNotes": "Data lives in the sandboxes of its brokers. One that is replaced gets its data from the others.",
        "config": { "type": "object", "additionalProperties": false, "properties": {
            "service": {"description": "The cluster as a whole.", "type": "object", "required": ["name"], "properties": {
                "name": {"description": "The id of its service.", "type": "string", "default": "kafka", "pattern": "^/?[a-z0-9]"},
                "user": {"description": "As whom it runs.", "type": "string", "default": ""},
                "region": {"description": "Where it runs.", "type": "string", "media": {"type": "application/x-region+string"}},
                "password": {"description": "What clients say.", "type": "string", "secret": true, "default": ""},
            }},
            "brokers": {"description": "The brokers, which are all alike.", "type": "object", "required": ["instances", "mem"], "properties": {
                "instances": {"description": "How many there are.", "type": "integer", "enum": [1, 3], "default": 3},
                "cpus": {"description": "Processors of each.", "type": "number", "minimum": 0.1, "default": 0.5},
                "mem": {"description": "Memory of each, in MiB. The heap must fit with what else a broker needs.", "type": "integer", "minimum": 448, "maximum": 65536, "default": 640},
                "unique": {"description": "No two brokers on one host.", "type": "boolean", "default": true},
                "disks": {"type": "object", "properties": {
                    "size": {"type": "integer", "default": 0, "minimum": 0},
                    "kind": {"enum": ["root", "path", "mount"], "default": "root"},
                }},
            }},
            "topics": {"description": "Topics that say nothing else.", "type": "object", "properties": {
                "cleanup": {"description": "What is done with old messages.", "type": "string", "enum": ["compact", "delete", "both", "none", "later"], "default": "delete"},
                "extra": {"description": "Further settings.", "type": "object"},
                "hours": {"type": "integer", "default": 168},
            }},
        }},
    }})
}

fn app(instances: u64, cpus: f64) -> Value {
    json!({ "marathonJson": {
        "id": "/data/kafka2", "instances": instances, "cpus": cpus, "mem": 640, "disk": 0, "cmd": "exec bin/kafka",
        "constraints": [["hostname", "UNIQUE"]],
        "labels": {"DCOS_PACKAGE_NAME": "kafka", "DCOS_PACKAGE_DEFINITION": "eyJtZXRhZGF0YSI6".repeat(20)},
    }})
}

fn failed(text: &str, hint: &str) -> Failed {
    Failed { text: text.into(), hint: hint.into(), ..Failed::default() }
}

fn installed_answer() -> Value {
    json!({ "packages": [{"appId": "/data/kafka", "packageInformation": {"packageDefinition": {
        "name": "kafka", "version": "3.8.0", "postUninstallNotes": "The data of its brokers is gone with their sandboxes.",
    }}}]})
}

/// On the page, before anything was answered.
fn entered(state: State) -> Desk {
    let mut desk = Desk::new(state);
    desk.key(KeyCode::Char('4'));
    assert_eq!(desk.state.page, Page::Universe);
    desk
}

/// With packages, and kafka under the cursor and read.
fn listed(state: State) -> Desk {
    let mut desk = entered(state);
    desk.answer(is_search, Ok(packages()));
    desk.answer(|request| *request == Request::Installed, Ok(installed_answer()));
    desk.answer(is_describe, Err(failed("elasticsearch is not readable", "")));
    desk.key(KeyCode::Char('j'));
    desk.answer(is_describe, Ok(kafka()));
    desk
}

fn in_form() -> Desk {
    let mut desk = listed(sample());
    desk.key(KeyCode::Char('I'));
    assert_eq!(desk.state.universe.view, View::Options);
    desk
}

/// With options that differ and an id, reviewed; not answered yet.
fn in_review() -> Desk {
    let mut desk = in_form();
    desk.typed("data/kafka2");
    desk.go("brokers.mem");
    desk.control('u');
    desk.typed("800");
    desk.go("brokers.unique");
    desk.key(KeyCode::Char(' '));
    desk.go("service.password");
    desk.typed("hunter2");
    desk.control('s');
    assert_eq!(desk.state.universe.view, View::Review, "{}", desk.message());
    desk
}

fn installing() -> Desk {
    let mut desk = in_review();
    desk.answer(is_render, Ok(app(3, 0.5)));
    desk.key(KeyCode::Char('I'));
    assert_eq!(desk.state.universe.view, View::Progress, "{}", desk.message());
    desk
}

fn number_of_install(desk: &Desk) -> u64 {
    desk.asked.iter().find(|(_, request)| is_install(request)).unwrap().0
}

fn service(running: u32, healthy: u32) -> Service {
    Service {
        id: "/data/kafka2".into(),
        version: "2026-11-22T10:24:00.000Z".into(),
        instances: 3,
        each: Amounts { cpus: 0.5, mem: 640.0, disk: 0.0 },
        running,
        staged: 3 - running,
        healthy,
        checked: true,
        deployment: (running < 3).then(|| "d1".into()),
        labels: BTreeMap::from([("DCOS_PACKAGE_NAME".into(), "kafka".into())]),
        ..Service::default()
    }
}

fn instances(running: u32, healthy: u32) -> Vec<Task> {
    (0..3)
        .map(|n| Task {
            id: format!("data_kafka2.instance-{n}f0a._app.1"),
            service: "/data/kafka2".into(),
            node: format!("{:08x}-S{}", n + 1, n + 1),
            host: format!("a{:02}", n + 1),
            state: if n < running { "TASK_RUNNING" } else { "TASK_STAGING" }.into(),
            ports: vec![31000 + u16::try_from(n).unwrap()],
            healthy: (n < running).then_some(n < healthy),
            version: String::new(),
            staged: NOW,
            started: (n < running).then_some(NOW),
        })
        .collect()
}

fn come(desk: &mut Desk, running: u32, healthy: u32) {
    desk.put(Input::Frame(Box::new(Frame::Services(Rows {
        set: vec![service(running, healthy)],
        gone: vec![],
    }))));
    desk.put(Input::Frame(Box::new(Frame::Tasks(Rows { set: instances(running, healthy), gone: vec![] }))));
    desk.tick(1000);
}

fn shots(name: &str, desk: &Desk) {
    for (columns, rows) in [(80, 24), (120, 35), (200, 50)] {
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), screen(&desk.state, columns, rows));
    }
}

#[test]
fn the_page_asks_once_and_shows_what_came() {
    let desk = listed(sample());
    assert_eq!(desk.asked.iter().filter(|(_, request)| is_search(request)).count(), 0);
    assert!(desk.asked.iter().any(|(_, request)| *request == Request::PackageVersions("kafka".into())));
    shots("list", &desk);
}

#[test]
fn states_of_the_list() {
    shots("list_loading", &entered(sample()));
    let mut desk = entered(empty());
    desk.answer(is_search, Ok(json!({"packages": []})));
    shots("list_empty", &desk);
    let mut desk = entered(sample());
    desk.answer(is_search, Err(failed("the masters do not answer in time.", "try again in a moment")));
    shots("list_error", &desk);
    desk.tick(11_000);
    assert!(desk.asked.iter().any(|(_, request)| is_search(request)), "it is tried again");
    let mut desk = listed(sample());
    desk.put(Input::Connection(Connection::Lost("connection refused".into())));
    desk.tick(40_000);
    shots("list_stale", &desk);
    shots("list_unread", &entered(fresh()));
    let mut desk = listed(sample());
    desk.key(KeyCode::Enter);
    shots("reader", &desk);
    desk.key(KeyCode::Esc);
    desk.key(KeyCode::Char('r'));
    desk.answer(
        |request| *request == Request::Repositories,
        Ok(json!({"repositories": [{"name": "Universe", "uri": "https://universe.example/repo"}, {"name": "own", "uri": "file:///srv/packages"}]})),
    );
    insta::assert_snapshot!("repositories_80x24", screen(&desk.state, 80, 24));
    let mut ascii = listed(sample());
    ascii.state.options.look.ascii = true;
    let shown = screen(&ascii.state, 120, 35);
    assert!(shown.is_ascii(), "{shown}");
}

#[test]
fn a_search_waits_for_the_last_letter_and_old_answers_are_none() {
    let mut desk = listed(sample());
    desk.typed("/ka");
    assert!(!desk.asked.iter().any(|(_, request)| is_search(request)), "nothing yet");
    desk.tick(200);
    desk.typed("f");
    desk.tick(200);
    assert!(!desk.asked.iter().any(|(_, request)| is_search(request)), "a letter came between");
    desk.tick(300);
    let (first, _) =
        desk.asked.iter().find(|(_, request)| *request == Request::Search("kaf".into())).cloned().unwrap();
    desk.typed("k");
    desk.key(KeyCode::Enter);
    assert!(
        desk.asked.iter().any(|(_, request)| *request == Request::Search("kafk".into())),
        "enter does not wait"
    );
    desk.put(Input::Answer(first, Ok(json!({"packages": []}))));
    assert_eq!(desk.state.universe.search.found.as_ref().unwrap().len(), 4, "nobody waits for that one");
    desk.answer(is_search, Ok(json!({"packages": [packages()["packages"][1]]})));
    assert_eq!(list::chosen(&desk.state.universe), Some(("kafka", "3.9.1")));
    insta::assert_snapshot!("list_found_120x35", screen(&desk.state, 120, 35));
    desk.answer(
        |request| matches!(request, Request::PackageVersions(_)),
        Ok(json!({"results": {"3.9.1": "2", "3.8.0": "1"}})),
    );
    desk.typed("h");
    assert_eq!(list::chosen(&desk.state.universe), Some(("kafka", "3.8.0")));
    let asked = Request::Describe { name: "kafka".into(), version: Some("3.8.0".into()) };
    assert!(desk.asked.iter().any(|(_, request)| *request == asked));
    desk.typed("hll");
    assert_eq!(list::chosen(&desk.state.universe), Some(("kafka", "3.9.1")));
    desk.key(KeyCode::Esc);
    assert!(desk.asked.iter().any(|(_, request)| *request == Request::Search(String::new())));
}

#[test]
fn nothing_is_changed_where_nothing_may_be() {
    let mut desk = listed(sample());
    desk.state.options = Options { read_only: true, ..desk.state.options.clone() };
    for key in ['I', 'U', 'D'] {
        desk.key(KeyCode::Char(key));
        assert_eq!(desk.message(), "this dashboard was started with --read-only");
        assert!(desk.state.universe.view == View::List && desk.state.dialog.is_none());
    }
    assert!(!screen(&desk.state, 200, 50).contains("I:install"));
    let mut desk = in_review();
    desk.answer(is_render, Ok(app(3, 0.5)));
    desk.state.options.read_only = true;
    desk.key(KeyCode::Char('I'));
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::Enter);
    assert!(!desk.asked.iter().any(|(_, request)| is_install(request)));
    assert!(!screen(&desk.state, 120, 35).contains("[ Install ]"));
}

#[test]
fn a_service_is_removed_by_its_id() {
    let mut desk = listed(sample());
    desk.key(KeyCode::Char('D'));
    insta::assert_snapshot!("uninstall_120x35", screen(&desk.state, 120, 35));
    desk.typed("/data/kafka");
    desk.key(KeyCode::Enter);
    desk.key(KeyCode::Enter);
    let wanted = Request::Uninstall { name: "kafka".into(), id: "/data/kafka".into() };
    desk.answer(|request| *request == wanted, Ok(json!({"results": []})));
    desk.put(Input::Frame(Box::new(Frame::Services(Rows { set: vec![], gone: vec!["/data/kafka".into()] }))));
    desk.tick(1000);
    desk.answer(|request| *request == Request::Installed, Ok(json!({"packages": []})));
    assert_eq!(desk.state.universe.installed, Some(vec![]), "what is installed follows the stream");
    desk.key(KeyCode::Char('D'));
    assert_eq!(desk.message(), "kafka is not installed; I installs it");
}

#[test]
fn several_of_one_package_are_chosen_from() {
    let mut desk = listed(sample());
    let mut two = desk.state.universe.installed.clone().unwrap();
    two.push(Installed { id: "/b/kafka".into(), ..two[0].clone() });
    desk.state.universe.installed = Some(two);
    desk.key(KeyCode::Char('U'));
    assert!(screen(&desk.state, 80, 24).contains("Update which?"));
    desk.typed("j");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.draft().target.as_deref(), Some("/b/kafka"));
    assert_eq!(review::not_foreseen(&desk.state, desk.draft()), None, "the new version says so");
    for one in desk.state.universe.installed.iter_mut().flatten() {
        one.version = "2.0.0".into();
    }
    let words = review::not_foreseen(&desk.state, desk.draft()).unwrap();
    assert!(words.contains("2.0.0 can become 3.9.1"), "{words}");
    for one in desk.state.universe.installed.iter_mut().flatten() {
        one.downgrades = vec!["3.9.1".into()];
    }
    assert_eq!(review::not_foreseen(&desk.state, desk.draft()), None, "the old one does");
}

#[test]
fn the_form() {
    let mut desk = in_form();
    shots("form", &desk);
    desk.typed("data/kafka2");
    desk.go("brokers.mem");
    desk.control('u');
    desk.typed("51");
    desk.go("brokers.disks.kind");
    desk.key(KeyCode::Char('l'));
    desk.go("brokers.mem");
    shots("form_fault", &desk);
    desk.control('s');
    assert_eq!(desk.message(), "one option has to be mended first");
    assert_eq!(desk.state.universe.view, View::Options);
    desk.go("service.password");
    desk.typed("hunter2");
    let shown = screen(&desk.state, 200, 50);
    assert!(!shown.contains("hunter2") && shown.contains("•••••••"), "{shown}");
    desk.go("topics.cleanup");
    desk.key(KeyCode::Enter);
    insta::assert_snapshot!("form_list_120x35", screen(&desk.state, 120, 35));
    desk.typed("j");
    desk.key(KeyCode::Enter);
    assert_eq!(desk.draft().form.options()["topics"], json!({"cleanup": "both"}));
    desk.state.options.look.ascii = true;
    let shown = screen(&desk.state, 200, 50);
    assert!(shown.is_ascii(), "{shown}");
}

#[test]
fn letters_go_into_texts_and_are_keys_elsewhere() {
    let mut desk = in_form();
    desk.typed("?:1");
    desk.key(KeyCode::Home);
    desk.typed("qx");
    desk.key(KeyCode::Backspace);
    assert_eq!(desk.draft().id, "q?:1");
    assert!(desk.state.help.is_none() && desk.state.page == Page::Universe);
    desk.go("brokers.unique");
    desk.typed("?");
    assert!(desk.state.help.is_some(), "nothing is typed into a check box");
    desk.key(KeyCode::Esc);
    desk.typed("1");
    assert_eq!(desk.state.page, Page::Dashboard);
    desk.typed("4");
    assert_eq!(desk.draft().id, "q?:1", "what was typed is there again");
}

#[test]
fn leaving_asks_when_something_was_typed() {
    let mut desk = in_form();
    desk.key(KeyCode::Esc);
    assert_eq!(
        (desk.state.universe.view, desk.state.dialog.is_none()),
        (View::List, true),
        "nothing was typed"
    );
    desk.key(KeyCode::Char('I'));
    desk.typed("x");
    desk.key(KeyCode::Esc);
    assert!(desk.state.dialog.is_some());
    desk.key(KeyCode::Enter);
    assert_eq!((desk.state.universe.view, desk.draft().id.as_str()), (View::Options, "x"), "Cancel is first");
    desk.key(KeyCode::Esc);
    desk.key(KeyCode::Left);
    desk.key(KeyCode::Enter);
    assert!(desk.state.universe.draft.is_none() && desk.state.universe.view == View::List);
}

#[test]
fn the_editor_gives_all_or_one_field() {
    let mut desk = in_form();
    desk.control('e');
    let Some(Effect::Edit(number, text, ending)) = desk.others.pop() else { panic!() };
    assert!(
        text.contains("instances: 3") && text.contains("service.password") && ending == ".yaml",
        "{text}"
    );
    desk.put(Input::Answer(number, Ok(json!("brokers: {mem: 5, cpus: 2}"))));
    assert_eq!(desk.draft().form.options(), json!({"brokers": {"mem": 5, "cpus": 2}}));
    assert_eq!(desk.draft().section, 0, "the fault is in brokers");
    desk.control('e');
    let Some(Effect::Edit(number, ..)) = desk.others.pop() else { panic!() };
    desk.put(Input::Answer(number, Ok(json!("[1"))));
    assert!(desk.message().starts_with("nothing was taken"), "{}", desk.message());
    desk.go("topics.extra");
    desk.key(KeyCode::Enter);
    let Some(Effect::Edit(number, ..)) = desk.others.pop() else { panic!() };
    desk.put(Input::Answer(number, Ok(json!("a: [1, 2]"))));
    assert_eq!(desk.draft().form.options()["topics"], json!({"extra": {"a": [1, 2]}}));
}

#[test]
fn a_package_without_options() {
    let mut desk = listed(sample());
    desk.typed("j");
    let package = json!({"package": {"name": "nginx", "version": "1.26.3"}});
    desk.answer(is_describe, Ok(package));
    desk.key(KeyCode::Char('I'));
    insta::assert_snapshot!("form_none_80x24", screen(&desk.state, 80, 24));
    for key in
        [KeyCode::Tab, KeyCode::BackTab, KeyCode::PageDown, KeyCode::PageUp, KeyCode::Enter, KeyCode::Delete]
    {
        desk.key(key);
    }
    desk.control('s');
    let request = desk.answer(is_render, Err(failed("no", "")));
    let wanted =
        Request::Render { name: "nginx".into(), version: "1.26.3".into(), options: json!({}), id: None };
    assert_eq!(request, wanted);
}

#[test]
fn the_review_says_what_it_takes_and_whether_it_fits() {
    let mut desk = in_review();
    let request = desk.answer(is_render, Ok(app(3, 0.5)));
    let options = json!({"brokers": {"mem": 800, "unique": false}, "service": {"password": "hunter2"}});
    let wanted = Request::Render {
        name: "kafka".into(),
        version: "3.9.1".into(),
        options,
        id: Some("/data/kafka2".into()),
    };
    assert_eq!(request, wanted);
    assert_eq!(review::not_foreseen(&desk.state, desk.draft()), None);
    shots("review", &desk);
    assert!(!screen(&desk.state, 200, 50).contains("hunter2"));
    desk.state.options.look.ascii = true;
    let shown = screen(&desk.state, 200, 50);
    assert!(shown.is_ascii(), "{shown}");
    // More than there is room for.
    let mut desk = in_review();
    desk.answer(is_render, Ok(app(30, 4.0)));
    insta::assert_snapshot!("review_no_room_120x35", screen(&desk.state, 120, 35));
}

#[test]
fn a_review_of_files_that_are_not_there_yet() {
    let mut desk = in_review();
    let body = json!({"type": "ArtifactsMissing", "data": {"artifacts": ["kafka", "java"]}});
    desk.answer(is_render, Err(Failed { body, ..failed("The files are not on the masters yet", "") }));
    insta::assert_snapshot!("review_files_120x35", screen(&desk.state, 120, 35));
    desk.key(KeyCode::Char('I'));
    assert!(desk.asked.iter().any(|(_, request)| is_install(request)), "it can be installed");
    let mut desk = in_review();
    desk.answer(is_render, Err(failed("the masters do not answer in time", "")));
    desk.key(KeyCode::Char('I'));
    assert_eq!(desk.message(), "the masters do not answer in time");
    assert!(!desk.asked.iter().any(|(_, request)| is_install(request)));
}

#[test]
fn what_the_masters_refuse_is_at_its_field() {
    let mut desk = in_review();
    let errors = json!([{"instance": {"pointer": "/brokers/mem"}, "message": "has to be a multiple of 64"}]);
    let body = json!({"type": "JsonSchemaMismatch", "data": {"errors": errors}});
    desk.answer(is_render, Err(Failed { body, ..failed("bad options", "") }));
    assert_eq!(desk.state.universe.view, View::Options);
    assert!(desk.draft().current().is_some_and(|field| field.name() == "mem"));
    assert!(screen(&desk.state, 120, 35).contains("has to be a multiple of 64"));
}

#[test]
fn an_installation_goes_on_when_nobody_looks() {
    let mut desk = installing();
    let number = number_of_install(&desk);
    let tell = |desk: &mut Desk, step: &str, what: &str, done, of| {
        desk.put(Input::Progress(number, Progress { step: step.into(), what: what.into(), done, of }));
    };
    tell(&mut desk, "kafka", "downloading", 30 << 20, 118 << 20);
    desk.tick(2000);
    tell(&mut desk, "kafka", "done", 118 << 20, 118 << 20);
    tell(&mut desk, "java", "uploading", 20 << 20, 40 << 20);
    desk.tick(2000);
    shots("progress_files", &desk);
    assert!(moves(&desk.state));
    desk.key(KeyCode::Esc);
    desk.typed("1");
    let request = desk.answer(
        is_install,
        Ok(json!({"packageName": "kafka", "appId": "/data/kafka2", "postInstallNotes": "A broker that is replaced has another address.\nclusterctl service show /data/kafka2      where its brokers listen"})),
    );
    assert_eq!(
        request.command().unwrap(),
        "clusterctl package install kafka --version 3.9.1 --id /data/kafka2"
    );
    assert!(desk.state.universe.draft.is_none(), "it was taken");
    desk.typed("4i");
    come(&mut desk, 1, 0);
    shots("progress_deploy", &desk);
    come(&mut desk, 3, 2);
    assert!(moves(&desk.state), "one is not healthy yet");
    desk.typed("1");
    come(&mut desk, 3, 3);
    assert_eq!(desk.message(), "installed kafka 3.9.1 as /data/kafka2");
    assert!(!moves(&desk.state));
    desk.typed("4i");
    shots("progress_ready", &desk);
    desk.key(KeyCode::Enter);
    assert_eq!(desk.state.page, Page::Services);
}

#[test]
fn a_failure_keeps_what_was_typed() {
    let mut desk = installing();
    desk.answer(
        is_install,
        Err(failed("kafka.tgz cannot be had: connection refused", "--mirror names another place")),
    );
    shots("progress_failed", &desk);
    desk.key(KeyCode::Char('e'));
    assert_eq!(desk.state.universe.view, View::Options);
    assert_eq!(desk.draft().as_what().as_deref(), Some("/data/kafka2"));
    assert_eq!(desk.draft().form.options()["brokers"], json!({"mem": 800, "unique": false}));
    desk.control('s');
    desk.answer(is_render, Ok(app(3, 0.5)));
    desk.key(KeyCode::Char('I'));
    desk.answer(is_install, Err(failed("no", "")));
    desk.key(KeyCode::Char('T'));
    desk.answer(is_render, Ok(app(3, 0.5)));
    desk.key(KeyCode::Tab);
    desk.key(KeyCode::Enter);
    assert!(desk.asked.iter().any(|(_, request)| is_install(request)), "by the button");
    assert_eq!(desk.state.universe.jobs.len(), 3);
}

#[test]
fn an_update_begins_with_what_is_installed() {
    use base64::Engine as _;
    let mut state = sample();
    let options =
        json!({"brokers": {"mem": 1024}, "service": {"password": {"secret": "data/kafka/password"}}});
    let mut service = (*state.cluster.services["/data/kafka"]).clone();
    let label = base64::engine::general_purpose::STANDARD.encode(options.to_string());
    service.labels.insert("DCOS_PACKAGE_OPTIONS".into(), label);
    service.waiting = None;
    (service.running, service.healthy) = (6, 6);
    let frame = |service: &Service| {
        Input::Frame(Box::new(Frame::Services(Rows { set: vec![service.clone()], gone: vec![] })))
    };
    let _ = update(&mut state, frame(&service));
    let mut desk = listed(state);
    desk.key(KeyCode::Char('U'));
    assert_eq!(desk.draft().form.options(), options);
    assert!(!desk.draft().touched());
    shots("update", &desk);
    desk.go("brokers.cpus");
    desk.control('u');
    desk.typed("1");
    desk.control('s');
    desk.answer(is_render, Ok(app(3, 1.0)));
    desk.key(KeyCode::Char('U'));
    let request = desk.answer(is_install, Ok(json!({"package": {}, "marathonDeploymentId": "d"})));
    let Request::UpdatePackage { id, version, options, .. } = request else { panic!() };
    assert_eq!((id.as_str(), version.as_str()), ("/data/kafka", "3.9.1"));
    assert_eq!(options["brokers"], json!({"mem": 1024, "cpus": 1}));
    assert_eq!(options["service"], json!({"password": {"secret": "data/kafka/password"}}));
    assert!(moves(&desk.state), "what was there before is not the update");
    service.version = "2026-11-22T11:00:00.000Z".into();
    desk.put(frame(&service));
    desk.tick(1000);
    assert!(!moves(&desk.state));
    assert_eq!(desk.state.universe.jobs[0].title(), "updated kafka 3.9.1 as /data/kafka");
}

#[test]
fn where_it_fits_is_counted_instance_by_instance() {
    let wants = |definition: Value| review::wants(&definition);
    let free = |all: &[(f64, f64)]| -> Vec<review::Free> {
        all.iter().enumerate().map(|(at, (cpus, mem))| (format!("a{at}"), [*cpus, *mem, 1e6])).collect()
    };
    let group = json!({"id": "/spark", "apps": [{"id": "master", "cpus": 0.5, "mem": 300},
        {"id": "worker", "instances": 2, "mem": 350, "cpus": 1, "constraints": [["@hostname", "UNIQUE"]]}]});
    let found = review::place(&wants(group.clone()), free(&[(4.0, 1000.0), (4.0, 400.0)]));
    assert_eq!(
        found.iter().map(|fit| (fit.nodes, fit.missing.clone())).collect::<Vec<_>>(),
        [(1, None), (2, None)]
    );
    assert_eq!(wants(group)[0].app, "/spark/master");
    for (definition, nodes, missing) in [
        (
            json!({"id": "/a", "instances": 3, "mem": 500}),
            vec![(8.0, 1000.0)],
            Some((1, "nearest is a0: memory 500 MiB wanted, 0 MiB free")),
        ),
        (
            json!({"id": "/a", "instances": 2, "constraints": [["hostname", "UNIQUE"]]}),
            vec![(8.0, 1000.0)],
            Some((1, "each has to be on a node of its own, and 1 are active")),
        ),
        (json!({"id": "/a"}), vec![], Some((1, "there is no active node"))),
        (json!({"id": "/a", "instances": 0}), vec![], None),
        (json!(null), vec![(1.0, 128.0)], None),
    ] {
        let found = review::place(&wants(definition.clone()), free(&nodes));
        assert_eq!(found[0].missing, missing.map(|(count, why)| (count, why.to_owned())), "{definition}");
    }
}

#[test]
fn the_files_of_a_package_are_told_of() {
    let package = json!({"resource": {
        "artifacts": {
            "app": {"sha256": "9f86d081884c7d659a2feaa0c55ad015", "size": 1_572_864, "sources": ["https://a"]},
            "jars": {"closure": [{"purl": "pkg:maven/a", "sha256": "x"}, {"purl": "pkg:maven/b", "sha256": "y"}]},
            "root": {"rootfs": {"debian": "bookworm"}},
        },
        "assets": {"uris": {"tgz": "https://example.org/a.tgz"}, "container": {"docker": {"image": "redis:7"}}},
    }});
    let told: Vec<String> =
        review::artifacts(&package).into_iter().map(|(name, what)| format!("{name}: {what}")).collect();
    assert_eq!(
        told,
        [
            "app: 2 MiB, sha256 9f86d081884c7d6…",
            "jars: put together of 2 files, each with its sha256",
            "root: a root file system, put together here",
            "tgz: https://example.org/a.tgz",
            "image: redis:7",
        ]
    );
    assert!(review::artifacts(&json!(null)).is_empty());
}

#[test]
fn texts_are_broken_between_words() {
    assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
    assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
    assert_eq!(wrap("日本語", 4), ["日本", "語"]);
    assert_eq!(wrap("", 4), Vec::<String>::new());
    assert_eq!(wrap("日", 0), ["日"]);
}
