//! A map of the document with the keys of a form: what is unknown, missing or of another kind is told here.

use crate::faults::{Faults, Problem, quoted};
use crate::form::{Form, Value};
use crate::mistake::Place;
use crate::similar::similar;
use crate::source::is_secret;
use crate::tree::{Entry, Kind, Node, Scalar};

/// What people know by another name.
const OTHER_NAMES: [(&str, &str); 18] = [
    ("ip", "address"),
    ("host", "address"),
    ("ansible_host", "address"),
    ("ansible_user", "user"),
    ("ansible_port", "port"),
    ("private_ip", "private_address"),
    ("internal_address", "private_address"),
    ("role", "roles"),
    ("nodes", "hosts"),
    ("key", "identity_file"),
    ("keyfile", "identity_file"),
    ("key_path", "identity_file"),
    ("bastion", "jump"),
    ("proxy_jump", "jump"),
    ("sudo", "become"),
    ("checksum", "sha256"),
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
];

/// The known keys of one map.
pub(crate) struct Fields<'t> {
    form: &'static Form,
    /// Where the map stands.
    pub(crate) place: Place,
    entries: &'t [Entry],
}

/// A value that was read, and where it stands.
pub(crate) struct Read<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<'t> Fields<'t> {
    /// The keys of a map. Nothing when it is none, which is among the faults then; a map without content has no keys.
    pub(crate) fn of(node: &'t Node, form: &'static Form, faults: &mut Faults<'_>) -> Option<Fields<'t>> {
        let entries: &[Entry] = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Broken => return None,
            _ if node.is_null() => &[],
            _ => {
                let message = format!("{} is a map of keys and values, not {}", form.name, node.what());
                let keys: Vec<&str> = form.keys.iter().map(|key| key.name).take(3).collect();
                let others = if form.keys.len() > keys.len() { " and others" } else { "" };
                let write = format!("write `key: value`; keys are {}{others}", keys.join(", "));
                faults.add(node.place, message, write);
                return None;
            }
        };
        let unknown_entries = entries.iter().filter(|entry| form.key(&entry.key).is_none());
        let meant: Vec<&str> = unknown_entries.filter_map(|entry| unknown(entry, form, faults)).collect();
        let fields = Fields { form, place: node.place, entries };
        let is_missing = |name: &str| fields.entry(name).is_none() && !meant.contains(&name);
        for key in form.keys.iter().filter(|key| key.is_required && is_missing(key.name)) {
            let message = format!("{} has no `{}`", form.name, key.name);
            faults.add(node.place, message, format!("write `{}: …`. {}", key.name, key.help));
        }
        Some(fields)
    }

    fn entry(&self, name: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Where the value of a key stands; the map's place when there is none.
    pub(crate) fn place_of(&self, name: &str) -> Place {
        self.entry(name).map_or(self.place, |entry| entry.value.place)
    }

    /// What stands behind a key.
    pub(crate) fn node(&self, name: &str) -> Option<&'t Node> {
        debug_assert!(self.form.key(name).is_some(), "{name} is no key of {}", self.form.name);
        self.entry(name).map(|entry| &entry.value)
    }

    /// One value, checked.
    pub(crate) fn value<T>(
        &self,
        name: &str,
        faults: &mut Faults<'_>,
        check: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Read<T>> {
        let node = self.node(name)?;
        let scalar = scalar(node, name, faults)?;
        checked(node, scalar, faults, &check)
    }

    /// One value or a list of them, checked. Wrong ones are left out.
    pub(crate) fn values<T>(
        &self,
        name: &str,
        faults: &mut Faults<'_>,
        check: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<Read<T>>> {
        let node = self.node(name)?;
        let items = match &node.kind {
            Kind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let read = |node| scalar(node, name, faults).and_then(|scalar| checked(node, scalar, faults, &check));
        Some(items.iter().filter_map(read).collect())
    }

    /// One of the words that the form has for a key.
    pub(crate) fn choice<T>(
        &self,
        name: &str,
        faults: &mut Faults<'_>,
        meaning: impl Fn(&str) -> Option<T>,
    ) -> Option<Read<T>> {
        let words = self.words(name);
        self.value(name, faults, |text| choose(text, words, &meaning))
    }

    /// Some of the words that the form has for a key.
    pub(crate) fn choices<T>(
        &self,
        name: &str,
        faults: &mut Faults<'_>,
        meaning: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<Read<T>>> {
        let words = self.words(name);
        self.values(name, faults, |text| choose(text, words, &meaning))
    }

    fn words(&self, name: &str) -> &'static [&'static str] {
        match self.form.key(name).map(|key| &key.value) {
            Some(Value::Choice(words) | Value::Some(Value::Choice(words))) => words,
            _ => &[],
        }
    }
}

/// What people call the roles elsewhere.
const OTHER_ROLES: [(&str, &str); 12] = [
    ("slave", "agent"),
    ("worker", "agent"),
    ("node", "agent"),
    ("private_agent", "agent"),
    ("slave_public", "public_agent"),
    ("public", "public_agent"),
    ("etcd", "coordinator"),
    ("zookeeper", "coordinator"),
    ("controller", "master"),
    ("manager", "master"),
    ("control-plane", "master"),
    ("leader", "master"),
];

fn choose<T>(text: &str, words: &[&'static str], meaning: impl Fn(&str) -> Option<T>) -> Result<T, Problem> {
    if let Some(value) = meaning(text) {
        return Ok(value);
    }
    let other = OTHER_ROLES
        .iter()
        .find(|(other, word)| *other == text && words.contains(word))
        .map(|(_, word)| *word);
    let near = other.or_else(|| similar(text, words.iter().copied()));
    let all = words.join("`, `");
    let write = match near {
        Some(near) => format!("did you mean `{near}`? Possible are `{all}`"),
        None => format!("write one of `{all}`"),
    };
    Err(Problem::new("is not possible here", write))
}

/// A single value; anything else is a fault.
pub(crate) fn scalar<'t>(node: &'t Node, name: &str, faults: &mut Faults<'_>) -> Option<&'t Scalar> {
    match &node.kind {
        Kind::Scalar(_) if node.is_null() => {
            faults.add(node.place, format!("`{name}` has no value"), "write one, or remove the key");
            None
        }
        Kind::Scalar(scalar) => Some(scalar),
        Kind::Broken => None,
        _ => {
            let message = format!("`{name}` is a single value, not {}", node.what());
            let write = match node.kind {
                Kind::List(_) => "write one value; a text that begins with `[` stands in quotes",
                _ => {
                    "write one value; a text that begins with `{` stands in quotes, and a variable is written `${NAME}`"
                }
            };
            faults.add(node.place, message, write);
            None
        }
    }
}

fn checked<T>(
    node: &Node,
    scalar: &Scalar,
    faults: &mut Faults<'_>,
    check: &dyn Fn(&str) -> Result<T, Problem>,
) -> Option<Read<T>> {
    match check(&scalar.text) {
        Ok(value) => Some(Read { value, place: node.place }),
        Err(problem) => {
            blame(node.place, scalar, problem, faults);
            None
        }
    }
}

/// Tells what is wrong with a value. What a variable holds is not shown: it may be secret.
pub(crate) fn blame(place: Place, scalar: &Scalar, problem: Problem, faults: &mut Faults<'_>) {
    let Problem { message, write } = problem;
    let (message, write) = if !scalar.has_variable {
        (format!("{} {message}", quoted(&scalar.text)), write)
    } else {
        // What stands behind the first words may quote a part of the value.
        let general = message.split([',', ':', ';']).next().unwrap_or_default();
        let message = format!("{}, with what the variable holds, {general}", quoted(&scalar.written));
        (message, Some("look at what the variable holds; it is not shown, since it may be secret".to_owned()))
    };
    faults.push(place, message, write);
}

/// Tells of a key with a secret behind it; false when it is none.
pub(crate) fn secret(entry: &Entry, faults: &mut Faults<'_>) -> bool {
    let is_one = is_secret(&entry.key);
    if is_one {
        let message = format!("{} stands here: secrets do not belong into an inventory", quoted(&entry.key));
        let write = "remove it, and its value from wherever this file was copied to; `password_file: PATH` names a file \
                     with the password to log in with, `--ask-pass` asks for it";
        faults.add(entry.place, message, write);
    }
    is_one
}

/// Tells of a key that the form does not have; the one that was probably meant comes back.
fn unknown(entry: &Entry, form: &Form, faults: &mut Faults<'_>) -> Option<&'static str> {
    let Entry { key, place, .. } = entry;
    if secret(entry, faults) {
        return None;
    }
    let message = format!("unknown key {} in {}", quoted(key), form.name);
    let other = OTHER_NAMES.iter().find(|(other, name)| *other == key.as_str() && form.key(name).is_some());
    let near = other.map(|(_, name)| *name).or_else(|| similar(key, form.keys.iter().map(|key| key.name)));
    let names: Vec<&str> = form.keys.iter().map(|key| key.name).collect();
    let write = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("possible are {}", names.join(", ")),
    };
    faults.add(*place, message, write);
    near
}
