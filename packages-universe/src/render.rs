//! From a package and what a user asks for to the definition that services take.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::mustache::{self, MustacheError};
use crate::options::{self, OptionFaults, reference, replace};
use crate::package::{Form, Package};
use crate::template::{self, Limits, TemplateError};

/// The label with the id of the app or group that a package was installed as.
pub const LABEL_ID: &str = "CLUSTERCTL_PACKAGE_ID";
/// The label that says whose peers an app's instances are.
pub const LABEL_PEERS: &str = "CLUSTERCTL_PEERS";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The user's options.
    pub options: Value,
    /// The id of the app or group, when it is not to be the one that options or package say.
    pub id: Option<String>,
    /// The package's artifacts, as the masters hold them.
    pub artifacts: BTreeMap<String, Resolved>,
    /// The URI of the repository the package is from.
    pub source: &'a str,
}

/// An artifact that the masters hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Its checksum, in lower-case hexadecimal.
    pub sha256: String,
    /// The directory within it in which the software is; empty for its top.
    pub home: String,
    /// Its name in the sandbox.
    pub file: String,
    /// Whether agents unpack it.
    pub extract: bool,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The app or group.
    pub definition: Value,
    /// Its absolute id.
    pub id: String,
    /// The secret options that were given. Their values stand nowhere else in here.
    pub secrets: Vec<SecretOption>,
    /// All options that hold, with `{"secret": "<name>"}` where a secret one was given.
    pub options: Value,
    /// The user's options, likewise.
    pub user_options: Value,
}

impl Rendered {
    /// Whether the definition is a group.
    pub fn is_group(&self) -> bool {
        is_group(&self.definition)
    }
}

/// A secret option. In the template it stands as the secret's name, which goes into `secrets: {…: {source: …}}` of an app.
#[derive(Clone, Debug)]
pub struct SecretOption {
    /// Where it is in the options, as a JSON pointer.
    pub pointer: String,
    /// By what name it is kept in the secret store.
    pub name: String,
    /// What is to be kept there; nothing when the user named a secret that is there already.
    pub value: Option<SecretString>,
}

/// Why a package cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The options cannot be taken.
    #[error("the options cannot be taken:\n{0}")]
    Options(#[from] OptionFaults),
    /// Nothing of it runs on the cluster.
    #[error("the package has nothing that runs on the cluster")]
    CliOnly,
    /// The id is none.
    #[error("`{0}` is no id of an app or group")]
    Id(String),
    /// The artifacts are not all there.
    #[error("artifacts are not on the masters: {}", .0.join(", "))]
    Artifacts(Vec<String>),
    /// The native template.
    #[error("{file}: {source}")]
    Template {
        /// The template's file.
        file: &'static str,
        /// What is wrong.
        #[source]
        source: TemplateError,
    },
    /// The template of the old form.
    #[error("{file}: {source}")]
    Mustache {
        /// The template's file.
        file: &'static str,
        /// What is wrong.
        #[source]
        source: MustacheError,
    },
    /// What was rendered is no JSON.
    #[error("what the template makes is no JSON: line {line}, column {column}: {what}")]
    NotJson {
        /// The line of what was made, from 1.
        line: usize,
        /// The column there.
        column: usize,
        /// What was expected.
        what: String,
    },
    /// What was rendered is no object.
    #[error("what the template makes is {0}, and has to be an object")]
    NotAnObject(&'static str),
    /// Labels are not texts.
    #[error("labels have to be texts: {0}")]
    Labels(String),
    /// The package cannot be written into labels.
    #[error("the package cannot be packed: {0}")]
    Pack(#[from] std::io::Error),
}

/// The file of native templates.
pub(crate) const NATIVE_TEMPLATE: &str = "service.json.tera";
/// The file of templates of the old form.
pub(crate) const OLD_TEMPLATE: &str = "marathon.json.mustache";

/// Renders a package.
///
/// # Errors
/// When options, artifacts or template do not allow it.
pub fn render(package: &Package, request: &Request<'_>) -> Result<Rendered, RenderError> {
    let Some(template) = package.template.as_ref().filter(|_| package.form != Form::CliOnly) else {
        return Err(RenderError::CliOnly);
    };
    let mut all = options::resolve(package, &request.options)?;
    let mut user = if request.options.is_null() { json!({}) } else { request.options.clone() };
    let wanted = match &request.id {
        Some(id) => id.clone(),
        None => match all.pointer("/service/name") {
            Some(Value::String(name)) => name.clone(),
            _ => package.name.clone(),
        },
    };
    let mut id = absolute(&wanted)?;
    let secrets = take_secrets(package, &id, &mut all, &mut user);
    // Templates see names of secrets alone.
    let mut context = all.clone();
    for secret in &secrets {
        replace(&mut context, &secret.pointer, Value::String(secret.name.clone()));
    }
    let text = match package.form {
        Form::Native => native(package, template, request, &context, &id)?,
        Form::Old | Form::CliOnly => old(package, template, context)?,
    };
    let mut definition: Value = serde_json::from_str(&text).map_err(|error| RenderError::NotJson {
        line: error.line(),
        column: error.column(),
        what: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })?;
    let kind = crate::schema::kind(&definition);
    let Some(map) = definition.as_object_mut() else { return Err(RenderError::NotAnObject(kind)) };
    if package.form != Form::Native && request.id.is_none() {
        // There the template says the id.
        match map.get("id").and_then(Value::as_str) {
            Some(own) => id = absolute(own)?,
            None => return Err(RenderError::Id(map.get("id").map(Value::to_string).unwrap_or_default())),
        }
    }
    map.insert("id".to_owned(), json!(id));
    let mut labels = labels(package, &user, request.source)?;
    labels.insert(LABEL_ID.to_owned(), json!(id));
    label(&mut definition, &labels, &id, 0)?;
    Ok(Rendered { definition, id, secrets, options: all, user_options: user })
}

/// What native templates see.
fn native(
    package: &Package,
    template: &str,
    request: &Request<'_>,
    options: &Value,
    id: &str,
) -> Result<String, RenderError> {
    let missing: Vec<String> =
        package.artifacts.keys().filter(|name| !request.artifacts.contains_key(*name)).cloned().collect();
    if !missing.is_empty() {
        return Err(RenderError::Artifacts(missing));
    }
    let context = context(package, request, options, id);
    template::render(template, &context, Limits::default())
        .map_err(|source| RenderError::Template { file: NATIVE_TEMPLATE, source })
}

/// The context of native templates.
pub(crate) fn context(package: &Package, request: &Request<'_>, options: &Value, id: &str) -> Value {
    let artifacts: Map<String, Value> = request
        .artifacts
        .iter()
        .map(|(name, held)| {
            let value = json!({
                "uri": format!("artifact://sha256/{}", held.sha256), "sha256": held.sha256, "home": held.home,
                "file": held.file, "extract": held.extract,
            });
            (name.clone(), value)
        })
        .collect();
    json!({
        "options": options, "resource": package.resource, "artifacts": artifacts, "id": id,
        "package": {"name": package.name, "version": package.version},
    })
}

/// The package's `next` commands for an install. One that names what is not there is left out.
pub fn next(package: &Package, request: &Request<'_>, rendered: &Rendered) -> Vec<String> {
    let context = context(package, request, &rendered.options, &rendered.id);
    let commands = package.next.iter();
    commands.filter_map(|command| template::render_text(command, &context, Limits::default()).ok()).collect()
}

/// Renders a template of the old form. Options may be called `resource`, too; what the resource file says wins over them.
fn old(package: &Package, template: &str, context: Value) -> Result<String, RenderError> {
    let context = options::merge(context, json!({"resource": package.resource}));
    mustache::render(template, &context)
        .map_err(|source| RenderError::Mustache { file: OLD_TEMPLATE, source })
}

/// Takes the secret options out, and leaves references.
fn take_secrets(package: &Package, id: &str, all: &mut Value, user: &mut Value) -> Vec<SecretOption> {
    let mut secrets = Vec::new();
    for pointer in package.secrets() {
        let (name, value) = match all.pointer(&pointer) {
            Some(Value::String(text)) if !text.is_empty() => {
                let name = format!("{}{}", id.trim_start_matches('/'), pointer);
                (name, Some(SecretString::from(text.clone())))
            }
            Some(value) => match reference(value) {
                Some(name) => (name.to_owned(), None),
                None => continue,
            },
            None => continue,
        };
        let stored = json!({"secret": name});
        replace(all, &pointer, stored.clone());
        replace(user, &pointer, stored);
        secrets.push(SecretOption { pointer, name, value });
    }
    secrets
}

/// An id with its leading slash.
fn absolute(id: &str) -> Result<String, RenderError> {
    let inner = id.trim_matches('/');
    let plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
    };
    if inner.split('/').all(plain) { Ok(format!("/{inner}")) } else { Err(RenderError::Id(id.to_owned())) }
}

fn is_group(definition: &Value) -> bool {
    definition.get("apps").is_some_and(Value::is_array)
        || definition.get("groups").is_some_and(Value::is_array)
}

/// Puts labels on every app. They win over the template's, but for whose peers it is.
fn label(
    definition: &mut Value,
    labels: &Map<String, Value>,
    id: &str,
    depth: usize,
) -> Result<(), RenderError> {
    if is_group(definition) && depth < 64 {
        for below in ["apps", "groups"] {
            for one in definition.get_mut(below).and_then(Value::as_array_mut).into_iter().flatten() {
                // A group within may be empty, and is no app for that.
                if below == "apps" || is_group(one) {
                    label(one, labels, id, depth + 1)?;
                }
            }
        }
        return Ok(());
    }
    let Some(map) = definition.as_object_mut() else {
        return Err(RenderError::NotAnObject(crate::schema::kind(definition)));
    };
    let own = map.entry("labels").or_insert_with(|| json!({}));
    let Some(own) = own.as_object_mut() else {
        return Err(RenderError::Labels(format!("`labels` is {}", crate::schema::kind(own))));
    };
    if let Some((name, value)) = own.iter().find(|(_, value)| !value.is_string()) {
        return Err(RenderError::Labels(format!("`{name}` is {}", crate::schema::kind(value))));
    }
    own.entry(LABEL_PEERS).or_insert_with(|| json!(id));
    for (name, value) in labels {
        own.insert(name.clone(), value.clone());
    }
    Ok(())
}

/// The labels by which an installed package is found.
fn labels(package: &Package, user: &Value, source: &str) -> Result<Map<String, Value>, RenderError> {
    let labels = json!({
        "DCOS_PACKAGE_NAME": package.name,
        "DCOS_PACKAGE_VERSION": package.version,
        "DCOS_PACKAGE_SOURCE": source,
        "DCOS_PACKAGE_OPTIONS": STANDARD.encode(user.to_string()),
        "DCOS_PACKAGE_DEFINITION": pack(&package.definition)?,
    });
    Ok(labels.as_object().cloned().unwrap_or_default())
}

/// The media type of a package within the label.
const PACKAGE_TYPE: &str = "application/vnd.dcos.universe.package+json;charset=utf-8;version=v4";
/// How large a package may be that a label is unpacked to, in bytes.
const MOST_UNPACKED: u64 = 8 << 20;

/// A package's definition as the label has it.
fn pack(definition: &Value) -> Result<String, std::io::Error> {
    // No time in it, so that the same package makes the same label.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(definition.to_string().as_bytes())?;
    let data = STANDARD.encode(gzip.finish()?);
    let metadata = json!({"Content-Type": PACKAGE_TYPE, "Content-Encoding": "gzip"});
    Ok(STANDARD.encode(json!({"metadata": metadata, "data": data}).to_string()))
}

/// The definition that the label `DCOS_PACKAGE_DEFINITION` has. Nothing when it is none, or larger than packages are.
pub fn unpack(label: &str) -> Option<Value> {
    use std::io::Read as _;
    let envelope: Value = serde_json::from_slice(&STANDARD.decode(label).ok()?).ok()?;
    let data = STANDARD.decode(envelope.get("data")?.as_str()?).ok()?;
    let mut text = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(data.as_slice()).take(MOST_UNPACKED + 1);
    gzip.read_to_end(&mut text).ok()?;
    if text.len() as u64 > MOST_UNPACKED {
        return None;
    }
    serde_json::from_slice(&text).ok()
}
