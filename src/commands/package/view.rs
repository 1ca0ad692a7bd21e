//! From the API's objects to tables. Pure.

use serde_json::Value;

use super::fit::{Fit, Want};
use super::options::Line;
use crate::table::{Cell, Table};
use crate::{text, value};

/// What a search found.
pub(super) fn found(answer: &Value, wide: bool) -> Table {
    let mut head = vec!["PACKAGE", "VERSION", "DESCRIPTION"];
    if wide {
        head.extend(["VERSIONS", "TAGS"]);
    }
    let mut table = Table::new(&head);
    for package in value::list(answer, "packages") {
        let words = |key: &str| {
            let all = package.get(key).and_then(Value::as_array).into_iter().flatten();
            all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        };
        let mut row = vec![
            Cell::plain(value::text(package, "name")),
            Cell::plain(value::text(package, "currentVersion")),
            Cell::plain(first_sentence(value::text(package, "description"))),
        ];
        if wide {
            let versions = package.get("versions").and_then(Value::as_object);
            let versions = versions.map(|versions| versions.keys().cloned().collect::<Vec<_>>().join(", "));
            row.push(Cell::or_none(versions.as_deref()));
            row.push(Cell::or_none(Some(&words("tags"))));
        }
        table.row(row);
    }
    table
}

/// What fits a line of a table.
fn first_sentence(text: &str) -> String {
    const MOST: usize = 80;
    let line = text.lines().next().unwrap_or_default();
    let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence).trim_end_matches('.');
    if sentence.chars().count() <= MOST {
        return sentence.to_owned();
    }
    format!("{}…", sentence.chars().take(MOST).collect::<String>().trim_end())
}

/// One package.
pub(super) fn described(package: &Value, versions: &[String]) -> String {
    let mut facts = Table::facts();
    let of = |key: &str| Cell::or_none(Some(value::text(package, key)));
    facts.fact("Package", of("name"));
    facts.fact("Version", of("version"));
    if !versions.is_empty() {
        facts.fact("Versions", Cell::plain(versions.join(", ")));
    }
    match package.get("tested") {
        Some(Value::Bool(true)) => facts.fact("Tested", Cell::plain("installed, used and removed for real")),
        Some(Value::Bool(false)) => {
            facts.fact("Tested", Cell::warn("untested: nobody has run it on this version of clusterctl"));
        }
        // Packages of the old form do not say.
        _ => {}
    }
    if let Some(needs) = package.get("needs").filter(|needs| !needs.is_null()) {
        let words = format!(
            "{} cpus, {}",
            value::number(needs, "cpus"),
            text::mebibytes(value::number(needs, "mem"))
        );
        facts.fact("Needs", Cell::plain(words));
    }
    if let Some(web) = package.get("web").filter(|web| !web.is_null()) {
        let app = match value::text(web, "app") {
            "" => String::new(),
            app => format!("{app}: "),
        };
        let words = format!("{app}port {}, {}", value::whole(web, "port"), value::text(web, "path"));
        facts.fact("Web", Cell::plain(words));
    }
    facts.fact("By", of("maintainer"));
    if !value::text(package, "website").is_empty() {
        facts.fact("Website", of("website"));
    }
    let mut shown = facts.render();
    let description = value::text(package, "description");
    if !description.is_empty() {
        shown.push_str(&format!("\n{}\n", text::visible(description)));
    }
    let notes = value::text(package, "preInstallNotes");
    if !notes.is_empty() {
        shown.push_str(&format!("\n{}\n", text::visible(notes)));
    }
    shown
}

/// All options.
pub(super) fn options(lines: &[Line], wide: bool) -> Table {
    let mut table = Table::new(&["OPTION", "TYPE", "DEFAULT", "DESCRIPTION"]);
    for line in lines {
        let default = match &line.default {
            Some(Value::String(text)) if text.is_empty() => "\"\"".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None if line.required => "(required)".to_owned(),
            None => String::new(),
        };
        let description = if wide { line.description.clone() } else { first_sentence(&line.description) };
        table.row(vec![
            Cell::plain(&line.path),
            Cell::or_none(Some(&line.kind)),
            Cell::or_none(Some(&default)),
            Cell::or_none(Some(&description)),
        ]);
    }
    table
}

/// What will run, what it takes, and where it fits.
pub(super) fn preview(wants: &[Want], fits: &[Fit]) -> Table {
    let mut table = Table::new(&["SERVICE", "INSTANCES", "CPUS", "MEMORY", "PORTS", "WHERE"]);
    for (want, fit) in wants.iter().zip(fits) {
        let places: Vec<String> = fit
            .places
            .iter()
            .map(|(host, count)| if *count == 1 { host.clone() } else { format!("{host} ×{count}") })
            .collect();
        let place = match &fit.missing {
            None => Cell::plain(places.join(", ")),
            Some((count, why)) => Cell::bad(format!("{count} without a place: {why}")),
        };
        table.row(vec![
            Cell::plain(&want.app),
            Cell::plain(want.instances.to_string()),
            Cell::plain(text::number(want.cpus)),
            Cell::plain(text::mebibytes(want.mem)),
            Cell::plain(want.ports.to_string()),
            place,
        ]);
    }
    table
}

/// What is installed.
pub(super) fn installed(answer: &Value) -> Table {
    let mut table = Table::new(&["ID", "PACKAGE", "VERSION", "DESCRIPTION"]);
    for package in value::list(answer, "packages") {
        let definition = package.pointer("/packageInformation/packageDefinition").unwrap_or(&Value::Null);
        table.row(vec![
            Cell::plain(value::text(package, "appId")),
            Cell::plain(value::text(definition, "name")),
            Cell::plain(value::text(definition, "version")),
            Cell::plain(first_sentence(value::text(definition, "description"))),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::super::fit;
    use super::*;

    #[test]
    fn a_preview_says_what_has_no_place() {
        let slaves = json!({ "slaves": [{
            "hostname": "10.0.0.4", "active": true,
            "resources": {"cpus": 4, "mem": 1000, "disk": 0, "gpus": 0, "ports": "[31000-31009]"},
            "used_resources": {"cpus": 0, "mem": 0, "disk": 0, "gpus": 0, "ports": "[]"},
        }]});
        let definition = json!({ "id": "/spark", "apps": [
            {"id": "master", "cpus": 0.5, "mem": 512}, {"id": "worker", "cpus": 1, "mem": 400, "instances": 2},
        ]});
        let wants = fit::wants(&definition);
        let table = preview(&wants, &fit::place(&wants, fit::free(&slaves))).render();
        insta::assert_snapshot!(strip_str(&table), @r"
        SERVICE        INSTANCES  CPUS  MEMORY   PORTS  WHERE
        /spark/master  1          0.5   512 MiB  1      10.0.0.4
        /spark/worker  2          1     400 MiB  1      1 without a place: on 10.0.0.4: memory 400 MiB wanted, 88.0 MiB free
        ");
    }

    #[test]
    fn a_package_says_whether_it_was_tried_and_what_it_needs() {
        let package = json!({
            "name": "spark", "version": "3.5", "maintainer": "us", "description": "Counts.", "tested": false,
            "needs": {"mem": 1536, "cpus": 1.5}, "web": {"app": "master", "port": 1, "path": "/"},
        });
        let shown = strip_str(&described(&package, &["3.5".to_owned()])).to_string();
        for words in ["untested", "1.5 cpus, ", "master: port 1, /"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }

    #[test]
    fn a_long_description_is_cut() {
        assert_eq!(first_sentence("Short. And more."), "Short");
        assert_eq!(first_sentence(&"x".repeat(100)).chars().count(), 81);
    }
}
