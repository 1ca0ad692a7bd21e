//! The work, as `work.py` writes it down, and what a host is to have by it. Pure, but for the reading of files.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use installer::blob::Blob;
use installer::facts::Facts;
use installer::item::{Access, Content, Desired, Item};
use installer::phase::Phase;
use installer::probe::Look;
use installer::shell::quote;
use serde::Deserialize;

/// All that a contestant is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Work {
    pub(crate) hosts: Vec<Host>,
    pub(crate) parallel: usize,
    directory: Directory,
    file: File,
    templates: Vec<Template>,
    commands: Vec<Command>,
}

/// One host, and the directory that it is the host of.
#[derive(Debug, Deserialize)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) identity_file: PathBuf,
    pub(crate) known_hosts: PathBuf,
    pub(crate) root: String,
}

#[derive(Debug, Deserialize)]
struct Directory {
    path: String,
    mode: String,
}

#[derive(Debug, Deserialize)]
struct File {
    source: PathBuf,
    path: String,
    mode: String,
    sha256: String,
}

#[derive(Debug, Deserialize)]
struct Template {
    source: PathBuf,
    path: String,
    mode: String,
}

#[derive(Debug, Deserialize)]
struct Command {
    unless_exists: String,
    run: String,
}

/// The work with its files read, for all hosts.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) work: Work,
    blob: Arc<Blob>,
    texts: BTreeMap<PathBuf, String>,
}

impl Ready {
    /// Reads the work and what it names.
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let work: Work = serde_json::from_slice(&std::fs::read(path)?)?;
        let blob = Arc::new(Blob::open(&work.file.source)?);
        if blob.sum().as_str() != work.file.sha256 {
            return Err(format!("{} has another digest", work.file.source.display()).into());
        }
        let mut texts = BTreeMap::new();
        for template in &work.templates {
            texts.insert(template.source.clone(), std::fs::read_to_string(&template.source)?);
        }
        Ok(Self { work, blob, texts })
    }

    /// The one look: what the host is, what is there, and whose its directory is. What templates become is not known yet.
    pub(crate) fn look(&self, host: &Host) -> Result<Look, Box<dyn Error>> {
        let mut paths = vec![host.root.clone()];
        paths.extend(self.work.templates.iter().map(|template| under(host, &template.path)));
        Ok(Look { desired: self.fixed(host, "", "")?, paths, system: true, ..Look::default() })
    }

    /// All that the host is to have.
    pub(crate) fn desired(&self, host: &Host, facts: &Facts) -> Result<Desired, Box<dyn Error>> {
        let root = facts.paths.get(&host.root).ok_or("its directory is not there")?;
        let (owner, group) = (&root.access.owner, &root.access.group);
        let mut desired = self.fixed(host, owner, group)?;
        for template in &self.work.templates {
            let text = self.texts.get(&template.source).map(String::as_str).unwrap_or_default();
            let content = Content::Text(render(text, host, facts).into());
            let access = Access::of(owner, group, mode(&template.mode)?);
            let path = under(host, &template.path);
            desired.push(Phase::Distribute, Item::File { path, access, content });
        }
        Ok(desired)
    }

    /// What does not depend on facts, in an order that look and plan share. Directories above what is wanted stand before it.
    fn fixed(&self, host: &Host, owner: &str, group: &str) -> Result<Desired, Box<dyn Error>> {
        let Work { directory, file, templates, commands, .. } = &self.work;
        let mut dirs: BTreeMap<String, u32> = BTreeMap::new();
        let files = templates.iter().map(|template| &template.path).chain([&file.path, &directory.path]);
        for path in files {
            let above = Path::new(path).ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
            dirs.extend(above.map(|dir| (dir.display().to_string(), 0o755)));
        }
        dirs.insert(directory.path.clone(), mode(&directory.mode)?);
        let mut desired = Desired::default();
        let mut push = |item| desired.push(Phase::Distribute, item);
        for (path, mode) in dirs {
            let access = Access::of(owner, group, mode);
            push(Item::Dir { path: under(host, &path), access, data: false });
        }
        let access = Access::of(owner, group, mode(&file.mode)?);
        let content = Content::Blob(Arc::clone(&self.blob));
        push(Item::File { path: under(host, &file.path), access, content });
        for command in commands {
            let path = under(host, &command.unless_exists);
            push(Item::Command {
                what: command.unless_exists.clone(),
                guard: format!("[ -e {} ]", quote(&path)),
                command: format!("cd {} && {}", quote(&host.root), command.run),
            });
        }
        Ok(desired)
    }
}

fn under(host: &Host, path: &str) -> String {
    format!("{}/{path}", host.root)
}

fn mode(text: &str) -> Result<u32, Box<dyn Error>> {
    u32::from_str_radix(text, 8).map_err(|error| format!("mode {text:?}: {error}").into())
}

fn render(text: &str, host: &Host, facts: &Facts) -> String {
    let values = [
        ("node", host.name.clone()),
        ("root", host.root.clone()),
        ("address", host.address.clone()),
        ("cpus", facts.system.cpus.to_string()),
        ("memory", (facts.system.memory / 1024).to_string()),
    ];
    values
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{ {name} }}}}"), value))
}
