//! `${NAME}`, `${NAME:-default}` and `$$` in values.

/// What stands wrong in a value, and at which character of it, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) write: String,
}

/// A value with its variables put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    pub(crate) has_variable: bool,
}

/// Puts the values of variables in. `lookup` says what a variable holds; one that is empty counts as unset where there is a
/// default, as in a shell. What a variable holds is taken as it is: a dollar in it means nothing.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Expanded, Wrong> {
    let mut expanded = String::with_capacity(text.len());
    let mut has_variable = false;
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('$') {
        expanded.push_str(plain);
        let at = text.get(..text.len() - behind.len() - 1).unwrap_or_default().chars().count();
        let wrong =
            |message: &str, write: &str| Wrong { at, message: message.to_owned(), write: write.to_owned() };
        if let Some(behind) = behind.strip_prefix('$') {
            expanded.push('$');
            rest = behind;
            continue;
        }
        let Some(behind) = behind.strip_prefix('{') else {
            return Err(wrong(
                "a single `$` begins a variable",
                "write `$$` for a dollar, `${NAME}` for a variable",
            ));
        };
        let Some((inside, behind)) = behind.split_once('}') else {
            return Err(wrong("the variable has no closing `}`", "write `${NAME}` or `${NAME:-default}`"));
        };
        let (name, default) =
            inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        if !is_name(name) {
            let message = format!("`{name}` is no name of a variable");
            return Err(wrong(
                &message,
                "write `${NAME}` or `${NAME:-default}`; names have letters, digits and `_`",
            ));
        }
        has_variable = true;
        match (lookup(name), default) {
            (Some(value), None) => expanded.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => expanded.push_str(&value),
            (_, Some(default)) => expanded.push_str(default),
            (None, None) => {
                let message = format!("the environment variable {name} is not set");
                return Err(wrong(&message, &format!("set it, or write `${{{name}:-default}}`")));
            }
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(Expanded { text: expanded, has_variable })
}

fn is_name(name: &str) -> bool {
    let is_first = |character: char| character.is_ascii_alphabetic() || character == '_';
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.starts_with(is_first) && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$A ${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expanded) in [
            ("plain", "plain"),
            ("${A}", "one"),
            ("x-${A}-${A}", "x-one-one"),
            ("${B:-two}", "two"),
            ("${EMPTY:-two}${EMPTY}", "two"),
            ("${B:-}", ""),
            ("${A:-two}", "one"),
            ("$$A $${A}", "$A ${A}"),
            ("$$$${A}", "$${A}"),
            ("${DOLLAR}", "$A ${A}"),
        ] {
            let read = expand(text, &lookup).unwrap();
            assert_eq!(read.text, expanded, "{text}");
            assert_eq!(read.has_variable, text.replace("$$", "").contains("${"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, at, message) in [
            ("é ${B}", 2, "the environment variable B is not set"),
            ("a$", 1, "a single `$` begins a variable"),
            ("$A", 0, "a single `$` begins a variable"),
            ("${A", 0, "the variable has no closing `}`"),
            ("${A}${}", 4, "`` is no name of a variable"),
            ("${1A}", 0, "`1A` is no name of a variable"),
        ] {
            let wrong = expand(text, &lookup).unwrap_err();
            assert_eq!((wrong.at, wrong.message.as_str()), (at, message), "{text}");
        }
    }
}
