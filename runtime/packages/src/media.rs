//! The media types of Cosmos' calls: one for what is sent, one per version for what is answered (interfaces/universe-cosmos.md, §3). Pure.

/// The type of every error's body.
pub(crate) const ERROR: &str = "application/vnd.dcos.package.error+json;charset=utf-8;version=v1";

/// Which types a call takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// `package` or `service`.
    pub(crate) family: &'static str,
    /// With dots, as in `repository.add`.
    pub(crate) name: &'static str,
    /// Of answers; the newest is the last.
    pub(crate) versions: &'static [&'static str],
}

/// Why a request's types were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MediaError {
    /// Of the body.
    #[error("the body has to be sent as Content-Type: {wanted}; it has {found}")]
    Sent {
        /// What is taken.
        wanted: String,
        /// What came.
        found: String,
    },
    /// Of the answer.
    #[error("the answer is given as {given}; Accept asks for {asked}")]
    Asked {
        /// All that are given.
        given: String,
        /// What was asked for.
        asked: String,
    },
}

/// A media type as it is compared: parameters in any order, blanks do not count.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    essence: String,
    charset: Option<String>,
    version: Option<String>,
    quality: u16,
}

fn parse(text: &str) -> Parsed {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut parsed = Parsed { essence, charset: None, version: None, quality: 1000 };
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match key.trim().to_ascii_lowercase().as_str() {
            "charset" => parsed.charset = Some(value),
            "version" => parsed.version = Some(value),
            "q" => parsed.quality = thousandths(&value),
            _ => {}
        }
    }
    parsed
}

/// A quality in thousandths; one that is none counts in full, as if it were not there.
fn thousandths(text: &str) -> u16 {
    text.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(1000, |q| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
        let whole = (q * 1000.0) as u16;
        whole
    })
}

impl Call {
    pub(crate) const fn package(name: &'static str, versions: &'static [&'static str]) -> Self {
        Self { family: "package", name, versions }
    }

    pub(crate) const fn service(name: &'static str) -> Self {
        Self { family: "service", name, versions: &["v1"] }
    }

    fn request(&self) -> String {
        format!("application/vnd.dcos.{}.{}-request+json;charset=utf-8;version=v1", self.family, self.name)
    }

    /// The type of an answer of this version.
    pub(crate) fn response(&self, version: &str) -> String {
        let (family, name) = (self.family, self.name);
        format!("application/vnd.dcos.{family}.{name}-response+json;charset=utf-8;version={version}")
    }

    /// Whether a body of this type is taken.
    ///
    /// # Errors
    /// What is taken instead.
    pub(crate) fn takes(&self, content_type: Option<&str>) -> Result<(), MediaError> {
        let wanted = self.request();
        let (asked, found) = (parse(&wanted), content_type.unwrap_or("none"));
        let sent = parse(found);
        let same = sent.essence == asked.essence
            && sent.version == asked.version
            && sent.charset.is_none_or(|charset| charset == "utf-8");
        if same { Ok(()) } else { Err(MediaError::Sent { wanted, found: found.to_owned() }) }
    }

    /// The version that is answered, and the answer's Content-Type: the very text that was asked for, since clients compare it. The
    /// newest where anything is taken.
    ///
    /// # Errors
    /// What is given instead.
    pub(crate) fn gives(&self, accept: Option<&str>) -> Result<(&'static str, String), MediaError> {
        let newest = self.versions.last().copied().unwrap_or("v1");
        let accept = accept.map(str::trim).filter(|accept| !accept.is_empty()).unwrap_or("*/*");
        let best = accept
            .split(',')
            .filter_map(|one| {
                let parsed = parse(one);
                if parsed.quality == 0 {
                    return None;
                }
                let quality = parsed.quality;
                if matches!(parsed.essence.as_str(), "*/*" | "application/*" | "application/json") {
                    return Some((quality, newest, self.response(newest)));
                }
                let version = self.versions.iter().copied().find(|version| {
                    let ours = parse(&self.response(version));
                    parsed.essence == ours.essence
                        && parsed.version == ours.version
                        && parsed.charset.as_deref().is_none_or(|charset| charset == "utf-8")
                })?;
                // Its parameters other than the quality are repeated byte for byte.
                let text = one.trim().split(';').filter(|part| !part.trim().starts_with("q="));
                Some((quality, version, text.collect::<Vec<_>>().join(";")))
            })
            // The first of the best: `max_by_key` takes the last.
            .fold(None::<(u16, &str, String)>, |best, one| match best {
                Some(best) if best.0 >= one.0 => Some(best),
                _ => Some(one),
            });
        best.map(|(_, version, text)| (version, text)).ok_or_else(|| MediaError::Asked {
            given: self.versions.iter().map(|version| self.response(version)).collect::<Vec<_>>().join(", "),
            asked: accept.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIBE: Call = Call::package("describe", &["v1", "v2", "v3"]);

    #[test]
    fn the_answer_has_the_very_type_that_was_asked_for() {
        for accept in [
            "application/vnd.dcos.package.describe-response+json;charset=utf-8;version=v2",
            "application/vnd.dcos.package.describe-response+json;version=v2;charset=utf-8",
            "application/vnd.dcos.package.describe-response+json; charset=utf-8; version=v2",
        ] {
            assert_eq!(DESCRIBE.gives(Some(accept)), Ok(("v2", accept.to_owned())));
        }
    }

    #[test]
    fn anything_is_the_newest() {
        let newest = Ok(("v3", DESCRIBE.response("v3")));
        for accept in [None, Some(""), Some("*/*"), Some("application/json"), Some("text/html, */*;q=0.1")] {
            assert_eq!(DESCRIBE.gives(accept), newest, "{accept:?}");
        }
    }

    #[test]
    fn of_several_the_best_counts() {
        let of = |version: &str| DESCRIBE.response(version);
        let accept = format!("{};q=0.5,{}, {};q=0.7", of("v3"), of("v9"), of("v1"));
        assert_eq!(DESCRIBE.gives(Some(&accept)), Ok(("v1", of("v1"))));
    }

    #[test]
    fn a_version_that_was_not_asked_for_is_never_given() {
        for accept in
            [DESCRIBE.response("v4"), "text/html".to_owned(), Call::package("list", &["v1"]).response("v1")]
        {
            assert!(matches!(DESCRIBE.gives(Some(&accept)), Err(MediaError::Asked { .. })), "{accept}");
        }
        assert!(DESCRIBE.gives(Some(&format!("{};q=0", DESCRIBE.response("v3")))).is_err());
    }

    #[test]
    fn a_body_of_another_call_is_not_taken() {
        let taken = "application/vnd.dcos.package.describe-request+json;charset=utf-8;version=v1";
        assert_eq!(DESCRIBE.takes(Some(taken)), Ok(()));
        assert_eq!(DESCRIBE.takes(Some(&taken.replace(';', "; "))), Ok(()));
        for other in [
            None,
            Some("application/json"),
            Some(&*taken.replace("v1", "v2")),
            Some(&*taken.replace("describe", "list")),
        ] {
            assert!(matches!(DESCRIBE.takes(other), Err(MediaError::Sent { .. })), "{other:?}");
        }
    }
}
