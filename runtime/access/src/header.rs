//! What a request shows of its sender: `Authorization: Bearer …`, `token=…` as DC/OS' clients write it, or Basic. Pure.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretString;
use thiserror::Error;

use crate::password::MAX_PASSWORD;

/// Our tokens have 48 characters; whatever is much longer is none.
const MAX_TOKEN: usize = 512;
/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What was shown.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Token(SecretString),
    Basic { user: String, password: SecretString },
}

/// A header that cannot be read. What stood in it is not repeated, since it may be half a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum HeaderError {
    #[error("the request has several Authorization headers; send one")]
    Several,
    #[error("the Authorization header is not plain text")]
    NoText,
    #[error(
        "the Authorization header has another form than 'Bearer <token>', 'token=<token>' or 'Basic <base64>'"
    )]
    Scheme,
    #[error("the Authorization header has no token, or one that is too long or has spaces in it")]
    Token,
    #[error("the Authorization header's Basic credentials are not the base64 of 'user:password'")]
    Basic,
}

/// What the headers show; nothing when they have no such header.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Credential>, HeaderError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HeaderError::Several);
    }
    read_value(value.to_str().map_err(|_no_text| HeaderError::NoText)?).map(Some)
}

fn read_value(value: &str) -> Result<Credential, HeaderError> {
    let value = value.trim();
    if let Some((scheme, token)) = value.split_once('=')
        && scheme.eq_ignore_ascii_case("token")
    {
        return read_token(token);
    }
    let (scheme, rest) = value.split_once(' ').ok_or(HeaderError::Scheme)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        read_token(rest)
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(rest.trim()).ok_or(HeaderError::Basic)
    } else {
        Err(HeaderError::Scheme)
    }
}

fn read_token(token: &str) -> Result<Credential, HeaderError> {
    let token = token.trim();
    let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN || !plain {
        return Err(HeaderError::Token);
    }
    Ok(Credential::Token(SecretString::from(token)))
}

fn basic(text: &str) -> Option<Credential> {
    // Four characters for three bytes.
    if text.len() > 2 * MAX_PASSWORD {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credential::Basic { user: user.to_owned(), password: SecretString::from(password) })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shown(credential: Credential) -> String {
        match credential {
            Credential::Token(token) => format!("token {}", token.expose_secret()),
            Credential::Basic { user, password } => format!("{user} {}", password.expose_secret()),
        }
    }

    #[test]
    fn the_three_forms_and_their_variants_are_read() {
        for (value, wanted) in [
            ("Bearer abc", "token abc"),
            ("bearer  abc ", "token abc"),
            ("token=abc", "token abc"),
            ("Token=a.b-c=", "token a.b-c="),
            ("token= abc", "token abc"),
            // joe:pass word:1, with padding and without.
            ("Basic am9lOnBhc3Mgd29yZDox", "joe pass word:1"),
            ("BASIC am9lOng=", "joe x"),
            ("basic am9lOng", "joe x"),
            ("Basic Og==", " "),
        ] {
            assert_eq!(shown(read_value(value).unwrap()), wanted, "{value}");
        }
    }

    #[test]
    fn everything_else_is_named_and_not_repeated() {
        for (value, fault) in [
            ("", HeaderError::Scheme),
            ("canary", HeaderError::Scheme),
            ("Digest canary", HeaderError::Scheme),
            ("Bearer", HeaderError::Scheme),
            ("Bearer=canary", HeaderError::Scheme),
            ("xtoken=canary", HeaderError::Scheme),
            ("token=", HeaderError::Token),
            ("token=can ary", HeaderError::Token),
            ("Bearer can ary", HeaderError::Token),
            ("Basic canary!", HeaderError::Basic),
            // No colon.
            ("Basic Y2FuYXJ5", HeaderError::Basic),
            // No text.
            ("Basic /zo=", HeaderError::Basic),
        ] {
            let found = read_value(value).unwrap_err();
            assert_eq!(found, fault, "{value}");
            assert!(!found.to_string().contains("canary"));
        }
        assert_eq!(
            read_value(&format!("Bearer {}", "a".repeat(MAX_TOKEN + 1))).unwrap_err(),
            HeaderError::Token
        );
        assert_eq!(read_value(&format!("Basic {}", "YTph".repeat(4096))).unwrap_err(), HeaderError::Basic);
    }

    #[test]
    fn two_headers_are_one_too_many() {
        let mut headers = HeaderMap::new();
        assert!(read(&headers).unwrap().is_none());
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert!(read(&headers).unwrap().is_some());
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(read(&headers).unwrap_err(), HeaderError::Several);
    }

    #[test]
    fn credentials_are_not_printed() {
        for value in ["Bearer canary", "token=canary", "Basic am9lOmNhbmFyeQ=="] {
            assert!(!format!("{:?}", read_value(value).unwrap()).contains("canary"), "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_password_is_it_comes_through(user in "[a-z0-9]{0,20}", password in "\\PC{0,60}") {
            let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
            prop_assert_eq!(shown(read_value(&value).unwrap()), format!("{user} {password}"));
        }

        #[test]
        fn no_header_makes_it_panic(value in "(?i)(bearer |basic |token=)?\\PC{0,80}") {
            let _ = read_value(&value);
        }
    }
}
