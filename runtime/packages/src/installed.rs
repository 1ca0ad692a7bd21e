//! What is installed: read from the labels of apps, and from nothing else (interfaces/universe-cosmos.md, §1.7). Pure.

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A definition that unpacks to more than this is no definition.
const MAX_DEFINITION: u64 = 16 << 20;

/// One installed package.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Installed {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The app, or the group of its apps.
    pub(crate) id: String,
    pub(crate) is_group: bool,
    /// The repository it came from.
    pub(crate) source: String,
    /// The user's own options.
    pub(crate) options: Value,
    /// As it was when it was installed; what is known of it otherwise.
    pub(crate) definition: Value,
    pub(crate) framework: Option<String>,
    /// It is asked to remove itself.
    pub(crate) removes_itself: bool,
}

/// All that these apps say, sorted by name and id.
pub(crate) fn installed(apps: &[Value]) -> Vec<Installed> {
    let mut found: BTreeMap<(String, String), Installed> = BTreeMap::new();
    for app in apps {
        let Some(one) = of_app(app) else { continue };
        found.entry((one.name.clone(), one.id.clone())).or_insert(one);
    }
    found.into_values().collect()
}

fn of_app(app: &Value) -> Option<Installed> {
    let id = app.get("id")?.as_str()?;
    let label = |key: &str| app.get("labels")?.get(key)?.as_str().filter(|text| !text.is_empty());
    let name = label("DCOS_PACKAGE_NAME")?.to_owned();
    let version = label("DCOS_PACKAGE_VERSION").unwrap_or_default().to_owned();
    let package_id = label("CLUSTERCTL_PACKAGE_ID").unwrap_or(id);
    let known = || json!({ "packagingVersion": "2.0", "name": name, "version": version });
    let definition = label("DCOS_PACKAGE_DEFINITION")
        .and_then(definition)
        .or_else(|| label("DCOS_PACKAGE_METADATA").and_then(object))
        .unwrap_or_else(known);
    Some(Installed {
        id: package_id.to_owned(),
        is_group: package_id != id,
        source: label("DCOS_PACKAGE_SOURCE").unwrap_or_default().to_owned(),
        options: label("DCOS_PACKAGE_OPTIONS").and_then(object).unwrap_or_else(|| json!({})),
        framework: label("DCOS_PACKAGE_FRAMEWORK_NAME").map(str::to_owned),
        removes_itself: label("DCOS_COMMONS_UNINSTALL").is_some(),
        definition,
        name,
        version,
    })
}

/// An object in base64.
fn object(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// A definition in its envelope: base64 of JSON whose data is base64 of gzipped JSON.
fn definition(text: &str) -> Option<Value> {
    let envelope = object(text)?;
    let data = STANDARD.decode(envelope.get("data")?.as_str()?).ok()?;
    let gzip = envelope.pointer("/metadata/Content-Encoding").and_then(Value::as_str) == Some("gzip");
    let mut plain = Vec::new();
    if gzip {
        flate2::read::GzDecoder::new(data.as_slice()).take(MAX_DEFINITION).read_to_end(&mut plain).ok()?;
    } else {
        plain = data;
    }
    let value: Value = serde_json::from_slice(&plain).ok()?;
    value.is_object().then_some(value)
}

impl Installed {
    /// What a list says of it.
    pub(crate) fn listed(&self) -> Value {
        let mut package = self.definition.as_object().cloned().unwrap_or_else(Map::new);
        let resource = package.remove("resource");
        for key in ["config", "marathon", "command"] {
            package.remove(key);
        }
        let mut information = json!({ "packageDefinition": package });
        if let (Some(resource), Some(information)) = (resource, information.as_object_mut()) {
            information.insert("resourceDefinition".to_owned(), resource);
        }
        json!({ "appId": self.id, "packageInformation": information })
    }

    /// A text of its definition.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.definition.get(key).and_then(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn envelope(package: &Value) -> String {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(package.to_string().as_bytes()).unwrap();
        let data = STANDARD.encode(gzip.finish().unwrap());
        STANDARD.encode(json!({ "metadata": { "Content-Encoding": "gzip" }, "data": data }).to_string())
    }

    #[test]
    fn a_package_is_found_by_its_labels_once() {
        let definition =
            envelope(&json!({ "name": "spark", "version": "3", "resource": { "images": {} }, "config": {} }));
        let options = STANDARD.encode(r#"{"workers":2}"#);
        let of = |id: &str| {
            json!({ "id": id, "labels": {
                "DCOS_PACKAGE_NAME": "spark", "DCOS_PACKAGE_VERSION": "3", "DCOS_PACKAGE_SOURCE": "https://r",
                "DCOS_PACKAGE_OPTIONS": options, "DCOS_PACKAGE_DEFINITION": definition,
                "CLUSTERCTL_PACKAGE_ID": "/spark",
            }})
        };
        let found =
            installed(&[of("/spark/master"), of("/spark/worker"), json!({ "id": "/web", "labels": {} })]);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.id.as_str(), one.is_group), ("/spark", true));
        assert_eq!(one.options, json!({ "workers": 2 }));
        assert_eq!(
            one.listed(),
            json!({ "appId": "/spark", "packageInformation": {
                "packageDefinition": { "name": "spark", "version": "3" }, "resourceDefinition": { "images": {} },
            }})
        );
    }

    #[test]
    fn what_an_older_cosmos_wrote_is_read() {
        let metadata = STANDARD.encode(r#"{"name":"kafka","version":"1","postUninstallNotes":"bye"}"#);
        let app = json!({ "id": "/kafka", "labels": {
            "DCOS_PACKAGE_NAME": "kafka", "DCOS_PACKAGE_VERSION": "1", "DCOS_PACKAGE_METADATA": metadata,
            "DCOS_PACKAGE_DEFINITION": "not base64", "DCOS_PACKAGE_FRAMEWORK_NAME": "kafka",
        }});
        let found = installed(&[app]);
        assert_eq!(found[0].text("postUninstallNotes"), Some("bye"));
        assert_eq!((found[0].is_group, found[0].framework.as_deref()), (false, Some("kafka")));
        assert_eq!(found[0].options, json!({}));
    }

    #[test]
    fn what_cannot_be_read_is_still_installed() {
        let found = installed(&[
            json!({ "id": "/a", "labels": { "DCOS_PACKAGE_NAME": "a", "DCOS_PACKAGE_VERSION": "2" } }),
        ]);
        assert_eq!(found[0].definition, json!({ "packagingVersion": "2.0", "name": "a", "version": "2" }));
    }
}
