//! Packages in our own form: YAML and tera.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{NAME_HINT, Place, Read, VERSION_HINT, is_name, is_version};
use crate::artifact;
use crate::fault::{Fault, Problem, Severity};
use crate::package::{Form, Needs, Notes, Package, Web};
use crate::render::NATIVE_TEMPLATE;
use crate::schema::{Schema, kind};

/// `package.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    name: String,
    version: String,
    description: String,
    maintainer: String,
    #[serde(default)]
    tags: Vec<String>,
    website: Option<String>,
    scm: Option<String>,
    #[serde(default)]
    licenses: Vec<License>,
    #[serde(default)]
    selected: bool,
    #[serde(default)]
    framework: bool,
    pre_install_notes: Option<String>,
    post_install_notes: Option<String>,
    post_uninstall_notes: Option<String>,
    #[serde(default)]
    upgrades_from: Vec<String>,
    #[serde(default)]
    downgrades_to: Vec<String>,
    #[serde(default)]
    tested: bool,
    needs: Option<Needs>,
    web: Option<Web>,
    #[serde(default)]
    next: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct License {
    name: String,
    url: String,
}

/// Reads one; nothing when it cannot be used.
pub(super) fn read(place: &Place<'_>, local: bool, faults: &mut Vec<Fault>) -> Option<Read> {
    let before = faults.len();
    let package = read_all(place, local, faults);
    let bad = faults.get(before..).into_iter().flatten().any(|fault| fault.severity == Severity::Error);
    package.filter(|_| !bad)
}

fn read_all(place: &Place<'_>, local: bool, faults: &mut Vec<Fault>) -> Option<Read> {
    let written = place.text("package.yaml", faults).and_then(|text| {
        let written: Written = yaml(place, "package.yaml", text, faults)?;
        let mut problems = Vec::new();
        check(&written, &mut problems);
        place.faults("package.yaml", text, problems, faults);
        Some(written)
    });
    let config = place.text("config.yaml", faults).and_then(|text| {
        let config: Value = yaml(place, "config.yaml", text, faults)?;
        let mut problems = Vec::new();
        if let Err(problem) = Schema::new(&config, &mut problems) {
            problems.push(problem);
        }
        place.faults("config.yaml", text, problems, faults);
        Some(config)
    });
    let mut artifacts = BTreeMap::new();
    let resource = place.text("resource.yaml", faults).and_then(|text| {
        let resource: Value = yaml(place, "resource.yaml", text, faults)?;
        let mut problems = Vec::new();
        if resource.is_object() {
            artifacts = artifact::read(&resource, local, &mut problems);
            images(&resource, &mut problems);
        } else {
            let what = format!("this is {}, no map", kind(&resource));
            problems.push(Problem::new(&[], what, "it has `images:` and `artifacts:`"));
        }
        place.faults("resource.yaml", text, problems, faults);
        Some(resource)
    });
    let template = place.text(NATIVE_TEMPLATE, faults).map(str::to_owned);
    if !place.files.contains_key(NATIVE_TEMPLATE) {
        let hint = "write the app or group that the package runs as, with `{{ options.… }}` where options go";
        faults.push(Fault::error(&place.name(NATIVE_TEMPLATE), None, "the file is missing", hint));
    }
    let written = written?;
    let resource = resource.unwrap_or_else(|| json!({}));
    let definition = definition(&written, config.as_ref(), &resource);
    let package = Package {
        name: written.name,
        version: written.version,
        release: 0,
        packaging_version: "4.0".to_owned(),
        description: written.description,
        tags: written.tags,
        selected: written.selected,
        framework: written.framework,
        definition,
        config,
        resource,
        artifacts,
        notes: Notes {
            pre_install: written.pre_install_notes,
            post_install: written.post_install_notes,
            post_uninstall: written.post_uninstall_notes,
        },
        upgrades_from: written.upgrades_from,
        downgrades_to: written.downgrades_to,
        tested: written.tested,
        needs: written.needs,
        web: written.web,
        next: written.next,
        form: Form::Native,
        template,
        base: None,
    };
    Some(Read { package, release: None })
}

/// A YAML file's content.
fn yaml<T: serde::de::DeserializeOwned>(
    place: &Place<'_>,
    file: &str,
    text: &str,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let options = serde_yaml::options! { with_snippet: false, strict_booleans: true };
    match serde_yaml::from_str_with_options(text, options) {
        Ok(value) => Some(value),
        Err(error) => {
            let line =
                error.location().and_then(|at| usize::try_from(at.line()).ok()).filter(|line| *line > 0);
            faults.push(Fault::error(&place.name(file), line, without_place(&error.to_string()), ""));
            None
        }
    }
}

/// A message without the place that the fault has itself, and without advice for programmers.
fn without_place(message: &str) -> String {
    let end = message.rfind(" at line ").or_else(|| message.rfind(" at ")).unwrap_or(message.len());
    let words = message.get(..end).unwrap_or(message).trim();
    words.split(", set ").next().unwrap_or(words).to_owned()
}

fn check(written: &Written, problems: &mut Vec<Problem>) {
    if !is_name(&written.name) {
        problems.push(Problem::new(
            &["name"],
            format!("`{}` is no name of a package", written.name),
            NAME_HINT,
        ));
    }
    if !is_version(&written.version) {
        problems.push(Problem::new(
            &["version"],
            format!("`{}` is no version", written.version),
            VERSION_HINT,
        ));
    }
    for tag in written.tags.iter().filter(|tag| tag.is_empty() || tag.contains(char::is_whitespace)) {
        problems.push(Problem::new(
            &["tags"],
            format!("the tag `{tag}` has blanks"),
            "write `-` between words",
        ));
    }
    if let Some(needs) = written.needs.filter(|needs| !(needs.mem > 0.0 && needs.cpus > 0.0)) {
        let what = format!("no package needs {} MiB and {} processors", needs.mem, needs.cpus);
        let hint = "write what its defaults were seen to take, all instances together";
        problems.push(Problem::new(&["needs"], what, hint));
    }
    if let Some(web) = written.web.as_ref().filter(|web| !web.path.starts_with('/')) {
        let what = format!("the path `{}` does not begin with `/`", web.path);
        problems.push(Problem::new(&["web", "path"], what, ""));
    }
}

fn images(resource: &Value, problems: &mut Vec<Problem>) {
    let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
    let fits = |value: &Value| value.is_string() || value.as_array().is_some_and(texts);
    match resource.get("images") {
        None => {}
        Some(Value::Object(images)) => {
            for (name, _) in images.iter().filter(|(_, value)| !fits(value)) {
                problems.push(Problem::new(&["images", name], format!("the image `{name}` is no URL"), ""));
            }
        }
        Some(other) => {
            problems.push(Problem::new(&["images"], format!("`images` is {}, no map", kind(other)), ""));
        }
    }
}

/// The package as Cosmos' clients know packages.
fn definition(written: &Written, config: Option<&Value>, resource: &Value) -> Value {
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            all.insert(key.to_owned(), value);
        }
    };
    put("packagingVersion", json!("4.0"));
    put("name", json!(written.name));
    put("version", json!(written.version));
    put("description", json!(written.description));
    put("maintainer", json!(written.maintainer));
    put("website", json!(written.website));
    put("scm", json!(written.scm));
    put("licenses", json!(written.licenses));
    put("selected", json!(written.selected));
    put("framework", json!(written.framework));
    put("preInstallNotes", json!(written.pre_install_notes));
    put("postInstallNotes", json!(written.post_install_notes));
    put("postUninstallNotes", json!(written.post_uninstall_notes));
    put("upgradesFrom", json!(written.upgrades_from));
    put("downgradesTo", json!(written.downgrades_to));
    put("config", json!(config));
    // Our own.
    put("needs", json!(written.needs));
    put("web", json!(written.web));
    put("tested", json!(written.tested));
    // Clients expect the list, empty or not.
    all.insert("tags".to_owned(), json!(written.tags));
    if resource.as_object().is_some_and(|map| !map.is_empty()) {
        all.insert("resource".to_owned(), resource.clone());
    }
    Value::Object(all)
}
