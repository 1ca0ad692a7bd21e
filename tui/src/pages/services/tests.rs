//! Keys, answers and screens of this page.

use crossterm::event::KeyCode;
use serde_json::{Value, json};

use super::*;
use crate::state::update;
use crate::testing::{NOW, empty, fresh, sample, screen};
use crate::{Connection, Input};

/// The sample on this page, on a screen of that width.
fn page(columns: u16) -> State {
    let mut state = sample();
    state.size = (columns, 35);
    state.go(Page::Services);
    state
}

fn press(state: &mut State, key: KeyCode) -> Vec<Effect> {
    update(state, Input::Key(key.into()))
}

/// Types words: letters are themselves, what is in `<…>` are keys of that name.
fn keys(state: &mut State, typed: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut rest = typed;
    while let Some(c) = rest.chars().next() {
        let name = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let (key, after) = match name {
            Some((name, after)) => {
                let key = match name {
                    "enter" => KeyCode::Enter,
                    "esc" => KeyCode::Esc,
                    "tab" => KeyCode::Tab,
                    "left" => KeyCode::Left,
                    "right" => KeyCode::Right,
                    "down" => KeyCode::Down,
                    "back" => KeyCode::Backspace,
                    other => panic!("no key {other}"),
                };
                (key, after)
            }
            None => (KeyCode::Char(c), &rest[c.len_utf8()..]),
        };
        effects.extend(press(state, key));
        rest = after;
    }
    effects
}

/// Answers the question of that number.
fn reply(state: &mut State, number: u64, result: Result<Value, Failed>) -> Vec<Effect> {
    update(state, Input::Answer(number, result))
}

/// The questions among effects.
fn asked(effects: &[Effect]) -> Vec<(u64, Request)> {
    let asks = effects.iter().filter_map(|effect| match effect {
        Effect::Ask(number, request) => Some((*number, request.clone())),
        _ => None,
    });
    asks.collect()
}

fn refused(text: &str) -> Failed {
    Failed { text: text.into(), ..Failed::default() }
}

const VERSIONS: [&str; 3] =
    ["2026-11-22T09:00:00.000Z", "2026-11-13T09:00:00.000Z", "2026-11-10T09:00:00.000Z"];

fn app(image: &str) -> Value {
    json!({"id": "/shop/web", "cmd": "exec /srv/web --port $PORT0", "cpus": 1, "mem": 2048, "instances": 10,
        "container": {"docker": {"image": image}, "type": "MESOS"}, "version": VERSIONS[0],
        "tasksRunning": 8, "deployments": [], "versionInfo": {}})
}

/// Opens a service and answers what is asked, on every tab too.
fn answer_all(state: &mut State, mut effects: Vec<Effect>) {
    while let Some((number, request)) = asked(&effects).first().cloned() {
        effects.retain(|effect| !matches!(effect, Effect::Ask(n, _) if *n == number));
        let body = match request {
            Request::Versions(_) => json!({"versions": VERSIONS}),
            Request::Service(_) => json!({"app": app("shop/web:42")}),
            Request::Version(_, version) if version == VERSIONS[0] => app("shop/web:42"),
            Request::Version(_, version) if version == VERSIONS[1] => app("shop/web:41"),
            other => panic!("{other:?}"),
        };
        effects.extend(reply(state, number, Ok(body)));
    }
}

fn opened(columns: u16, id: &str) -> State {
    let mut state = page(columns);
    let effects = state.open_service(id);
    answer_all(&mut state, effects);
    state
}

fn at(state: &State) -> String {
    state.services.table.current(state).map(|row| row.id().to_owned()).unwrap_or_default()
}

fn screens(name: &str, make: impl Fn(u16) -> State) {
    for (columns, rows) in [(80, 24), (120, 35), (200, 50)] {
        let mut state = make(columns);
        state.size = (columns, rows);
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), screen(&state, columns, rows));
    }
}

#[test]
fn the_list_in_every_state() {
    screens("list_usual", page);
    screens("list_empty", |_| {
        let mut state = empty();
        state.go(Page::Services);
        state
    });
    screens("list_loading", |_| {
        let mut state = fresh();
        let _ = update(&mut state, Input::Connection(Connection::Live));
        state.go(Page::Services);
        state
    });
    screens("list_stale", |columns| {
        let mut state = page(columns);
        let _ = update(&mut state, Input::Tick(NOW + 40_000));
        state
    });
    screens("list_error", |_| {
        let mut state = fresh();
        let _ = update(&mut state, Input::Connection(Connection::Lost("192.0.2.10:8080 refuses".into())));
        state.go(Page::Services);
        state
    });
    screens("list_filtered", |columns| {
        let mut state = page(columns);
        keys(&mut state, "t j /status:wait|unhealthy cpu:>1<enter>o");
        state
    });
}

#[test]
fn a_service_on_every_tab() {
    for (name, steps) in
        [("tasks", 0), ("configuration", 1), ("versions", 2), ("why", 3), ("endpoints", 4), ("events", 6)]
    {
        screens(&format!("detail_{name}"), |columns| {
            let mut state = opened(columns, "/shop/web");
            for _ in 0..steps {
                let effects = press(&mut state, KeyCode::Right);
                answer_all(&mut state, effects);
            }
            state
        });
    }
    screens("detail_why_waiting", |columns| {
        let mut state = opened(columns, "/data/kafka");
        keys(&mut state, "<right><right><right>");
        state
    });
    screens("detail_why_unhealthy", |columns| {
        let mut state = opened(columns, "/shop/cart");
        keys(&mut state, "<right><right><right>");
        state
    });
    screens("detail_loading", |columns| {
        let mut state = page(columns);
        state.open_service("/shop/web");
        keys(&mut state, "<right>");
        state
    });
    screens("detail_stale", |columns| {
        let mut state = opened(columns, "/shop/web");
        let _ = update(&mut state, Input::Connection(Connection::Lost("192.0.2.10:8080 refuses".into())));
        let _ = update(&mut state, Input::Tick(NOW + 40_000));
        state
    });
    screens("detail_events_of_a_change", |columns| {
        let mut state = opened(columns, "/shop/web");
        let mut service = state.cluster.services["/shop/web"].as_ref().clone();
        service.instances = 12;
        let mut task = state.cluster.tasks_of("/shop/web").next().unwrap().as_ref().clone();
        task.healthy = Some(false);
        for frame in [
            api::watch::Frame::Services(api::watch::Rows { set: vec![service], gone: vec![] }),
            api::watch::Frame::Tasks(api::watch::Rows { set: vec![task], gone: vec![] }),
        ] {
            let _ = update(&mut state, Input::Frame(Box::new(frame)));
        }
        keys(&mut state, "<left>");
        state
    });
    screens("detail_gone", |columns| opened(columns, "/no/such"));
}

/// A log of one task with colours, errors, and a long line.
fn with_log(columns: u16) -> State {
    let mut state = opened(columns, "/shop/web");
    let effects = keys(&mut state, "l");
    let Some(Effect::Follow(number, sources)) = effects.last() else { panic!("{effects:?}") };
    let piece = |stderr, text: &str| LogPiece {
        task: sources[0].task.clone(),
        stderr,
        text: text.into(),
        fault: None,
    };
    let lines: String = (0..60)
        .map(|n| format!("10:23:{n:02} \u{1b}[32minfo\u{1b}[0m GET /checkout {} {n}ms\n", 200 + n % 3))
        .collect();
    for piece in [
        piece(false, &lines),
        piece(true, "10:24:01 \u{1b}[31merror\u{1b}[0m timeout of upstream cart.shop\n"),
        piece(false, &format!("10:24:02 long {}\n", "abcdefghij".repeat(30))),
    ] {
        let _ = update(&mut state, Input::Log(*number, piece));
    }
    state
}

#[test]
fn on_the_least_screen() {
    for (name, typed) in
        [("list", "<esc>"), ("tasks", ""), ("versions", "<right><right>"), ("why", "<right><right><right>")]
    {
        let mut state = opened(60, "/shop/web");
        let effects = keys(&mut state, typed);
        answer_all(
            &mut state,
            effects.into_iter().filter(|effect| !matches!(effect, Effect::Forget(_))).collect(),
        );
        insta::assert_snapshot!(format!("least_{name}"), screen(&state, 60, 15));
    }
}

#[test]
fn a_log_as_it_is_found_in_and_wrapped() {
    screens("log_followed", with_log);
    screens("log_merged", |columns| {
        let mut state = opened(columns, "/shop/cart");
        let effects = keys(&mut state, "a");
        let Some(Effect::Follow(number, sources)) = effects.last() else { panic!("{effects:?}") };
        for (at, source) in sources.iter().enumerate() {
            let text = format!("10:23:{at:02} line of {}\n", source.task);
            let fault = (at == 5).then(|| "the agent does not answer".to_owned());
            let piece = LogPiece { task: source.task.clone(), stderr: source.stderr, text, fault };
            let _ = update(&mut state, Input::Log(*number, piece));
        }
        state
    });
    screens("log_without_tasks", |columns| {
        let mut state = opened(columns, "/batch/report");
        keys(&mut state, "a");
        state
    });
    screens("log_found", |columns| {
        let mut state = with_log(columns);
        keys(&mut state, "/timeout<enter>");
        state
    });
    screens("log_wrapped", |columns| {
        let mut state = with_log(columns);
        keys(&mut state, "wz");
        state
    });
    let mut state = with_log(80);
    state.options.look.ascii = true;
    insta::assert_snapshot!("log_ascii", screen(&state, 80, 24));
    assert!(screen(&state, 80, 24).is_ascii());
    state.go(Page::Services);
    keys(&mut state, "<esc><esc>");
    insta::assert_snapshot!("list_ascii", screen(&state, 80, 24));
    assert!(screen(&state, 80, 24).is_ascii());
}

#[test]
fn dialogs_and_reviews() {
    for (name, id, typed) in [
        ("scale", "/shop/web", "S"),
        ("restart", "/shop/cart", "R"),
        ("suspend", "/ping", "P"),
        ("delete", "/data/kafka", "D"),
        ("roll_back", "/shop/web", "B"),
        ("kill", "/ping", "K"),
    ] {
        let mut state = opened(120, id);
        keys(&mut state, typed);
        insta::assert_snapshot!(format!("dialog_{name}"), screen(&state, 120, 35));
    }
    let mut state = opened(120, "/shop/web");
    let edit = start_edit(&mut state);
    let changed = edit.1.replace("web:42", "web:43").replace("\"mem\": 2048", "\"mem\": 4096");
    reply(&mut state, edit.0, Ok(Value::String(changed)));
    insta::assert_snapshot!("review", screen(&state, 120, 35));
    let mut state = opened(120, "/shop/web");
    let edit = start_edit(&mut state);
    reply(&mut state, edit.0, Ok(Value::String(edit.1.replace("\"mem\": 2048", "\"mem\" 2048"))));
    insta::assert_snapshot!("review_of_no_json", screen(&state, 120, 35));
}

/// Presses `E` and answers with the definition: the number of the editor, and what is in it.
fn start_edit(state: &mut State) -> (u64, String) {
    let effects = keys(state, "E");
    let [(number, Request::Service(id))] = &asked(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(id, "/shop/web");
    let effects = reply(state, *number, Ok(json!({"app": app("shop/web:42")})));
    let [Effect::Edit(number, text, ending)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(ending, ".json");
    (*number, text.clone())
}

#[test]
fn keys_of_the_list() {
    for (typed, stands) in [
        // What needs a look first: cart is unhealthy.
        ("", "/shop"),
        ("j", "/shop/cart"),
        ("jj", "/shop/web"),
        ("G", "/batch/report"),
        ("Gg", "/shop"),
        // Folded, what is below is gone; unfolded, it is there again.
        ("hj", "/data"),
        ("hlj", "/shop/cart"),
        ("<left><right>j", "/shop/cart"),
        ("<enter>j", "/data"),
        // To the group around.
        ("jjh", "/shop"),
        // Flat, by name, and what takes most.
        ("tg", "/shop/cart"),
        ("tog", "/batch/report"),
        ("toog", "/data/kafka"),
        ("/kafka<enter>j", "/data/kafka"),
        ("/kafka<esc>j", "/shop/cart"),
        // The cursor stays on what it was on.
        ("jjo", "/shop/web"),
        ("jjt", "/shop/web"),
    ] {
        let mut state = page(120);
        keys(&mut state, typed);
        assert_eq!(at(&state), stands, "{typed}");
    }
}

#[test]
fn a_filter_takes_letters_and_is_kept() {
    let mut state = page(120);
    keys(&mut state, "/S:q1");
    assert!(types(&state) && state.dialog.is_none() && state.page == Page::Services);
    assert_eq!(state.services.table.prompt.typed, "S:q1");
    keys(&mut state, "<enter>");
    assert!(!types(&state));
    state.go(Page::Nodes);
    state.go(Page::Services);
    assert_eq!(state.services.table.prompt.typed, "S:q1");
    keys(&mut state, "<esc>");
    assert_eq!((state.services.table.prompt.typed.as_str(), state.page), ("", Page::Services));
    keys(&mut state, "<esc>");
    assert_eq!(state.page, Page::Dashboard, "then there is nothing to go back from");
}

#[test]
fn every_change_asks_first_and_sends_what_it_says() {
    let restart = Request::Restart { id: "/shop/web".into(), force: false };
    let web = || "/shop/web".to_owned();
    for (id, typed, request) in [
        (
            "/shop/web",
            "S<back><back>12<enter><enter>",
            Some(Request::Scale { id: web(), instances: 12, force: false }),
        ),
        ("/shop/web", "S<enter>", None),
        ("/shop/web", "R<enter>", None),
        ("/shop/web", "R<left><enter>", Some(restart)),
        ("/shop/web", "P<left><enter>", Some(Request::Scale { id: web(), instances: 0, force: false })),
        ("/batch/report", "P<left><enter>", None),
        ("/shop/web", "D<enter><enter>", None),
        ("/shop/web", "D/shop/web<enter><enter>", Some(Request::Delete(web()))),
        (
            "/shop/web",
            "B<left><enter>",
            Some(Request::RollBack { id: web(), version: VERSIONS[1].into(), force: false }),
        ),
        (
            "/shop/web",
            "<right><right>jB<left><enter>",
            Some(Request::RollBack { id: web(), version: VERSIONS[2].into(), force: false }),
        ),
        (
            "/shop/web",
            "K<left><enter>",
            Some(Request::Kill {
                service: web(),
                task: "shop_web.instance-0008._app.1".into(),
                scale: false,
            }),
        ),
    ] {
        let mut state = opened(120, id);
        let mut sent = Vec::new();
        for (number, request) in asked(&keys(&mut state, typed)) {
            if request.changes() {
                sent.push((number, request));
            }
        }
        if let Some(Request::Kill { task, .. }) = &request {
            let there = state.services.open.as_ref().unwrap().task(&state).unwrap();
            assert_eq!(&there.id, task);
        }
        assert_eq!(
            sent.iter().map(|(_, sent)| sent).collect::<Vec<_>>(),
            request.iter().collect::<Vec<_>>(),
            "{id} {typed}"
        );
        // An answer that fails says why.
        if let [(number, _)] = sent[..] {
            reply(&mut state, number, Err(refused("it is not allowed")));
            assert!(state.message.as_ref().unwrap().text.contains("it is not allowed"), "{typed}");
        }
    }
}

#[test]
fn nothing_is_changed_where_nothing_may_be() {
    for c in "SRBPDENK!".chars() {
        let mut state = opened(120, "/shop/web");
        state.options.read_only = true;
        let effects = press(&mut state, KeyCode::Char(c));
        assert!(effects.is_empty() && state.dialog.is_none(), "{c}");
        assert!(state.message.as_ref().unwrap().text.contains("--read-only"), "{c}");
    }
}

#[test]
fn a_roll_back_from_the_list_asks_for_the_versions_first() {
    let mut state = page(120);
    keys(&mut state, "jj");
    let effects = keys(&mut state, "B");
    let [(number, Request::Versions(id))] = &asked(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(id, "/shop/web");
    reply(&mut state, *number, Ok(json!({"versions": VERSIONS})));
    assert!(state.dialog.is_some());
    let mut state = page(120);
    keys(&mut state, "jj");
    let effects = keys(&mut state, "B");
    reply(&mut state, asked(&effects)[0].0, Err(refused("no leader")));
    assert_eq!(state.message.unwrap().text, "cannot roll back /shop/web: no leader");
}

#[test]
fn marked_services_are_restarted_together_and_never_deleted_so() {
    let mut state = page(120);
    keys(&mut state, "j  ");
    assert_eq!(state.services.table.marks.len(), 2);
    keys(&mut state, "D");
    assert!(state.dialog.is_none() && state.services.review.is_none());
    keys(&mut state, "R");
    assert!(asked(&keys(&mut state, "<enter>")).is_empty(), "Cancel is first");
    keys(&mut state, "R");
    let sent = asked(&keys(&mut state, "<tab><enter>"));
    let sent: Vec<_> = sent.into_iter().map(|(_, request)| request).collect();
    let restart = |id: &str| Request::Restart { id: id.into(), force: false };
    assert_eq!(sent, [restart("/shop/cart"), restart("/shop/web")]);
    assert!(state.services.table.marks.is_empty());
}

#[test]
fn a_definition_goes_through_the_editor_and_a_last_look() {
    let mut state = opened(120, "/shop/web");
    let (number, text) = start_edit(&mut state);
    let given: Value = serde_json::from_str(&text).unwrap();
    for key in ["version", "tasksRunning", "deployments", "versionInfo"] {
        assert!(given.get(key).is_none(), "{key} is the master's");
    }
    // Left as it was.
    reply(&mut state, number, Ok(Value::Null));
    assert!(state.services.review.is_none());
    // Changed: Cancel is first, then it is sent.
    let (number, text) = start_edit(&mut state);
    reply(&mut state, number, Ok(Value::String(text.replace("2048", "4096"))));
    assert!(asked(&keys(&mut state, "<enter>")).is_empty() && state.services.review.is_none());
    let (number, text) = start_edit(&mut state);
    reply(&mut state, number, Ok(Value::String(text.replace("2048", "4096"))));
    let sent = asked(&keys(&mut state, "<tab><enter>"));
    let [(number, Request::Replace { id, definition, force: false })] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((id.as_str(), &definition["mem"]), ("/shop/web", &json!(4096)));
    // Held by a deployment: what was typed is not lost, and can be forced.
    let locked = Failed {
        text: "the service is locked".into(),
        locked: true,
        body: json!({"details": [{"path": "/mem", "errors": ["is too much"]}]}),
        ..Failed::default()
    };
    reply(&mut state, *number, Err(locked));
    let shown = screen(&state, 120, 35);
    for says in ["the service is locked", "/mem is too much", "[ Force ]"] {
        assert!(shown.contains(says), "{says}\n{shown}");
    }
    let sent = asked(&keys(&mut state, "<tab><enter>"));
    let [(number, Request::Replace { force: true, .. })] = &sent[..] else { panic!("{sent:?}") };
    reply(&mut state, *number, Ok(json!({})));
    assert!(state.services.review.is_none());
    // What cannot be read is edited again from where it was.
    let (number, text) = start_edit(&mut state);
    let wrong = text.replace("\"cpus\":", "\"cpus\"");
    reply(&mut state, number, Ok(Value::String(wrong.clone())));
    assert!(keys(&mut state, "<tab><tab>").is_empty());
    assert!(!state.services.review.as_ref().unwrap().can_send());
    let effects = keys(&mut state, "E");
    let [Effect::Edit(number, again, _)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*again, wrong);
    // The id cannot be changed.
    reply(&mut state, *number, Ok(Value::String(text.replace("/shop/web\"", "/shop/other\""))));
    assert!(screen(&state, 120, 35).contains("cannot be changed"));
}

#[test]
fn a_new_service_is_made_of_a_template() {
    let mut state = page(120);
    let effects = keys(&mut state, "N");
    let [Effect::Edit(number, text, _)] = &effects[..] else { panic!("{effects:?}") };
    reply(&mut state, *number, Ok(Value::String(text.replace("/my-service", "/ping"))));
    assert!(screen(&state, 120, 35).contains("There is a service /ping already"));
    let sent = asked(&keys(&mut state, "<right><enter>"));
    let [(_, Request::Create(definition))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(definition["id"], "/ping");
    let effects = keys(&mut state, "N");
    let [Effect::Edit(number, ..)] = &effects[..] else { panic!("{effects:?}") };
    reply(&mut state, *number, Ok(Value::String("id: /yaml\ncmd: exec sleep 5\n".into())));
    let sent = asked(&keys(&mut state, "<right><enter>"));
    let [(_, Request::Create(definition))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*definition, json!({"id": "/yaml", "cmd": "exec sleep 5"}));
}

#[test]
fn logs_are_followed_until_one_leaves() {
    let followed = |effects: &[Effect]| -> Vec<(u64, usize)> {
        let follows = effects.iter().filter_map(|effect| match effect {
            Effect::Follow(number, sources) => Some((*number, sources.len())),
            _ => None,
        });
        follows.collect()
    };
    let mut state = opened(120, "/shop/web");
    let effects = keys(&mut state, "l");
    let [(one, 2)] = followed(&effects)[..] else { panic!("{effects:?}") };
    // All of them: the ten but for the two that are still on their way.
    let effects = keys(&mut state, "a");
    assert!(effects.contains(&Effect::Forget(one)));
    let [(all, 16)] = followed(&effects)[..] else { panic!("{effects:?}") };
    // A task that began since is followed too.
    let mut task = state.cluster.tasks_of("/shop/web").next().unwrap().as_ref().clone();
    (task.id, task.state) = ("shop_web.instance-new._app.1".into(), "TASK_RUNNING".into());
    let rows = api::watch::Rows { set: vec![task], gone: vec![] };
    let _ = update(&mut state, Input::Frame(Box::new(api::watch::Frame::Tasks(rows))));
    let effects = update(&mut state, Input::Tick(NOW + 1000));
    let [(new, 2)] = followed(&effects)[..] else { panic!("{effects:?}") };
    // Another page, and back.
    state.go(Page::Nodes);
    let effects = update(&mut state, Input::Tick(NOW + 2000));
    assert!(effects.contains(&Effect::Forget(all)) && effects.contains(&Effect::Forget(new)));
    assert!(update(&mut state, Input::Tick(NOW + 3000)).iter().all(|e| !matches!(e, Effect::Forget(_))));
    let effects = state.go(Page::Services);
    let [(again, 18)] = followed(&effects)[..] else { panic!("{effects:?}") };
    // What comes for a log that was left is for nobody.
    let piece = LogPiece { task: "x".into(), stderr: false, text: "late\n".into(), fault: None };
    let _ = update(&mut state, Input::Log(all, piece.clone()));
    assert!(!screen(&state, 120, 35).contains("late"));
    let _ = update(&mut state, Input::Log(again, piece));
    assert!(screen(&state, 120, 35).contains("late"));
    // A failure is told where the log is.
    reply(&mut state, again, Err(refused("the agent does not answer")));
    assert!(screen(&state, 120, 35).contains("the agent does not answer"));
    let effects = keys(&mut state, "<esc>");
    assert!(effects.contains(&Effect::Forget(again)));
    // Of the task that failed.
    let mut state = opened(120, "/shop/cart");
    let effects = keys(&mut state, "<right><right><right>l");
    let Some(Effect::Follow(_, sources)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(sources[0].task, "shop_cart.instance-9c1d._app.1");
    assert_eq!(state.cluster.nodes[&sources[0].node].hostname, "a07");
}

#[test]
fn a_log_is_copied_and_saved_without_colours() {
    let mut state = with_log(120);
    keys(&mut state, "k");
    let effects = keys(&mut state, "c");
    assert_eq!(effects, [Effect::Copy("10:24:01 error timeout of upstream cart.shop".into())]);
    let effects = keys(&mut state, "x");
    let [Effect::Save(number, name, text)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((name.as_str(), text.lines().count()), ("web.0008.log", 62));
    assert!(!text.contains('\u{1b}'));
    reply(&mut state, *number, Ok(json!("./web.0008.log")));
    assert_eq!(state.message.unwrap().text, "saved as ./web.0008.log");
}

#[test]
fn answers_that_fail_say_why_on_the_page() {
    let mut state = page(120);
    let effects = state.open_service("/shop/web");
    let [(number, Request::Versions(_))] = &asked(&effects)[..] else { panic!("{effects:?}") };
    reply(&mut state, *number, Err(refused("the versions are out of reach")));
    let effects = keys(&mut state, "<right>");
    let [(number, Request::Service(_))] = &asked(&effects)[..] else { panic!("{effects:?}") };
    reply(&mut state, *number, Err(refused("the definition is out of reach")));
    assert!(screen(&state, 120, 35).contains("the definition is out of reach"));
    let effects = keys(&mut state, "<right>");
    assert_eq!(asked(&effects).len(), 1, "asked again");
    reply(&mut state, asked(&effects)[0].0, Err(refused("the versions are out of reach")));
    assert!(screen(&state, 120, 35).contains("the versions are out of reach"));
}

#[test]
fn beside_the_list_tab_goes_from_one_to_the_other() {
    let mut state = opened(200, "/shop/web");
    assert!(in_detail(&state));
    keys(&mut state, "<tab>");
    assert!(!in_detail(&state));
    keys(&mut state, "k<enter>");
    assert_eq!(state.services.open.as_ref().unwrap().id, "/shop/cart");
    keys(&mut state, "<esc>");
    assert!(state.services.open.is_none() && state.page == Page::Services);
}

#[test]
fn a_new_version_is_asked_for_when_it_comes() {
    let mut state = opened(120, "/shop/web");
    let mut service = state.cluster.services["/shop/web"].as_ref().clone();
    service.version = "2026-11-22T10:23:00.000Z".into();
    let rows = api::watch::Rows { set: vec![service], gone: vec![] };
    let _ = update(&mut state, Input::Frame(Box::new(api::watch::Frame::Services(rows))));
    let effects = update(&mut state, Input::Tick(NOW + 1000));
    assert!(asked(&effects).iter().any(|(_, request)| matches!(request, Request::Versions(_))));
    assert!(
        asked(&update(&mut state, Input::Tick(NOW + 2000)))
            .iter()
            .all(|(_, r)| !matches!(r, Request::Versions(_)))
    );
}

#[test]
fn a_click_chooses_a_row_and_opens_it_and_a_tab() {
    let mut state = page(120);
    screen(&state, 120, 35);
    // Below two lines of the frame, the border and the headings.
    click(&mut state, 10, 6);
    assert_eq!(at(&state), "/shop/web");
    let effects = click(&mut state, 10, 6);
    answer_all(&mut state, effects);
    assert_eq!(state.services.open.as_ref().unwrap().id, "/shop/web");
    let shown = screen(&state, 120, 35);
    let (row, line) = shown.lines().enumerate().find(|(_, line)| line.contains(" Configuration ")).unwrap();
    let column = line.chars().position(|c| c == 'C').unwrap();
    click(&mut state, u16::try_from(column).unwrap(), u16::try_from(row).unwrap());
    assert_eq!(tab(&state), Some(Tab::Configuration));
}

#[test]
fn a_hundred_thousand_services_are_listed_and_only_those_in_sight_are_drawn() {
    let mut state = page(120);
    let set = (0..100_000)
        .map(|n| api::watch::Service {
            id: format!("/big/g{}/s{n}", n % 100),
            version: VERSIONS[0].into(),
            instances: 1,
            running: u32::from(n % 10 != 0),
            ..api::watch::Service::default()
        })
        .collect();
    let rows = api::watch::Rows { set, gone: vec![] };
    let _ = update(&mut state, Input::Frame(Box::new(api::watch::Frame::Services(rows))));
    keys(&mut state, "t/big !status:running s99<enter>");
    let shown = screen(&state, 120, 35);
    let plain = (0..100_000).filter(|n| n % 10 == 0 && format!("s{n}").contains("s99")).count();
    assert!(shown.contains(&format!("Services · {plain} of 100007")), "{shown}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn no_keys_make_the_page_fail_badly(pressed in proptest::collection::vec(proptest::sample::select(
        "jkhlgGot/aSRBPDENK!czxswnNq JK~(é1:".chars().map(KeyCode::Char)
            .chain([KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::Left, KeyCode::Right, KeyCode::PageDown])
            .collect::<Vec<_>>()), 0..60), columns in 60..220_u16, rows in 15..50_u16) {
        let mut state = with_log(columns);
        state.size = (columns, rows);
        for key in pressed {
            let effects = press(&mut state, key);
            for effect in effects {
                match effect {
                    Effect::Ask(number, Request::Versions(_)) => { reply(&mut state, number, Ok(json!({"versions": VERSIONS}))); }
                    Effect::Ask(number, _) => { reply(&mut state, number, Ok(json!({"app": app("x")}))); }
                    Effect::Edit(number, text, _) => { reply(&mut state, number, Ok(Value::String(text + " "))); }
                    _ => {}
                }
            }
            screen(&state, columns, rows);
        }
    }
}
