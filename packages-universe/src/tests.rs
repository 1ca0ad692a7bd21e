//! Tests of the whole: from files to definitions.

mod good;
mod lint;
mod load;
mod old;
mod options;
mod universe;

use serde_json::{Value, json};

use crate::load::{Loaded, compiled_in};
use crate::{Package, Request};

/// A small native package that has everything, and nothing wrong.
const GOOD: [(&str, &str); 4] = [
    (
        "package.yaml",
        "name: shop\nversion: 1.0.0\ndescription: Sells.\nmaintainer: us\ntags: [a-b]\nneeds: {mem: 64, cpus: 0.1}\nweb: {app: front, port: 0, path: /}\nnext:\n  - show {{ id }}\n",
    ),
    (
        "config.yaml",
        "type: object\nadditionalProperties: false\nproperties:\n  service:\n    type: object\n    properties:\n      name:\n        type: string\n        default: shop\n      word:\n        type: string\n        secret: true\n        minLength: 3\n      count:\n        type: integer\n        minimum: 1\n        default: 2\n",
    ),
    (
        "resource.yaml",
        "images:\n  icon-small: https://example.org/i.png\nartifacts:\n  wares:\n    sources:\n      - url: https://example.org/wares-1.tgz\n        sha256: 0ab10ab10ab10ab10ab10ab10ab10ab10ab10ab10ab10ab10ab10ab10ab10ab1\n        home: wares-1\n",
    ),
    (
        "service.json.tera",
        "{\n  \"id\": \"{{ id }}\",\n  \"apps\": [\n    {\n      \"id\": \"front\",\n      \"cmd\": \"{{ artifacts.wares.home }}/run\",\n      \"fetch\": [{\"uri\": \"{{ artifacts.wares.uri }}\"}],\n      \"instances\": {{ options.service.count }},\n      {% if options.service.word %}\"secrets\": {\"word\": {\"source\": \"{{ options.service.word }}\"}},{% endif %}\n      \"portDefinitions\": [{\"port\": 0}]\n    }\n  ],\n  \"groups\": [{\"id\": \"back\", \"apps\": [{\"id\": \"db\", \"labels\": {\"CLUSTERCTL_PEERS\": \"own\"}}]}]\n}\n",
    ),
];

/// Loads files of one package.
fn loaded(files: &[(&str, &str)]) -> Loaded {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    compiled_in(&files)
}

/// The one package in them.
fn package(files: &[(&str, &str)]) -> Package {
    let loaded = loaded(files);
    assert_eq!(loaded.errors().collect::<Vec<_>>(), Vec::<&crate::Fault>::new());
    loaded.packages.into_iter().next().unwrap()
}

/// A package of the old form with this schema and template.
fn with(config: &Value, template: &str) -> Package {
    let about = json!({"packagingVersion": "3.0", "name": "it", "version": "1", "maintainer": "m", "description": "d", "tags": []});
    package(&[
        ("package.json", &about.to_string()),
        ("config.json", &config.to_string()),
        ("marathon.json.mustache", template),
    ])
}

/// A definition with long labels shortened to what they hold.
fn shown(mut definition: Value) -> String {
    fn shorten(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, one) in map.iter_mut() {
                    match (key.as_str(), one.as_str()) {
                        ("DCOS_PACKAGE_DEFINITION", Some(label)) => {
                            let package = crate::unpack(label).unwrap();
                            *one = json!(format!(
                                "<{} {}>",
                                package["name"].as_str().unwrap(),
                                package["version"].as_str().unwrap()
                            ));
                        }
                        _ => shorten(one),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(shorten),
            _ => {}
        }
    }
    shorten(&mut definition);
    serde_json::to_string_pretty(&definition).unwrap()
}

/// A request with options alone.
fn asking(options: Value) -> Request<'static> {
    Request { options, source: "https://example.org/repo", ..Request::default() }
}
