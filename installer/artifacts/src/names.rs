//! Names of files: those of sources, and what they say. Pure.

/// What agents unpack.
const ARCHIVES: [&str; 9] =
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip", ".whl"];

/// Whether agents unpack a file of this name unless they are told otherwise.
pub(crate) fn is_archive(name: &str) -> bool {
    ARCHIVES.iter().any(|end| name.ends_with(end))
}

/// The name by which an agent knows how to unpack it: wheels are zip archives.
pub(crate) fn for_agents(name: String, extract: bool) -> String {
    if extract && name.ends_with(".whl") { format!("{name}.zip") } else { name }
}

/// Whether it can name a file in a directory, and a line of a checksum file.
pub(crate) fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.contains('/')
        && !name.contains(char::is_control)
}

/// The last part of an address' path, decoded.
pub(crate) fn of_url(url: &reqwest::Url) -> Option<String> {
    let last = url.path_segments()?.rfind(|part| !part.is_empty())?;
    decode(last).filter(|name| is_plain(name))
}

/// Takes `%41` for `A`; nothing when that is no text.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let [high, low, behind @ ..] = behind else { return None };
        bytes.push((hex(*high)? << 4) | hex(*low)?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// An address for messages: without user, password, query and fragment.
pub(crate) fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let plain = match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => plain.to_owned(),
    };
    let hidden = if url.contains('?') { "?…" } else { "" };
    let plain: String = plain.chars().filter(|c| !c.is_control()).take(500).collect();
    format!("{plain}{hidden}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_an_address_names_the_file() {
        for (url, expected) in [
            ("https://h/a/b.tgz", Some("b.tgz")),
            ("https://h/a/b.tgz?x=/c", Some("b.tgz")),
            ("https://h/a/b/", Some("b")),
            ("https://h/b%2Bc.zip", Some("b+c.zip")),
            ("https://h/b%2Fc", None),
            ("https://h/%ff", None),
            ("https://h/%00", None),
            ("https://h/", None),
        ] {
            let url = reqwest::Url::parse(url).unwrap();
            assert_eq!(of_url(&url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn agents_unpack_what_they_know_by_name() {
        for (name, is) in [("a.tgz", true), ("a.whl", true), ("a.jar", false), ("a.gz", false)] {
            assert_eq!(is_archive(name), is, "{name}");
        }
        assert_eq!(for_agents("a.whl".into(), true), "a.whl.zip");
        assert_eq!(for_agents("a.whl".into(), false), "a.whl");
        assert_eq!(for_agents("a.tgz".into(), true), "a.tgz");
    }

    #[test]
    fn messages_hold_no_secrets() {
        assert_eq!(shown("https://me:pw@h:1/a/b.tgz?token=x#y"), "https://h:1/a/b.tgz?…");
        assert_eq!(shown("https://h/a@b"), "https://h/a@b");
    }
}
