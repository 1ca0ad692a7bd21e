//! Random numbers, what they are made into, and their sums. Nothing here can be printed.

use std::fmt;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// By this a scanner recognises a token that was put where it does not belong.
const PREFIX: &str = "cctl_";

/// The machine gave no random numbers.
#[derive(Debug, Clone, Error)]
#[error("this machine gives no random numbers")]
pub struct RandomError(#[from] getrandom::Error);

pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The name of a token, which is no secret: 16 digits from 0 to f.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(String);

impl TokenId {
    pub(crate) fn new() -> Result<Self, RandomError> {
        Ok(Self(to_hex(&random::<8>()?)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, TokenIdError> {
        match from_hex::<8>(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(TokenIdError),
        }
    }
}

/// A text that is no token's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the id of a token is 16 digits from 0 to f, as GET /clusterctl/v1/tokens lists it; it is not the token"
)]
pub struct TokenIdError;

/// 256 bits that are compared in constant time and not printed.
#[derive(Clone, Copy)]
pub(crate) struct Sum(pub(crate) [u8; 32]);

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Sum {}

/// The bits are a hash already.
impl Hash for Sum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A new token: 256 random bits. Since they are random, one pass of SHA-256 keeps them as well as any slow hash would.
pub(crate) fn new_token() -> Result<(SecretString, Sum), RandomError> {
    let text = SecretString::from(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?)));
    let sum = sum_of(&text);
    Ok((text, sum))
}

pub(crate) fn sum_of(token: &SecretString) -> Sum {
    Sum(Sha256::digest(token.expose_secret().as_bytes()).into())
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly so many bytes in lower-case digits.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tokens_are_the_same_and_none_is_short() {
        let (one, its_sum) = new_token().unwrap();
        let (other, other_sum) = new_token().unwrap();
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_ne!(its_sum, other_sum);
        assert_eq!(one.expose_secret().len(), PREFIX.len() + 43);
        assert_eq!(sum_of(&one), its_sum);
        assert!(!format!("{one:?} {its_sum:?}").contains(one.expose_secret()));
    }

    #[test]
    fn digits_come_back_and_nothing_else_is_taken() {
        let bytes = [0_u8, 1, 0x7f, 0x80, 0xff, 9, 10, 11];
        assert_eq!(from_hex::<8>(&to_hex(&bytes)), Some(bytes));
        for bad in
            ["", "00", "00000000000000zz", "00000000000000FF", "+0000000000000ff", "000000000000000000"]
        {
            assert_eq!(from_hex::<8>(bad), None, "{bad}");
            assert!(bad.parse::<TokenId>().is_err());
        }
    }
}
