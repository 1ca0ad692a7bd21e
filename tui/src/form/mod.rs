//! A form made of a package's JSON Schema (`tui-design.md` §5). Pure.
//!
//! Top-level properties are sections; what is an object with properties is a group, at any depth; all else is a field. Only what
//! differs from the defaults is kept. The form judges quickly and in part; the masters judge all of it.

mod field;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use field::{FEW, Field, Hint, Kind, put_before, shown, take_before};

/// Groups below this are YAML.
const DEEPEST: usize = 12;
/// The section of options that are in none.
const GENERAL: &str = "general";

/// A part of the form, that is on the screen at once.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) rows: Vec<Row>,
}

/// A line of a section.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Row {
    /// The name of a group, and how deep it is.
    Group(String, usize),
    /// A field, by its number.
    Field(usize),
}

/// What is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// By the number of the field.
    pub(crate) at: BTreeMap<usize, String>,
    /// What belongs to no field.
    pub(crate) other: Vec<String>,
}

/// A form and what stands in it.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    schema: Value,
    defaults: Value,
    pub(crate) sections: Vec<Section>,
    pub(crate) fields: Vec<Field>,
    /// Options that have no field.
    extra: Value,
    /// What the masters said, by field, until it is changed.
    said: BTreeMap<usize, String>,
    said_other: Vec<String>,
    pub(crate) faults: Faults,
    /// Something was changed since it was made.
    pub(crate) touched: bool,
}

/// Two values together: objects name by name, all else as the right one says.
pub(crate) fn merge(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(mut left), Value::Object(right)) => {
            for (name, value) in right {
                let value = match left.remove(&name) {
                    Some(before) => merge(before, value),
                    None => value,
                };
                left.insert(name, value);
            }
            Value::Object(left)
        }
        (_, right) => right,
    }
}

/// The defaults of a schema: along `properties`, where a `default` wins over what is below it.
pub(crate) fn defaults(schema: &Value) -> Value {
    fn below(schema: &Value, depth: usize) -> Map<String, Value> {
        let mut all = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(default) = property.get("default") {
                all.insert(name.clone(), default.clone());
            } else if depth < 100 {
                let below = below(property, depth + 1);
                if !below.is_empty() {
                    all.insert(name.clone(), Value::Object(below));
                }
            }
        }
        all
    }
    Value::Object(below(schema, 0))
}

/// What of a value differs from the defaults. What a default has and the value lacks cannot be taken away, and is left out.
fn difference(defaults: &Value, value: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match defaults.get(name) {
            Some(default) if default == value => {}
            Some(default) if default.is_object() && value.is_object() => {
                let below = difference(default, value);
                if !below.is_empty() {
                    all.insert(name.clone(), Value::Object(below));
                }
            }
            _ => {
                all.insert(name.clone(), value.clone());
            }
        }
    }
    all
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(name))
}

fn put(all: &mut Value, path: &[String], value: Value) {
    let mut place = all;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return };
        place = map.entry(name.clone()).or_insert(Value::Null);
    }
    *place = value;
}

fn take(all: &mut Value, path: &[String]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    above
        .iter()
        .try_fold(all, |value, name| value.as_object_mut()?.get_mut(name))?
        .as_object_mut()?
        .remove(last)
}

pub(crate) fn to_yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_error| value.to_string())
}

fn from_yaml(text: &str) -> Result<Value, String> {
    let options = serde_yaml::options! { with_snippet: false, strict_booleans: true };
    serde_yaml::from_str_with_options::<Value>(text, options)
        .map_err(|error| error.to_string().lines().next().unwrap_or("it cannot be read").to_owned())
}

/// The names that a JSON pointer leads along.
fn names(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
}

fn requires(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)))
}

impl Form {
    /// A form for a schema, with options that hold already. Any JSON will do: what is no schema has no fields.
    pub(crate) fn new(schema: &Value, options: &Value) -> Self {
        let mut form = Self {
            schema: schema.clone(),
            defaults: defaults(schema),
            sections: Vec::new(),
            fields: Vec::new(),
            extra: Value::Object(Map::new()),
            said: BTreeMap::new(),
            said_other: Vec::new(),
            faults: Faults::default(),
            touched: false,
        };
        let mut extra = options.as_object().cloned().unwrap_or_default();
        let mut general = Section { name: GENERAL.into(), about: String::new(), rows: Vec::new() };
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let path = vec![name.clone()];
            if form.is_group(property, &path, options) {
                let about =
                    property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
                let mut section = Section { name: name.clone(), about, rows: Vec::new() };
                form.group(property, &path, options, &mut section.rows);
                form.sections.push(section);
            } else {
                let row = form.field(schema, property, path, 0);
                general.rows.push(row);
            }
        }
        if !general.rows.is_empty() {
            form.sections.insert(0, general);
        }
        for field in &mut form.fields {
            if let Some(value) = take_from(&mut extra, &field.path) {
                field.put(value);
            }
        }
        form.extra = Value::Object(extra);
        form.judge();
        form
    }

    /// Whether a property is a group of fields: what stands there must be an object, too.
    fn is_group(&self, property: &Value, path: &[String], options: &Value) -> bool {
        let object = |value: Option<&Value>| value.is_none_or(Value::is_object);
        let has = property.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        has && path.len() < DEEPEST
            && property.get("type").is_none_or(|kind| kind == "object")
            && property.get("enum").is_none()
            && property.get("secret") != Some(&Value::Bool(true))
            && object(at(&self.defaults, path))
            && object(at(options, path))
    }

    fn field(&mut self, parent: &Value, property: &Value, path: Vec<String>, depth: usize) -> Row {
        let default = at(&self.defaults, &path).cloned();
        let required = path.last().is_some_and(|name| requires(parent, name));
        self.fields.push(Field::new(property, path, depth, default, required));
        Row::Field(self.fields.len() - 1)
    }

    fn group(&mut self, schema: &Value, path: &[String], options: &Value, rows: &mut Vec<Row>) {
        let depth = path.len() - 1;
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path: Vec<String> = path.iter().chain([name]).cloned().collect();
            if self.is_group(property, &path, options) {
                rows.push(Row::Group(name.clone(), depth));
                self.group(property, &path, options, rows);
            } else {
                let row = self.field(schema, property, path, depth);
                rows.push(row);
            }
        }
    }

    fn gathered(&self, kept: impl Fn(&Field) -> Option<Value>) -> Value {
        let mut all = self.extra.clone();
        for field in &self.fields {
            if let Some(value) = kept(field) {
                put(&mut all, &field.path, value);
            }
        }
        all
    }

    /// What differs from the defaults, secrets too: for the masters alone.
    pub(crate) fn options(&self) -> Value {
        self.gathered(Field::kept)
    }

    /// The same for eyes.
    pub(crate) fn differs(&self) -> Value {
        self.gathered(Field::kept_for_eyes)
    }

    /// All as YAML, but for secrets.
    pub(crate) fn yaml(&self) -> String {
        let mut all = merge(self.defaults.clone(), self.options());
        let mut secrets = Vec::new();
        for field in self.fields.iter().filter(|field| field.hidden()) {
            take(&mut all, &field.path);
            secrets.push(field.path.join("."));
        }
        let mut text = String::from("# What is as its default is not kept.\n");
        if !secrets.is_empty() {
            text.push_str(&format!(
                "# Secret, and not shown here: {}\n",
                crate::text::clean(&secrets.join(", "))
            ));
        }
        text.push_str(&to_yaml(&all));
        text
    }

    /// Takes what came back from the editor. Secrets stay as they were, unless the text has them.
    ///
    /// # Errors
    /// When it is no YAML, or no names with values. Nothing is changed then.
    pub(crate) fn read(&mut self, text: &str) -> Result<(), String> {
        let value = match from_yaml(text)? {
            Value::Null => Value::Object(Map::new()),
            value if value.is_object() => value,
            _ => return Err("options are names with values".into()),
        };
        let mut form = Self::new(&self.schema, &Value::Object(difference(&self.defaults, &value)));
        for old in self.fields.iter().filter(|field| field.hidden()) {
            let found = form.fields.iter_mut().find(|new| new.hidden() && new.path == old.path);
            if let Some(new) = found.filter(|new| new.is_reset()) {
                *new = old.clone();
            }
        }
        form.touched = true;
        form.judge();
        *self = form;
        Ok(())
    }

    /// Changes a field.
    pub(crate) fn change(&mut self, number: usize, with: impl FnOnce(&mut Field)) {
        if let Some(field) = self.fields.get_mut(number) {
            with(field);
            self.touched = true;
            self.said.remove(&number);
            self.said_other.clear();
            self.judge();
        }
    }

    /// Finds what is wrong.
    fn judge(&mut self) {
        let mut faults = Faults { at: BTreeMap::new(), other: self.said_other.clone() };
        for (number, field) in self.fields.iter().enumerate() {
            if let Some(fault) = field.fault() {
                faults.at.insert(number, fault);
            }
        }
        let all = merge(self.defaults.clone(), self.options());
        let mut missing = Vec::new();
        lacks(&self.schema, &all, &mut Vec::new(), &mut missing);
        for path in missing {
            self.blame(&path, "is required", &mut faults);
        }
        let mut unknown = Vec::new();
        strangers(&self.schema, &self.extra, &mut Vec::new(), &mut unknown);
        faults.other.extend(unknown.iter().map(|path| format!("there is no option {}", path.join("."))));
        for (number, text) in &self.said {
            faults.at.insert(*number, text.clone());
        }
        self.faults = faults;
    }

    /// Puts a fault where it belongs: at the field, or the nearest one.
    fn blame(&self, path: &[String], text: &str, faults: &mut Faults) {
        match self.nearest(path) {
            Some(number) => {
                faults.at.entry(number).or_insert_with(|| text.to_owned());
            }
            None => {
                let name = path.join(".");
                faults.other.push(if name.is_empty() { text.to_owned() } else { format!("{name}: {text}") });
            }
        }
    }

    /// The field of that path, or of which it is a part.
    fn nearest(&self, path: &[String]) -> Option<usize> {
        self.fields.iter().position(|field| path.starts_with(&field.path))
    }

    /// Takes the masters' answer `JsonSchemaMismatch`; whether it was one.
    pub(crate) fn said(&mut self, body: &Value) -> bool {
        let errors = ["/data/errors", "/errors"].iter().find_map(|place| body.pointer(place)?.as_array());
        let Some(errors) = errors.filter(|errors| !errors.is_empty()) else { return false };
        let mut said = Faults::default();
        for error in errors {
            let pointer = error.pointer("/instance/pointer").and_then(Value::as_str).unwrap_or_default();
            let text = error.get("message").and_then(Value::as_str).unwrap_or("is not taken");
            let path = names(pointer);
            let mut told = false;
            for name in error.get("missing").and_then(Value::as_array).into_iter().flatten() {
                let path: Vec<String> =
                    path.iter().cloned().chain(name.as_str().map(str::to_owned)).collect();
                self.blame(&path, "is required", &mut said);
                told = true;
            }
            if !told {
                self.blame(&path, text, &mut said);
            }
        }
        self.said = said.at;
        self.said_other = said.other;
        self.judge();
        true
    }

    /// How many faults a section has.
    pub(crate) fn faults_in(&self, section: &Section) -> usize {
        let here = |row: &&Row| matches!(row, Row::Field(number) if self.faults.at.contains_key(number));
        section.rows.iter().filter(here).count()
    }

    /// How many there are in all.
    pub(crate) fn count(&self) -> usize {
        self.faults.at.len() + self.faults.other.len()
    }

    /// Where a field is: section and row.
    pub(crate) fn place(&self, number: usize) -> Option<(usize, usize)> {
        self.sections.iter().enumerate().find_map(|(at, section)| {
            Some((at, section.rows.iter().position(|row| *row == Row::Field(number))?))
        })
    }

    /// Required options without a default.
    pub(crate) fn needed(&self) -> usize {
        self.fields.iter().filter(|field| field.required && field.default.is_none()).count()
    }
}

/// Takes what a field holds, and the objects that are empty without it.
fn take_from(all: &mut Map<String, Value>, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return all.remove(first);
    }
    let below = all.get_mut(first)?.as_object_mut()?;
    let taken = take_from(below, rest)?;
    if below.is_empty() {
        all.remove(first);
    }
    Some(taken)
}

/// What a schema requires and the options lack. An object that is not there lacks nothing, unless it is required itself.
fn lacks(schema: &Value, value: &Value, path: &mut Vec<String>, missing: &mut Vec<Vec<String>>) {
    if path.len() > DEEPEST || !value.is_object() {
        return;
    }
    let empty = Value::Object(Map::new());
    let properties = schema.get("properties");
    let property = |name: &str| properties.and_then(|all| all.get(name));
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if value.get(name).is_some() {
            continue;
        }
        path.push(name.to_owned());
        let before = missing.len();
        if let Some(below) = property(name) {
            lacks(below, &empty, path, missing);
        }
        if missing.len() == before {
            missing.push(path.clone());
        }
        path.pop();
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        if let Some(below) = property(name) {
            path.push(name.clone());
            lacks(below, value, path, missing);
            path.pop();
        }
    }
}

/// Options that a schema forbids.
fn strangers(schema: &Value, value: &Value, path: &mut Vec<String>, unknown: &mut Vec<Vec<String>>) {
    if path.len() > DEEPEST {
        return;
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        path.push(name.clone());
        match schema.get("properties").and_then(|all| all.get(name)) {
            Some(property) => strangers(property, value, path, unknown),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                unknown.push(path.clone());
            }
            None => {}
        }
        path.pop();
    }
}
