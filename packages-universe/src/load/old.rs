//! Packages in the form of the packaging versions 2.0 to 5.0: JSON and mustache.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{NAME_HINT, Place, Read, VERSION_HINT, is_name, is_version};
use crate::fault::{Fault, Problem, Severity};
use crate::package::{Form, Notes, Package};
use crate::render::OLD_TEMPLATE;
use crate::schema::{Schema, kind};

/// Since which packaging version there is a key.
const SINCE: [(&str, u8); 6] = [
    ("minDcosReleaseVersion", 3),
    ("hasKnownIssues", 3),
    ("lastUpdated", 3),
    ("upgradesFrom", 4),
    ("downgradesTo", 4),
    ("manager", 5),
];

/// Reads one from its files; nothing when it cannot be used.
pub(super) fn read(place: &Place<'_>, faults: &mut Vec<Fault>) -> Option<Read> {
    let before = faults.len();
    let read = read_all(place, faults);
    let bad = faults.get(before..).into_iter().flatten().any(|fault| fault.severity == Severity::Error);
    read.filter(|_| !bad)
}

fn read_all(place: &Place<'_>, faults: &mut Vec<Fault>) -> Option<Read> {
    let text = place.text("package.json", faults)?;
    let mut package = object(place, "package.json", text, faults)?;
    for (file, key) in [("config.json", "config"), ("resource.json", "resource"), ("command.json", "command")]
    {
        if let Some(text) = place.text(file, faults)
            && let Some(content) = object(place, file, text, faults)
        {
            package.insert(key.to_owned(), Value::Object(content));
        }
    }
    if let Some(template) = place.text(OLD_TEMPLATE, faults) {
        let encoded = STANDARD.encode(template);
        package.insert("marathon".to_owned(), json!({"v2AppMustacheTemplate": encoded}));
    }
    // The directory's name is the release.
    let number = place.directory.rsplit('/').next().and_then(|last| last.parse::<u64>().ok());
    let release = number.or_else(|| package.get("releaseVersion").and_then(Value::as_u64));
    package.insert("releaseVersion".to_owned(), json!(release.unwrap_or_default()));
    let mut problems = Vec::new();
    let read = from_definition(Value::Object(package), &mut problems);
    for mut problem in problems {
        // What is wrong with a part is said of its file.
        let file = match problem.path.first().map(String::as_str) {
            Some("config") => "config.json",
            Some("resource") => "resource.json",
            Some("command") => "command.json",
            Some("marathon") => OLD_TEMPLATE,
            _ => "package.json",
        };
        if file != "package.json" {
            problem.path.remove(0);
        }
        let text = place.files.get(file).map(|content| String::from_utf8_lossy(content)).unwrap_or_default();
        faults.push(problem.at(&place.name(file), &text));
    }
    Some(Read { package: read?.package, release })
}

/// The object in a JSON file.
fn object(place: &Place<'_>, file: &str, text: &str, faults: &mut Vec<Fault>) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        Ok(other) => {
            let what = format!("this is {}, no object", kind(&other));
            faults.push(Fault::error(&place.name(file), Some(1), what, ""));
            None
        }
        Err(error) => {
            let what = error.to_string();
            let what = format!("this is no JSON: {}", what.split(" at line ").next().unwrap_or_default());
            faults.push(Fault::error(&place.name(file), Some(error.line()), what, ""));
            None
        }
    }
}

/// Reads one from its object in an index; nothing when it cannot be used.
pub(super) fn from_definition(definition: Value, problems: &mut Vec<Problem>) -> Option<Read> {
    let before = problems.len();
    let read = read_definition(definition, problems);
    let bad = problems.get(before..).into_iter().flatten().any(|problem| problem.severity == Severity::Error);
    read.filter(|_| !bad)
}

fn read_definition(definition: Value, problems: &mut Vec<Problem>) -> Option<Read> {
    let Some(map) = definition.as_object() else {
        problems.push(Problem::new(&[], format!("a package is an object, not {}", kind(&definition)), ""));
        return None;
    };
    let mut fields = Fields { map, problems };
    let packaging_version = fields.needed("packagingVersion");
    let major: u8 = match packaging_version.as_str() {
        "2.0" => 2,
        "3.0" => 3,
        "4.0" => 4,
        "5.0" => 5,
        // That was said.
        "" => return None,
        other => {
            let what = format!("`{other}` is no packaging version");
            fields.wrong("packagingVersion", what, "they are 2.0, 3.0, 4.0 and 5.0");
            return None;
        }
    };
    let (name, version) = (fields.needed("name"), fields.needed("version"));
    if !is_name(&name) {
        fields.wrong("name", format!("`{name}` is no name of a package"), NAME_HINT);
    }
    // In 2.0 it is free text.
    if version.is_empty() || (major > 2 && !is_version(&version)) {
        fields.wrong("version", format!("`{version}` is no version"), VERSION_HINT);
    }
    let tags = fields.texts("tags");
    fields.look(major, &tags);
    let release = fields.release();
    let template = fields.template();
    if major == 2 && template.is_none() {
        fields.mild("marathon", "there is no template, which 2.0 asks for", "");
    }
    let package = Package {
        description: fields.text("description").unwrap_or_default(),
        selected: fields.flag("selected"),
        framework: fields.flag("framework"),
        resource: map.get("resource").filter(|value| value.is_object()).cloned().unwrap_or_else(|| json!({})),
        config: fields.config(),
        upgrades_from: fields.texts("upgradesFrom"),
        downgrades_to: fields.texts("downgradesTo"),
        notes: Notes {
            pre_install: fields.text("preInstallNotes"),
            post_install: fields.text("postInstallNotes"),
            post_uninstall: fields.text("postUninstallNotes"),
        },
        release: release.unwrap_or_default(),
        form: if template.is_some() { Form::Old } else { Form::CliOnly },
        name,
        version,
        packaging_version,
        tags,
        template,
        artifacts: BTreeMap::new(),
        tested: false,
        needs: None,
        web: None,
        next: Vec::new(),
        base: None,
        definition: Value::Null,
    };
    Some(Read { package: Package { definition, ..package }, release })
}

/// The keys of a package's object.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    problems: &'a mut Vec<Problem>,
}

impl Fields<'_> {
    fn wrong(&mut self, key: &str, what: impl Into<String>, hint: &str) {
        self.problems.push(Problem::new(&[key], what, hint));
    }

    fn mild(&mut self, key: &str, what: impl Into<String>, hint: &str) {
        self.problems.push(Problem::mild(&[key], what, hint));
    }

    /// What is not as the form says, but can be used.
    fn look(&mut self, major: u8, tags: &[String]) {
        for key in ["maintainer", "description"] {
            if !self.map.get(key).is_some_and(Value::is_string) {
                self.mild(key, format!("the package has no `{key}`"), "");
            }
        }
        if !self.map.contains_key("tags") {
            self.mild("tags", "the package has no `tags`", "");
        }
        for tag in tags.iter().filter(|tag| tag.is_empty() || tag.contains(char::is_whitespace)) {
            self.mild("tags", format!("the tag `{tag}` has blanks"), "write `-` between words");
        }
        for (key, since) in SINCE {
            if major < since && self.map.contains_key(key) {
                self.mild(key, format!("`{key}` is there since packaging version {since}.0"), "");
            }
        }
        let least = self.text("minDcosReleaseVersion");
        if least.is_some_and(|least| least.split('.').any(|part| part.parse::<u32>().is_err())) {
            self.mild("minDcosReleaseVersion", "this is no version of whole numbers", "for example `1.10`");
        }
        if major >= 4 && self.map.contains_key("command") {
            self.mild(
                "command",
                "command.json is not taken since 4.0",
                "put `cli.binaries` into resource.json",
            );
        }
    }

    /// A text that has to be there; empty, and a problem, when it is not.
    fn needed(&mut self, key: &str) -> String {
        match self.map.get(key) {
            Some(Value::String(text)) => return text.clone(),
            Some(other) => {
                self.wrong(key, format!("`{key}` is {}, no text", kind(other)), "put it in quotes");
            }
            None => self.wrong(key, format!("`{key}` is missing"), ""),
        }
        String::new()
    }

    fn text(&self, key: &str) -> Option<String> {
        self.map.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn flag(&self, key: &str) -> bool {
        self.map.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let list = self.map.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    }

    fn release(&mut self) -> Option<u64> {
        let value = self.map.get("releaseVersion")?;
        let release = value.as_u64();
        if release.is_none() {
            self.wrong("releaseVersion", format!("{value} is no release version"), "a whole number from 0");
        }
        release
    }

    /// The schema of the options.
    fn config(&mut self) -> Option<Value> {
        let config = self.map.get("config").filter(|value| !value.is_null())?;
        let mut inner = Vec::new();
        if let Err(problem) = Schema::new(config, &mut inner) {
            inner.push(problem);
        }
        self.problems.extend(inner.into_iter().map(|mut problem| {
            problem.path.insert(0, "config".to_owned());
            problem
        }));
        Some(config.clone())
    }

    /// The mustache template.
    fn template(&mut self) -> Option<String> {
        let encoded = self.map.get("marathon")?.get("v2AppMustacheTemplate")?.as_str()?;
        // Some wrote it over several lines.
        let encoded: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if decoded.is_none() {
            self.wrong("marathon", "the template is no text in base64", "");
        }
        decoded
    }
}
