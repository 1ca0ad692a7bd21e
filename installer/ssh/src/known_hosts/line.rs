//! One line of a file of known hosts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::key::HostKey;
use crate::pattern::Patterns;

/// What a key is for, where it is not simply the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Revoked,
    Authority,
}

/// For whom a line is.
#[derive(Debug, Clone)]
pub(crate) enum Hosts {
    Plain(Patterns),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl Hosts {
    /// Whether it is for a name of the form that [`host_name`] gives.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Plain(patterns) => patterns.matches(name),
            Self::Hashed { salt, hash } => match Hmac::<Sha1>::new_from_slice(salt) {
                Ok(mut mac) => {
                    mac.update(name.as_bytes());
                    mac.verify_slice(hash).is_ok()
                }
                Err(_) => false,
            },
        }
    }
}

/// A line that says something.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) marker: Option<Marker>,
    pub(crate) hosts: Hosts,
    pub(crate) key: HostKey,
}

/// A line that means nothing to anybody.
pub(crate) struct Unreadable;

/// The name by which a host at a port is recorded: `host`, or `[host]:port` where it is not 22.
pub(crate) fn host_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// Reads a line; nothing for empty ones and comments.
pub(crate) fn parse(number: usize, text: &str) -> Result<Option<Line>, Unreadable> {
    let mut words = text.split([' ', '\t', '\r']).filter(|word| !word.is_empty());
    let Some(mut first) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(None) };
    let marker = match first {
        "@revoked" => Some(Marker::Revoked),
        "@cert-authority" => Some(Marker::Authority),
        // One that is not known may turn the meaning around, so nothing is taken from its line.
        _ if first.starts_with('@') => return Err(Unreadable),
        _ => None,
    };
    if marker.is_some() {
        first = words.next().ok_or(Unreadable)?;
    }
    let hosts = hosts(first)?;
    let (kind, encoded) = (words.next().ok_or(Unreadable)?, words.next().ok_or(Unreadable)?);
    let key: HostKey = format!("{kind} {encoded}").parse().map_err(|_undecodable| Unreadable)?;
    if key.kind() != kind {
        return Err(Unreadable);
    }
    Ok(Some(Line { number, marker, hosts, key }))
}

fn hosts(text: &str) -> Result<Hosts, Unreadable> {
    let Some(rest) = text.strip_prefix("|1|") else {
        return Ok(Hosts::Plain(Patterns::new(text.split(','))));
    };
    let (salt, hash) = rest.split_once('|').ok_or(Unreadable)?;
    let decode = |text| STANDARD.decode(text).map_err(|_undecodable| Unreadable);
    Ok(Hosts::Hashed { salt: decode(salt)?, hash: decode(hash)? })
}
