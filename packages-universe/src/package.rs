//! A package as it was loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::Artifact;

/// How a package is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// YAML and tera.
    Native,
    /// JSON and mustache, of the packaging versions 2.0 to 5.0.
    Old,
    /// Of the old form, without anything that runs on the cluster.
    CliOnly,
}

/// A package in one version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version: free text in packages of the old form.
    pub version: String,
    /// How late it is among the versions of its repository: the highest is installed unless another is asked for.
    pub release: u64,
    /// The packaging version: `4.0` for native ones.
    pub packaging_version: String,
    /// What it is for.
    pub description: String,
    /// Words by which it is found.
    pub tags: Vec<String>,
    /// Whether it comes first in listings.
    pub selected: bool,
    /// Whether it registers as a framework.
    pub framework: bool,
    /// The object that `describe` answers with: package, config, resource, and the template of the old form.
    pub definition: Value,
    /// The JSON Schema of its options.
    pub config: Option<Value>,
    /// What the resource file says, an empty object without one.
    pub resource: Value,
    /// What has to be there before it runs.
    pub artifacts: BTreeMap<String, Artifact>,
    /// What is shown before and after.
    pub notes: Notes,
    /// The versions from which an update to this one is possible; `*` is any.
    pub upgrades_from: Vec<String>,
    /// The versions to which an update from this one is possible; `*` is any.
    pub downgrades_to: Vec<String>,
    /// Whether it was installed, used and removed for real.
    pub tested: bool,
    /// What its defaults were seen to need in all.
    pub needs: Option<Needs>,
    /// Its web interface.
    pub web: Option<Web>,
    /// What to type next; templates over the render context.
    pub next: Vec<String>,
    /// How it is written.
    pub form: Form,
    /// The text of its template, in the language of its form.
    #[serde(skip)]
    pub template: Option<String>,
    /// The directory it was loaded from, below which its local files are.
    #[serde(skip)]
    pub base: Option<PathBuf>,
}

impl Package {
    /// Whether an update from another version to this one is declared.
    pub fn upgrades(&self, from: &str) -> bool {
        self.upgrades_from.iter().any(|version| version == "*" || version == from)
    }

    /// Whether an update from this version to another one is declared.
    pub fn downgrades(&self, to: &str) -> bool {
        self.downgrades_to.iter().any(|version| version == "*" || version == to)
    }

    /// Where the options are that may not be shown: JSON pointers into them.
    pub fn secrets(&self) -> Vec<String> {
        self.config.as_ref().map(crate::schema::secrets).unwrap_or_default()
    }
}

/// What is shown to the person who installs or removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Before an install, which is asked about then.
    pub pre_install: Option<String>,
    /// After one.
    pub post_install: Option<String>,
    /// After it was removed.
    pub post_uninstall: Option<String>,
}

/// What a package was seen to need with its defaults, all instances together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Memory in MiB.
    pub mem: f64,
    /// Processors.
    pub cpus: f64,
}

/// Where a package's web interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    /// The app, relative to the group; none when the package is a single app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Which of its ports, from 0.
    #[serde(default)]
    pub port: usize,
    /// The path there.
    #[serde(default = "root")]
    pub path: String,
}

fn root() -> String {
    "/".to_owned()
}
