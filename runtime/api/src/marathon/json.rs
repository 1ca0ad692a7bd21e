//! Reading JSON so that everything that is wrong with it is found at once and has its place.
//!
//! A value of the wrong type is a fault of the request's form (400); a value out of its range or of an unknown word is
//! one of its content (422). `null` equals absent, and what nobody asks for is ignored (§1).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::error::{ApiError, Detail};

/// Reads a request's body. Of a key that occurs twice the last value counts; nesting is limited to 127 levels.
pub fn read_json(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::Syntax(error.to_string()))
}

/// How many places an answer names: a small body must not make an answer without end.
pub(crate) const MOST_PLACES: usize = 1_000;

/// All that was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    wrong_types: RefCell<Places>,
    invalid: RefCell<Places>,
}

/// Places and what is wrong there, in the order in which they were found.
#[derive(Debug, Default)]
struct Places {
    details: Vec<Detail>,
    by_path: HashMap<String, usize>,
    unsaid: usize,
}

impl Places {
    fn add(&mut self, path: &str, error: String) {
        let path = if path.is_empty() { "/" } else { path };
        let known = self.by_path.get(path).copied();
        if let Some(detail) = known.and_then(|at| self.details.get_mut(at)) {
            if !detail.errors.contains(&error) {
                detail.errors.push(error);
            }
        } else if self.details.len() < MOST_PLACES {
            self.by_path.insert(path.to_owned(), self.details.len());
            self.details.push(Detail { path: path.to_owned(), errors: vec![error] });
        } else {
            self.unsaid += 1;
        }
    }

    fn into_details(mut self) -> Vec<Detail> {
        if self.unsaid > 0 {
            self.details
                .push(Detail { path: "/".to_owned(), errors: vec![format!("and {} more", self.unsaid)] });
        }
        self.details
    }
}

impl Problems {
    fn wrong_type(&self, path: &str, expected: &str) {
        self.wrong_types.borrow_mut().add(path, format!("error.expected.{expected}"));
    }

    /// Notes a mistake of content.
    pub(crate) fn invalid(&self, path: &str, message: impl Into<String>) {
        self.invalid.borrow_mut().add(path, message.into());
    }

    /// `value` if nothing was wrong, else the refusal. Form comes before content.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, ApiError> {
        let wrong_types = self.wrong_types.into_inner().into_details();
        let invalid = self.invalid.into_inner().into_details();
        match (wrong_types.is_empty(), invalid.is_empty()) {
            (false, _) => Err(ApiError::WrongTypes(wrong_types)),
            (true, false) => Err(ApiError::Invalid(invalid)),
            (true, true) => Ok(value),
        }
    }
}

/// One JSON object being read. Each method reads one key; what is wrong goes to the [`Problems`], and the key then
/// counts as absent.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    object: Option<&'a Map<String, Value>>,
    path: String,
    problems: &'a Problems,
}

impl<'a> Reader<'a> {
    /// A reader of `value`, which stands at `path` and should be an object.
    pub(crate) fn new(value: &'a Value, path: &str, problems: &'a Problems) -> Reader<'a> {
        if !value.is_object() {
            problems.wrong_type(path, "jsobject");
        }
        Reader { object: value.as_object(), path: path.to_owned(), problems }
    }

    /// Where `key` stands.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.path)
    }

    /// Notes a mistake in what `key` says; the empty key means the object itself.
    pub(crate) fn invalid(&self, key: &str, message: impl Into<String>) {
        let path = if key.is_empty() { self.path.clone() } else { self.path(key) };
        self.problems.invalid(&path, message);
    }

    /// The value of `key` unless it is absent or `null`.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    /// Reads `key` by `read`, which says which JSON type it wanted when it finds another.
    fn typed<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Result<T, &'static str>) -> Option<T> {
        match read(self.value(key)?) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problems.wrong_type(&self.path(key), expected);
                None
            }
        }
    }

    /// A text.
    pub(crate) fn string(&self, key: &str) -> Option<String> {
        self.typed(key, text)
    }

    /// A text that must have something in it.
    pub(crate) fn filled(&self, key: &str) -> Option<String> {
        let text = self.string(key)?;
        if text.is_empty() {
            self.invalid(key, "must not be empty");
        }
        Some(text)
    }

    /// A text that must be there and have something in it.
    pub(crate) fn required(&self, key: &str) -> String {
        if self.value(key).is_none() && self.object.is_some() {
            self.invalid(key, "is required");
        }
        self.filled(key).unwrap_or_default()
    }

    /// A boolean.
    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        self.typed(key, |value| value.as_bool().ok_or("jsboolean"))
    }

    /// A number between `min` and `max`.
    pub(crate) fn number(&self, key: &str, min: f64, max: f64) -> Option<f64> {
        let number = self.typed(key, |value| value.as_f64().ok_or("jsnumber"))?;
        if number < min {
            self.invalid(key, format!("must be at least {min}"));
        } else if number > max {
            self.invalid(key, format!("must be at most {max}"));
        }
        // Minus nothing is nothing.
        Some(number + 0.0)
    }

    /// A whole number between `min` and `max`. Form asks for one of 32 bits with a sign, content for the range.
    pub(crate) fn integer<T: TryFrom<i32>>(&self, key: &str, min: i32, max: i32) -> Option<T> {
        let number = self.typed(key, whole)?;
        if number < min {
            self.invalid(key, format!("must be at least {min}"));
        } else if number > max {
            self.invalid(key, format!("must be at most {max}"));
        }
        T::try_from(number).ok()
    }

    /// One of the words of `table`.
    pub(crate) fn choice<T: Copy>(&self, key: &str, table: &[(&str, T)]) -> Option<T> {
        let word = self.string(key)?;
        let found = table.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
            self.invalid(key, format!("must be one of {}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// The items of an array, each with its place.
    pub(crate) fn items(&self, key: &str) -> Option<Vec<Item<'a>>> {
        let array = self.typed(key, |value| value.as_array().ok_or("jsarray"))?;
        let item =
            |(at, value)| Item { value, path: format!("{}({at})", self.path(key)), problems: self.problems };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// An array of texts.
    pub(crate) fn strings(&self, key: &str) -> Option<Vec<String>> {
        Some(self.items(key)?.iter().filter_map(Item::string).collect())
    }

    /// An array of objects, each read by `read`.
    pub(crate) fn objects<T>(&self, key: &str, read: impl FnMut(Reader<'a>) -> T) -> Option<Vec<T>> {
        Some(self.items(key)?.iter().map(Item::reader).map(read).collect())
    }

    /// An object.
    pub(crate) fn object(&self, key: &str) -> Option<Reader<'a>> {
        self.value(key).map(|value| Reader::new(value, &self.path(key), self.problems))
    }

    /// The entries of an object whose keys are names, each with its place. An entry that is `null` is absent.
    pub(crate) fn entries(&self, key: &str) -> Option<Vec<(&'a str, Item<'a>)>> {
        let path = self.path(key);
        let entry = |(name, value): (&'a String, &'a Value)| {
            (name.as_str(), Item { value, path: format!("{path}/{name}"), problems: self.problems })
        };
        let object = self.object(key)?.object?;
        Some(object.iter().filter(|(_, value)| !value.is_null()).map(entry).collect())
    }

    /// An object of texts.
    pub(crate) fn string_map(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let text = |(name, item): (&str, Item<'a>)| Some((name.to_owned(), item.string()?));
        Some(self.entries(key)?.into_iter().filter_map(text).collect())
    }
}

/// One value of an array or of an object whose keys are names.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// The value itself.
    pub(crate) value: &'a Value,
    /// Where it stands.
    pub(crate) path: String,
    problems: &'a Problems,
}

impl<'a> Item<'a> {
    fn typed<T>(&self, read: impl FnOnce(&'a Value) -> Result<T, &'static str>) -> Option<T> {
        read(self.value).map_err(|expected| self.problems.wrong_type(&self.path, expected)).ok()
    }

    /// As a text.
    pub(crate) fn string(&self) -> Option<String> {
        self.typed(text)
    }

    /// As a whole number of 32 bits.
    pub(crate) fn integer(&self) -> Option<i32> {
        self.typed(whole)
    }

    /// As an array of texts.
    pub(crate) fn strings(&self) -> Option<Vec<String>> {
        let array = self.typed(|value| value.as_array().ok_or("jsarray"))?;
        let item =
            |(at, value)| Item { value, path: format!("{}({at})", self.path), problems: self.problems };
        array.iter().enumerate().map(item).map(|item| item.string()).collect()
    }

    /// As an object.
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.value, &self.path, self.problems)
    }

    /// Notes a mistake of content.
    pub(crate) fn invalid(&self, message: impl Into<String>) {
        self.problems.invalid(&self.path, message);
    }
}

fn text(value: &Value) -> Result<String, &'static str> {
    value.as_str().map(str::to_owned).ok_or("jsstring")
}

/// A whole number of 32 bits, also when it is written with a fraction of nought.
fn whole(value: &Value) -> Result<i32, &'static str> {
    let number = value.as_f64().ok_or("jsnumber")?;
    let fits = number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the range")]
    if fits { Ok(number as i32) } else { Err("int") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_json_is_refused_with_the_place() {
        for (body, text) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{\"id\": \"a\",}", "trailing comma at line 1 column 12"),
            ("{\"cpus\": NaN}", "expected value at line 1 column 10"),
            ("{\"mem\": 1e999}", "number out of range at line 1 column 13"),
            ("{\"cmd\": \"\\ud800\"}", "unexpected end of hex escape at line 1 column 16"),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(read_json(body.as_bytes()), Err(ApiError::Syntax(text.to_owned())), "{body}");
        }
        assert!(matches!(read_json(b"{\"cmd\": \"\xff\"}"), Err(ApiError::Syntax(_))));
    }

    #[test]
    fn nesting_without_end_is_refused_and_does_not_exhaust_the_stack() {
        let body = "[".repeat(1_000_000);
        let text = "recursion limit exceeded at line 1 column 128".to_owned();
        assert_eq!(read_json(body.as_bytes()), Err(ApiError::Syntax(text)));
    }

    #[test]
    fn every_wrong_type_is_found_at_its_place() {
        let value = json!({"s": 1, "n": "1", "i": 1.5, "big": 2_147_483_648_u32, "b": "true", "list": [1, "x", null],
            "map": {"a": 1, "b": null}, "object": [], "deep": [{"s": 1}], "null": null});
        let problems = Problems::default();
        let reader = Reader::new(&value, "", &problems);
        reader.string("s");
        reader.number("n", 0.0, 1.0);
        reader.integer::<i32>("i", 0, 1);
        reader.integer::<i32>("big", 0, 1);
        reader.boolean("b");
        reader.strings("list");
        reader.string_map("map");
        reader.object("object");
        reader.objects("deep", |reader| reader.string("s"));
        assert_eq!((reader.string("null"), reader.string("absent")), (None, None));
        let Err(ApiError::WrongTypes(details)) = problems.into_result(()) else { panic!("all was well") };
        let found: Vec<String> =
            details.iter().map(|d| format!("{} {}", d.path, d.errors.join(" "))).collect();
        assert_eq!(
            found,
            [
                "/s error.expected.jsstring",
                "/n error.expected.jsnumber",
                "/i error.expected.int",
                "/big error.expected.int",
                "/b error.expected.jsboolean",
                "/list(0) error.expected.jsstring",
                "/list(2) error.expected.jsstring",
                "/map/a error.expected.jsstring",
                "/object error.expected.jsobject",
                "/deep(0)/s error.expected.jsstring",
            ]
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_wrong_at_the_root() {
        let problems = Problems::default();
        Reader::new(&json!([]), "", &problems);
        let detail = Detail { path: "/".into(), errors: vec!["error.expected.jsobject".into()] };
        assert_eq!(problems.into_result(()), Err(ApiError::WrongTypes(vec![detail])));
    }
}
