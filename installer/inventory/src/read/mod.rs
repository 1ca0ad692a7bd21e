//! From the document to the checked inventory, part by part; each part tells its own mistakes and goes on.

mod artifacts;
mod cluster;
pub(crate) mod hosts;
mod named;
mod ssh;

use crate::check;
use crate::faults::Faults;
use crate::fields::Fields;
use crate::form;
use crate::mistake::Mistakes;
use crate::model::{Artifacts, Inventory};
use crate::source::{Source, decode};
use crate::tree;
use ssh::Settings;

/// Reads an inventory. `name` is the file's name, for messages; `variable` says what an environment variable holds.
///
/// # Errors
/// With every mistake that is in it.
pub fn read(
    name: &str,
    bytes: &[u8],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Inventory, Mistakes> {
    let text = match decode(bytes) {
        Ok(text) => text,
        Err((place, message, write)) => {
            let lossy =
                String::from_utf8_lossy(bytes.get(..bytes.len().min(crate::MAX_BYTES)).unwrap_or_default());
            let lossy = lossy.replace("\r\n", "\n").replace('\r', "\n");
            let mistake = Source::new(name, &lossy).mistake(place, message, Some(write.to_owned()));
            return Err(Mistakes(vec![mistake]));
        }
    };
    let source = Source::new(name, &text);
    let mut faults = Faults::new(&source);
    let read = tree::compose(&text, &variable, &mut faults).and_then(|root| inventory(&root, &mut faults));
    match read {
        Some(inventory) if faults.is_empty() => Ok(Inventory { source, ..inventory }),
        _ => Err(faults.into_mistakes()),
    }
}

/// All parts. Nothing when one of them cannot be made; the faults say why.
fn inventory(root: &tree::Node, faults: &mut Faults<'_>) -> Option<Inventory> {
    let fields = Fields::of(root, &form::INVENTORY, faults)?;
    let cluster = fields.node("cluster").and_then(|node| cluster::read(node, faults));
    let defaults = match fields.node("ssh") {
        Some(node) => ssh::read(node, faults),
        None => Some(Settings::default()),
    };
    let hosts =
        fields.node("hosts").and_then(|node| hosts::read(node, &defaults.unwrap_or_default(), faults));
    let artifacts = match fields.node("artifacts") {
        Some(node) => artifacts::read(node, faults),
        None => Some(Artifacts::default()),
    };
    let hosts = hosts?;
    check::hosts(&hosts, fields.place_of("hosts"), faults);
    let hosts = hosts.into_iter().map(|entry| entry.host).collect();
    Some(Inventory { cluster: cluster?, hosts, artifacts: artifacts?, source: Source::default() })
}
