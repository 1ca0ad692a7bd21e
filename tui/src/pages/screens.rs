//! The pages that have few keys of their own, and the frame around all of them: what is on the screen, and what keys do.

use api::watch::{Frame, Rows};
use crossterm::event::KeyCode;
use serde_json::json;

use crate::state::Page;
use crate::testing::{NOW, empty, frames, fresh, sample, screen};
use crate::theme::{Theme, Tone};
use crate::{Connection, Effect, Input, State, update};

/// The sample with masters, a past, and things that happened.
fn lively() -> State {
    let mut state = sample();
    let masters = [(1, false), (2, true), (3, false)].map(|(n, leads)| {
        json!({ "id": format!("m{n}"), "address": format!("192.0.2.{}:5050", 10 + n), "leader": leads, "certificate_days": 300 })
    });
    state.cluster.masters = json!({
        "masters": masters,
        "coordinators": [
            { "id": "m1", "address": "https://192.0.2.11:2379", "state": "leader" },
            { "id": "m2", "address": "https://192.0.2.12:2379", "state": "follower" },
            { "id": "m3", "address": "https://192.0.2.13:2379", "state": "unreachable" },
        ],
    });
    state.cluster.history = (0..45).map(|n| [0.1 + f64::from(n) / 80.0, 0.5, 0.0]).collect();
    for frame in frames() {
        let Frame::Tasks(rows) = frame else { continue };
        let mut failed = rows.set[11].clone();
        (failed.state, failed.healthy) = ("TASK_FAILED".into(), None);
        let mut back = failed.clone();
        (back.state, back.healthy) = ("TASK_RUNNING".into(), Some(true));
        for task in [failed, back] {
            state.cluster.apply(Frame::Tasks(Rows { set: vec![task], gone: vec![] }), NOW - 2000);
        }
    }
    for frame in frames() {
        let Frame::Nodes(rows) = frame else { continue };
        let mut node = rows.set[3].clone();
        node.state = "disconnected".into();
        state.cluster.apply(Frame::Nodes(Rows { set: vec![node], gone: vec![] }), NOW);
    }
    state.cluster.generation += 1;
    state
}

fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Input::Key(code.into()))
}

fn write(state: &mut State, text: &str) {
    for c in text.chars() {
        press(state, KeyCode::Char(c));
    }
}

fn screens(name: &str, make: &dyn Fn() -> State) {
    for (columns, rows) in [(80, 24), (120, 35), (200, 50)] {
        let mut state = make();
        let _ = update(&mut state, Input::Resize(columns, rows));
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), screen(&state, columns, rows));
    }
}

/// A page in every state, at every size.
fn in_all_states(page: Page) {
    let name = page.name().to_lowercase();
    let on = |mut state: State| {
        let _ = state.go(page);
        state
    };
    screens(&format!("{name}_usual"), &|| on(lively()));
    screens(&format!("{name}_empty"), &|| on(empty()));
    screens(&format!("{name}_loading"), &|| {
        let mut state = fresh();
        let _ = update(&mut state, Input::Connection(Connection::Live));
        on(state)
    });
    screens(&format!("{name}_stale"), &|| {
        let mut state = lively();
        let _ = update(&mut state, Input::Tick(NOW + 40_000));
        on(state)
    });
    screens(&format!("{name}_error"), &|| {
        let mut state = fresh();
        let _ = update(&mut state, Input::Connection(Connection::Lost("192.0.2.10:8080 refuses".into())));
        on(state)
    });
}

#[test]
fn the_dashboard_in_all_states() {
    in_all_states(Page::Dashboard);
}

#[test]
fn nodes_in_all_states() {
    in_all_states(Page::Nodes);
}

#[test]
fn deployments_in_all_states() {
    in_all_states(Page::Deployments);
}

#[test]
fn events_in_all_states() {
    in_all_states(Page::Events);
}

#[test]
fn one_node_and_the_grid() {
    screens("nodes_open", &|| {
        let mut state = lively();
        let _ = state.open_node("00000007-S7");
        state
    });
    screens("nodes_grid", &|| {
        let mut state = lively();
        let _ = state.go(Page::Nodes);
        write(&mut state, "vb");
        state
    });
}

#[test]
fn help_and_palette() {
    screens("help", &|| {
        let mut state = lively();
        let _ = state.go(Page::Nodes);
        press(&mut state, KeyCode::Char('?'));
        state
    });
    screens("palette", &|| {
        let mut state = lively();
        write(&mut state, ":service scale sh 12");
        state
    });
}

#[test]
fn ascii_is_ascii_to_the_last_cell_in_all_themes_and_sizes() {
    for (name, theme) in Theme::ALL {
        for page in [Page::Dashboard, Page::Nodes, Page::Deployments, Page::Events] {
            for (columns, rows) in [(60, 15), (80, 24), (101, 30), (161, 50), (300, 100)] {
                let mut state = lively();
                state.options.look.theme = theme;
                state.options.look.ascii = true;
                let _ = update(&mut state, Input::Resize(columns, rows));
                let _ = state.go(page);
                for keys in ["", "y", "vb", "?"] {
                    write(&mut state, keys);
                    let screen = screen(&state, columns, rows);
                    let odd: Vec<char> = screen.chars().filter(|c| !c.is_ascii()).collect();
                    assert!(odd.is_empty(), "{name} {page:?} {columns}x{rows} {keys:?}: {odd:?}\n{screen}");
                }
            }
        }
    }
    screens("dashboard_ascii", &|| {
        let mut state = lively();
        state.options.look.ascii = true;
        state
    });
}

#[test]
fn every_size_can_be_drawn() {
    for page in [Page::Dashboard, Page::Nodes, Page::Deployments, Page::Events] {
        for (columns, rows) in
            [(1, 1), (59, 15), (60, 15), (99, 16), (100, 17), (160, 28), (161, 40), (300, 100)]
        {
            let mut state = lively();
            let _ = update(&mut state, Input::Resize(columns, rows));
            let _ = state.go(page);
            screen(&state, columns, rows);
            for code in
                [KeyCode::Enter, KeyCode::Tab, KeyCode::Char('z'), KeyCode::Char('G'), KeyCode::Char('v')]
            {
                press(&mut state, code);
                screen(&state, columns, rows);
            }
        }
    }
}

#[test]
fn what_needs_attention_comes_worst_first_and_opens() {
    let mut state = lively();
    let text = screen(&state, 120, 35);
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in\n{text}"));
    assert!(place("coordinator m3") < place("/shop/cart 4/4"), "{text}");
    assert!(place("/shop/cart 4/4") < place("/data/kafka 5/6"), "{text}");
    assert!(place("/data/kafka 5/6") < place("/shop/web 8/10"), "{text}");
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page, Page::Nodes, "a coordinator is on the page of nodes");
    let mut state = lively();
    press(&mut state, KeyCode::Char('j'));
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page, Page::Services);
}

#[test]
fn panels_follow_each_other_and_one_takes_all() {
    let mut state = lively();
    press(&mut state, KeyCode::Tab);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page, Page::Deployments, "what is in progress is beside what needs attention");
    let mut state = lively();
    press(&mut state, KeyCode::Char('z'));
    let text = screen(&state, 120, 35);
    assert!(text.contains("Needs attention") && !text.contains("In progress"), "{text}");
    press(&mut state, KeyCode::Esc);
    assert!(screen(&state, 120, 35).contains("In progress"));
    assert_eq!(press(&mut state, KeyCode::Char('q')), [Effect::Quit]);
}

#[test]
fn a_deployment_is_undone_or_left_only_when_that_is_meant() {
    for (key, button) in [('U', "Undo"), ('X', "Leave it")] {
        let mut state = lively();
        let _ = state.go(Page::Deployments);
        press(&mut state, KeyCode::Char(key));
        assert_eq!(state.dialog.as_ref().map(|dialog| dialog.button), Some(button));
        assert!(press(&mut state, KeyCode::Enter).is_empty(), "Cancel is chosen first");
        assert!(state.dialog.is_none());
        press(&mut state, KeyCode::Char(key));
        press(&mut state, KeyCode::Left);
        let sent = press(&mut state, KeyCode::Enter);
        let id = "91cc2f6e-0000-4000-8000-000000000001".to_owned();
        let wanted = if key == 'U' { crate::Request::Undo(id) } else { crate::Request::Drop(id) };
        assert!(matches!(sent.as_slice(), [Effect::Ask(_, request)] if *request == wanted), "{sent:?}");
    }
    let mut state = lively();
    state.options.read_only = true;
    let _ = state.go(Page::Deployments);
    press(&mut state, KeyCode::Char('U'));
    assert!(state.dialog.is_none());
    assert_eq!(
        press(&mut state, KeyCode::Char('c')),
        [Effect::Copy("91cc2f6e-0000-4000-8000-000000000001".into())]
    );
}

#[test]
fn nodes_are_filtered_sorted_and_opened() {
    let mut state = lively();
    let _ = state.go(Page::Nodes);
    write(&mut state, "/status:unreach");
    press(&mut state, KeyCode::Enter);
    let text = screen(&state, 120, 35);
    assert!(text.contains("a19") && !text.contains("a01"), "{text}");
    press(&mut state, KeyCode::Enter);
    assert!(screen(&state, 120, 35).contains("a19 · ✖ unreachable"));
    press(&mut state, KeyCode::Esc);
    press(&mut state, KeyCode::Esc);
    assert!(screen(&state, 120, 35).contains("a01"), "the filter is gone");
    // A task on a node opens its service.
    let _ = state.open_node("00000007-S7");
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.page, Page::Services);
}

#[test]
fn events_follow_stay_are_filtered_saved_and_opened() {
    let mut state = lively();
    let _ = state.go(Page::Events);
    let all = screen(&state, 120, 35);
    assert!(all.contains("follows") && all.contains("failed on"), "{all}");
    write(&mut state, "/kind:node");
    press(&mut state, KeyCode::Enter);
    let text = screen(&state, 120, 35);
    assert!(text.contains("disconnected, was active") && !text.contains("failed on"), "{text}");
    let saved = press(&mut state, KeyCode::Char('x'));
    let Some(Effect::Save(number, name, lines)) = saved.first() else { panic!("{saved:?}") };
    assert!(name.ends_with(".jsonl"));
    assert_eq!(lines.lines().count(), 1, "what the filter lets through is saved");
    let _ = update(&mut state, Input::Answer(*number, Ok(json!("/tmp/events.jsonl"))));
    assert_eq!(state.message.as_ref().map(|message| message.tone), Some(Tone::Good));
    press(&mut state, KeyCode::Enter);
    assert_eq!((state.page, screen(&state, 120, 35).contains("a04")), (Page::Nodes, true));
}

#[test]
fn names_from_outside_cannot_speak_to_the_terminal() {
    let mut state = lively();
    for frame in frames() {
        let Frame::Nodes(rows) = frame else { continue };
        let mut node = rows.set[0].clone();
        node.hostname = "evil\u{1b}]0;x\u{7}\u{202e}".into();
        node.state = "lost\u{1b}[2J".into();
        state.cluster.apply(Frame::Nodes(Rows { set: vec![node], gone: vec![] }), NOW);
    }
    for page in [Page::Dashboard, Page::Nodes, Page::Events] {
        let _ = state.go(page);
        let text = screen(&state, 120, 35);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{page:?}");
    }
}
