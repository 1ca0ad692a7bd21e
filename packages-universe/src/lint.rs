//! Says of a directory of packages all that is wrong with it.

use std::path::Path;

use serde_json::{Value, json};

use crate::fault::{Fault, Problem, line_of};
use crate::load::{self, LoadError};
use crate::mustache::MustacheError;
use crate::options::{OptionFaults, defaults, merge};
use crate::package::{Form, Package};
use crate::render::{NATIVE_TEMPLATE, OLD_TEMPLATE, RenderError, Request, Resolved, render};
use crate::schema::segments;
use crate::similar::did_you_mean;
use crate::template::{self, TemplateError};

/// Loads every package of a directory, and renders each with its defaults: artifacts have a made-up checksum, and options that
/// are required and have no default a made-up value. What it says is sorted by file and line.
///
/// # Errors
/// When the directory cannot be read.
pub fn lint(path: &Path) -> Result<Vec<Fault>, LoadError> {
    let loaded = load::directory(path)?;
    let mut faults = loaded.faults;
    if loaded.packages.is_empty() && faults.is_empty() {
        let hint = "a package is a directory with package.yaml and service.json.tera, a catalogue has <name>/<version>/ with those";
        faults.push(Fault::error(".", None, "there is no package here", hint));
    }
    for package in &loaded.packages {
        Linter::new(package, path).all(&mut faults);
    }
    faults.sort();
    faults.dedup();
    Ok(faults)
}

/// One package that could be loaded.
struct Linter<'a> {
    package: &'a Package,
    /// The package's directory, as it stands in faults: with a slash, or empty.
    before: String,
}

impl<'a> Linter<'a> {
    fn new(package: &'a Package, root: &Path) -> Self {
        let inner = package.base.as_deref().and_then(|base| base.strip_prefix(root).ok());
        let inner = inner.map(|inner| inner.display().to_string()).filter(|inner| !inner.is_empty());
        Self { package, before: inner.map(|inner| format!("{inner}/")).unwrap_or_default() }
    }

    fn native(&self) -> bool {
        self.package.form == Form::Native
    }

    fn file(&self, plain: &str) -> String {
        let ending = if self.native() { "yaml" } else { "json" };
        format!("{}{plain}.{ending}", self.before)
    }

    /// The text of one of the package's files, to find lines in it.
    fn text(&self, file: &str) -> String {
        let name = file.strip_prefix(&self.before).unwrap_or(file);
        let path = self.package.base.as_ref().map(|base| base.join(name));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    fn all(&self, faults: &mut Vec<Fault>) {
        self.place(faults);
        let options = self.options(faults);
        let before = faults.len();
        if self.native() {
            self.secrets(faults);
            self.paths(faults);
        }
        // What is not there would be said again.
        if let Some(options) = options.filter(|_| faults.len() == before) {
            self.render(&options, faults);
        }
    }

    /// In a catalogue the directories say name and version.
    fn place(&self, faults: &mut Vec<Fault>) {
        let mut parts = self.before.trim_end_matches('/').rsplit('/').filter(|part| !part.is_empty());
        let (Some(version), Some(name)) = (parts.next(), parts.next()) else { return };
        if !self.native() {
            return;
        }
        for (key, directory, written) in
            [("version", version, &self.package.version), ("name", name, &self.package.name)]
        {
            if directory != written {
                let file = self.file("package");
                let line = line_of(&self.text(&file), &[key.to_owned()]);
                let what = format!("the {key} is `{written}`, and the directory is `{directory}`");
                faults.push(Fault::error(&file, line, what, "a catalogue has <name>/<version>/"));
            }
        }
    }

    /// The defaults, judged by the schema they stand in.
    fn options(&self, faults: &mut Vec<Fault>) -> Option<Value> {
        let Some(config) = &self.package.config else { return Some(json!({})) };
        let made_up = made_up(config, 0);
        match crate::options::resolve(self.package, &made_up) {
            Ok(_) => Some(made_up),
            Err(OptionFaults::Mismatch(wrong)) => {
                let file = self.file("config");
                let text = self.text(&file);
                for fault in wrong {
                    let mut path = Vec::new();
                    for key in segments(&fault.pointer) {
                        path.extend(["properties".to_owned(), key]);
                    }
                    path.push("default".to_owned());
                    let line = line_of(&text, &path);
                    let place = fault.pointer.trim_start_matches('/').replace('/', ".");
                    let what =
                        format!("the defaults do not fit their own schema: {place}: {}", fault.message);
                    faults.push(Fault::error(&file, line, what, "write a default that the schema takes"));
                }
                None
            }
            Err(error) => {
                faults.push(Fault::error(&self.file("config"), None, error.to_string(), ""));
                None
            }
        }
    }

    /// A default that anybody can read is no secret.
    fn secrets(&self, faults: &mut Vec<Fault>) {
        let Some(config) = &self.package.config else { return };
        let defaults = defaults(config);
        for pointer in self.package.secrets() {
            let given = defaults.pointer(&pointer).is_some_and(|value| !value.is_null() && value != "");
            let mut path: Vec<&str> = Vec::new();
            let keys: Vec<String> = segments(&pointer).collect();
            for key in &keys {
                path.extend(["properties", key]);
            }
            let schema = keys.iter().try_fold(config, |at, key| at.get("properties")?.get(key));
            let file = self.file("config");
            let text = self.text(&file);
            if given {
                path.push("default");
                let what = format!("the secret option {pointer} has a default that everybody knows");
                faults.push(Problem::new(&path, what, "leave the default out, or empty").at(&file, &text));
            }
            if schema.and_then(|schema| schema.get("type")).is_some_and(|kind| kind != "string") {
                let what = format!("the secret option {pointer} is no text");
                faults.push(Problem::new(&path, what, "write `type: string`").at(&file, &text));
            }
        }
    }

    /// Options and artifacts that the template names, also where it does not come by.
    fn paths(&self, faults: &mut Vec<Fault>) {
        let Some(text) = &self.package.template else { return };
        let empty = json!({});
        let config = self.package.config.as_ref().unwrap_or(&empty);
        let artifacts: Value = self
            .package
            .artifacts
            .keys()
            .map(|name| (name.clone(), json!({})))
            .collect::<serde_json::Map<_, _>>()
            .into();
        for (line, path) in template::paths(text) {
            let mut keys = path.split('.');
            let wrong = match keys.next() {
                Some("options") => unknown_option(config, keys),
                Some("artifacts") => keys.next().filter(|key| artifacts.get(key).is_none()).map(|key| {
                    (
                        format!("there is no artifact `{key}` in resource.yaml"),
                        did_you_mean(key, self.package.artifacts.keys().map(String::as_str)),
                    )
                }),
                _ => None,
            };
            if let Some((what, hint)) = wrong {
                let file = format!("{}{NATIVE_TEMPLATE}", self.before);
                faults.push(Fault::error(&file, Some(line), format!("`{path}`: {what}"), &hint));
            }
        }
    }

    fn render(&self, options: &Value, faults: &mut Vec<Fault>) {
        let artifacts = self.package.artifacts.iter().map(|(name, artifact)| {
            let file = artifact.file_name(None);
            let extract = artifact.extracts(&file);
            (name.clone(), Resolved { sha256: "0".repeat(64), home: "home".to_owned(), file, extract })
        });
        let request =
            Request { options: options.clone(), artifacts: artifacts.collect(), ..Request::default() };
        let rendered = match render(self.package, &request) {
            Ok(rendered) => rendered,
            Err(RenderError::CliOnly) => return,
            Err(error) => {
                faults.push(self.fault(&error));
                return;
            }
        };
        if !self.native() {
            return;
        }
        let context = crate::render::context(self.package, &request, &rendered.options, &rendered.id);
        for (at, command) in self.package.next.iter().enumerate() {
            if let Err(error) = template::render_text(command, &context, template::Limits::default()) {
                let file = self.file("package");
                let line = line_of(&self.text(&file), &["next".to_owned(), at.to_string()]);
                faults.push(Fault::error(&file, line, format!("`next`: {}", said(&error).1), ""));
            }
        }
        self.web(&rendered.definition, faults);
    }

    /// The app and the port that the web address names.
    fn web(&self, definition: &Value, faults: &mut Vec<Fault>) {
        let Some(web) = &self.package.web else { return };
        let mut wrong = |key: &str, what: String, hint: &str| {
            let file = self.file("package");
            let text = self.text(&file);
            faults.push(Problem::new(&["web", key], what, hint).at(&file, &text));
        };
        let mut apps = Vec::new();
        collect_apps(definition, "", &mut apps);
        let found = match &web.app {
            Some(name) => apps.iter().find(|(id, _)| id.trim_matches('/') == name.trim_matches('/')),
            None => apps.first().filter(|_| apps.len() == 1),
        };
        let Some((_, app)) = found else {
            let names: Vec<&str> = apps.iter().map(|(id, _)| id.trim_start_matches('/')).collect();
            wrong(
                "app",
                "the web address names no app of the package".to_owned(),
                &format!("the apps are {}", names.join(", ")),
            );
            return;
        };
        let lists =
            ["/portDefinitions", "/ports", "/container/portMappings", "/container/docker/portMappings"];
        let ports =
            lists.iter().filter_map(|list| app.pointer(list)?.as_array()).map(Vec::len).max().unwrap_or(0);
        if web.port >= ports {
            wrong(
                "port",
                format!("the web address is the port {} of an app with {ports}", web.port),
                "ports count from 0",
            );
        }
    }

    /// Why a package cannot be rendered, where that stands.
    fn fault(&self, error: &RenderError) -> Fault {
        let file = format!("{}{}", self.before, if self.native() { NATIVE_TEMPLATE } else { OLD_TEMPLATE });
        match error {
            RenderError::Template { source, .. } => {
                let (line, what) = said(source);
                Fault::error(&file, line, what, "")
            }
            RenderError::Mustache { source: MustacheError::Syntax { line, what }, .. } => {
                Fault::error(&file, Some(*line), what, "")
            }
            RenderError::NotJson { line, what, .. } => {
                // Lines of what was made are those of the template only before the first tag that takes or makes lines.
                let text =
                    format!("what it makes with the defaults is no JSON: {what} (line {line} of that)");
                Fault::error(
                    &file,
                    None,
                    text,
                    "options go into quotes, lists and objects through `| json_encode`",
                )
            }
            other => Fault::error(&file, None, other.to_string(), ""),
        }
    }
}

/// The line and the words of a template's error.
fn said(error: &TemplateError) -> (Option<usize>, String) {
    match error {
        TemplateError::Wrong { line, what } => (*line, what.clone()),
        other => (None, other.to_string()),
    }
}

/// Every app with its id below the package's group.
fn collect_apps<'a>(definition: &'a Value, before: &str, apps: &mut Vec<(String, &'a Value)>) {
    let below = |key: &str| definition.get(key).and_then(Value::as_array);
    if below("apps").is_none() && below("groups").is_none() {
        apps.push((before.to_owned(), definition));
        return;
    }
    for one in below("apps").into_iter().chain(below("groups")).flatten() {
        let id = one.get("id").and_then(Value::as_str).unwrap_or_default();
        collect_apps(one, &format!("{before}/{}", id.rsplit('/').next().unwrap_or_default()), apps);
    }
}

/// What is wrong with a path of options, if the schema does not have it.
fn unknown_option<'p>(config: &Value, keys: impl Iterator<Item = &'p str>) -> Option<(String, String)> {
    let mut at = config;
    for key in keys {
        let Some(properties) = at.get("properties").and_then(Value::as_object) else {
            // Below an object without a form anything may be.
            let free = at.get("type").is_none_or(|kind| kind != "string") && at != config;
            return (!free).then(|| (format!("there is no option `{key}` in config.yaml"), String::new()));
        };
        match properties.get(key) {
            Some(next) => at = next,
            None if at.get("additionalProperties").is_some_and(Value::is_object) => return None,
            None => {
                let hint = did_you_mean(key, properties.keys().map(String::as_str));
                return Some((format!("there is no option `{key}` in config.yaml"), hint));
            }
        }
    }
    None
}

/// Values for what is required and has no default.
fn made_up(schema: &Value, depth: usize) -> Value {
    let mut all = json!({});
    let required = schema.get("required").and_then(Value::as_array);
    let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if property.get("default").is_some() || depth > 32 {
            continue;
        }
        let value = if property.get("properties").is_some() {
            let below = made_up(property, depth + 1);
            let nothing = below.as_object().is_some_and(serde_json::Map::is_empty);
            if nothing && !required.contains(&name.as_str()) {
                continue;
            }
            below
        } else if required.contains(&name.as_str()) {
            one(property)
        } else {
            continue;
        };
        all = merge(all, json!({ name: value }));
    }
    all
}

/// A value that a property may take.
fn one(property: &Value) -> Value {
    if let Some(first) = property.get("enum").and_then(|list| list.get(0)) {
        return first.clone();
    }
    let least = property.get("minimum").cloned();
    match property.get("type").and_then(Value::as_str) {
        Some("integer") => least.unwrap_or(json!(1)),
        Some("number") => least.unwrap_or(json!(1.0)),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!(
            "x".repeat(
                usize::try_from(property.get("minLength").and_then(Value::as_u64).unwrap_or(1).clamp(1, 256))
                    .unwrap_or(1)
            )
        ),
    }
}
