//! `artifacts`: where parts come from.

use crate::faults::{Faults, Problem};
use crate::fields::Fields;
use crate::form::{self, Form};
use crate::model::{Arch, Artifact, Artifacts, Origin};
use crate::names;
use crate::tree::Node;

/// A key, what may stand behind it, and what it makes.
type Kind = (&'static str, fn(&str) -> Result<String, Problem>, fn(String) -> Origin);

pub(super) fn read(node: &Node, faults: &mut Faults<'_>) -> Option<Artifacts> {
    let fields = Fields::of(node, &form::ARTIFACTS, faults)?;
    let etcd = fields.node("etcd").and_then(|node| artifact(node, &form::ANY_ORIGIN, faults));
    let arches = fields.node("clusterctl").and_then(|node| Fields::of(node, &form::ARCHES, faults));
    let mut artifacts = Artifacts { etcd, ..Artifacts::default() };
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let node = arches.as_ref().and_then(|arches| arches.node(arch.name()));
        if let Some(artifact) = node.and_then(|node| artifact(node, &form::FILE_ORIGIN, faults)) {
            artifacts.clusterctl.insert(arch, artifact);
        }
    }
    Some(artifacts)
}

/// One origin, and the checksum that an URL needs.
fn artifact(node: &Node, form: &'static Form, faults: &mut Faults<'_>) -> Option<Artifact> {
    let fields = Fields::of(node, form, faults)?;
    let mut origins = Vec::new();
    let kinds: [Kind; 4] = [
        ("file", names::path, Origin::File),
        ("url", names::url, Origin::Url),
        ("package", names::package, Origin::Package),
        ("purl", names::purl, Origin::Purl),
    ];
    let mut written = Vec::new();
    for (name, check, origin) in kinds {
        if form.key(name).is_some() && fields.has(name) {
            written.push(name);
            origins.extend(fields.value(name, faults, check).map(|read| origin(read.value)));
        }
    }
    let sha256 = fields.value("sha256", faults, names::sha256).map(|read| read.value);
    match written.as_slice() {
        [] => {
            let write = "write `{file: PATH}`, or `{url: URL, sha256: DIGITS}`";
            faults.add(fields.place, "it is not said where this artifact comes from", write);
        }
        ["url"] if !fields.has("sha256") => {
            faults.add(
                fields.place_of("url"),
                "an artifact from an URL has no `sha256`",
                "write the checksum that its makers publish: `sha256: DIGITS`",
            );
        }
        ["package"] if fields.has("sha256") => {
            faults.add(
                fields.place_of("sha256"),
                "a package has no `sha256` here",
                "remove it: the distribution signs its packages",
            );
        }
        [_] => {}
        several => {
            let message =
                format!("an artifact comes from one place, and here stand `{}`", several.join("` and `"));
            faults.add(
                fields.place_of(several.last().copied().unwrap_or_default()),
                message,
                "keep one of them",
            );
        }
    }
    Some(Artifact { origin: origins.pop()?, sha256, declared: fields.place })
}
