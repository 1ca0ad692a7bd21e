//! Packages that are made up, in the form of Cosmos' answers.

use serde_json::{Map, Value, json};

use crate::{Failed, Progress, Request};

struct Package {
    name: &'static str,
    /// The newest first.
    versions: &'static [&'static str],
    description: &'static str,
    tags: &'static [&'static str],
    /// What it takes to the masters: name and MiB.
    brings: (&'static str, u64),
    command: &'static str,
    cpus: f64,
    mem: u64,
    count: u64,
}

const PACKAGES: &[Package] = &[
    Package {
        name: "kafka",
        versions: &["3.9.1", "3.8.0"],
        description: "A distributed log: brokers that keep what is published and hand it on in order.",
        tags: &["queue", "log", "data"],
        brings: ("kafka.tgz", 118),
        command: "exec bin/kafka-server-start.sh server.properties",
        cpus: 1.0,
        mem: 4096,
        count: 3,
    },
    Package {
        name: "redis",
        versions: &["7.2.5"],
        description: "Data structures in memory, for caches and queues.",
        tags: &["cache", "data"],
        brings: ("redis.tgz", 9),
        command: "exec redis-server --port $PORT0",
        cpus: 0.5,
        mem: 512,
        count: 1,
    },
    Package {
        name: "spark",
        versions: &["4.0.0", "3.5.4"],
        description: "Computes over much data on many machines: a master and workers.",
        tags: &["analytics", "batch"],
        brings: ("spark.tgz", 380),
        command: "exec bin/spark-class org.apache.spark.deploy.worker.Worker",
        cpus: 2.0,
        mem: 4096,
        count: 2,
    },
    Package {
        name: "static-site",
        versions: &["1.2.0", "1.1.0", "1.0.0"],
        description: "Serves a folder of files over HTTP.",
        tags: &["web"],
        brings: ("site.tgz", 2),
        command: "exec httpd -f -p $PORT0",
        cpus: 0.1,
        mem: 64,
        count: 2,
    },
];

fn find(name: &str) -> Result<&'static Package, Failed> {
    PACKAGES.iter().find(|package| package.name == name).ok_or_else(|| {
        refused("PackageNotFound", format!("Package [{name}] not found"), &json!({ "packageName": name }))
    })
}

fn version_of<'v>(package: &Package, version: Option<&'v str>) -> Result<&'v str, Failed>
where
    'static: 'v,
{
    let wanted = version.unwrap_or(package.versions[0]);
    if package.versions.contains(&wanted) {
        return Ok(wanted);
    }
    let text = format!("Version [{wanted}] of package [{}] not found", package.name);
    Err(refused("VersionNotFound", text, &json!({ "packageName": package.name, "packageVersion": wanted })))
}

pub(super) fn refused(kind: &str, text: String, data: &Value) -> Failed {
    let body = json!({ "type": kind, "message": text, "data": data });
    Failed { text, body, ..Failed::default() }
}

/// `version` to its place in the order of releases, as a text.
fn releases(package: &Package) -> Value {
    let last = package.versions.len();
    let each = package.versions.iter().enumerate();
    Value::Object(
        each.map(|(at, version)| ((*version).to_owned(), (last - 1 - at).to_string().into())).collect(),
    )
}

pub(super) fn search(query: &str) -> Value {
    let query = query.to_lowercase();
    let parts: Vec<&str> = query.split('*').filter(|part| !part.is_empty()).collect();
    let fits = |package: &&Package| {
        let text =
            format!("{} {} {}", package.name, package.description, package.tags.join(" ")).to_lowercase();
        parts.iter().all(|part| text.contains(part))
    };
    let found = PACKAGES.iter().filter(fits).map(|package| {
        json!({
            "name": package.name, "currentVersion": package.versions[0], "versions": releases(package),
            "description": package.description, "framework": false, "tags": package.tags, "selected": false,
        })
    });
    json!({ "packages": found.collect::<Vec<_>>() })
}

pub(super) fn versions(name: &str) -> Result<Value, Failed> {
    Ok(json!({ "results": releases(find(name)?) }))
}

fn config(package: &Package) -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": {
            "service": {
                "description": "The service as a whole.",
                "type": "object",
                "properties": {
                    "name": { "description": "Its id.", "type": "string", "default": format!("/{}", package.name) },
                    "count": {
                        "description": "How many instances there are.",
                        "type": "integer", "minimum": 1, "maximum": 50, "default": package.count,
                    },
                    "log_level": {
                        "description": "How much it writes to its log.",
                        "type": "string", "enum": ["error", "warn", "info", "debug"], "default": "info",
                    },
                },
                "required": ["name", "count"],
            },
            "resources": {
                "description": "What each instance takes.",
                "type": "object",
                "properties": {
                    "cpus": { "description": "Cores.", "type": "number", "minimum": 0.1, "default": package.cpus },
                    "mem": { "description": "Memory in MiB.", "type": "integer", "minimum": 32, "default": package.mem },
                },
            },
            "network": {
                "description": "How others reach it.",
                "type": "object",
                "properties": {
                    "tls": { "description": "Speak TLS.", "type": "boolean", "default": false },
                },
            },
        },
    })
}

fn definition(package: &Package, version: &str) -> Value {
    let place = package.versions.iter().rev().position(|known| *known == version).unwrap_or(0);
    json!({
        "packagingVersion": "4.0", "name": package.name, "version": version, "releaseVersion": place,
        "maintainer": "demo@example.invalid", "description": package.description, "tags": package.tags,
        "framework": false, "selected": false,
        "preInstallNotes": "This package is made up: nothing is downloaded, and nothing runs.",
        "postInstallNotes": format!("{} is being started.", package.name),
        "upgradesFrom": ["*"], "downgradesTo": ["*"],
        "config": config(package),
        "resource": { "assets": { "uris": { "package": format!("https://packages.example.invalid/{}", package.brings.0) } } },
    })
}

pub(super) fn describe(name: &str, version: Option<&str>) -> Result<Value, Failed> {
    let package = find(name)?;
    let version = version_of(package, version)?;
    Ok(json!({ "package": definition(package, version) }))
}

/// The defaults of a schema.
fn defaults(schema: &Value) -> Value {
    let mut found = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let value = match property.get("default") {
            Some(default) => default.clone(),
            None => defaults(property),
        };
        if !matches!(&value, Value::Object(empty) if empty.is_empty()) {
            found.insert(name.clone(), value);
        }
    }
    Value::Object(found)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => from.clone_into(into),
    }
}

/// The app of a package with options.
pub(super) fn render(name: &str, version: &str, options: &Value, id: Option<&str>) -> Result<Value, Failed> {
    let package = find(name)?;
    let version = version_of(package, Some(version))?;
    let mut chosen = defaults(&config(package));
    merge(&mut chosen, options);
    let count = chosen["service"]["count"].as_u64().filter(|count| (1..=50).contains(count));
    let (cpus, mem) = (chosen["resources"]["cpus"].as_f64(), chosen["resources"]["mem"].as_u64());
    let (Some(count), Some(cpus), Some(mem)) = (count, cpus, mem) else {
        let text = "Options JSON failed validation: count, cpus and mem are numbers".to_owned();
        return Err(refused("JsonSchemaMismatch", text, &json!({ "errors": [] })));
    };
    let id = id.or_else(|| chosen["service"]["name"].as_str()).unwrap_or(name);
    let id = format!("/{}", id.trim_start_matches('/'));
    Ok(json!({
        "id": id, "cmd": package.command, "instances": count, "cpus": cpus, "mem": mem,
        "env": { "LOG_LEVEL": chosen["service"]["log_level"] },
        "healthChecks": [{ "protocol": "COMMAND", "command": { "value": "true" } }],
        "labels": {
            "DCOS_PACKAGE_NAME": name, "DCOS_PACKAGE_VERSION": version, "DCOS_PACKAGE_SOURCE": "demo://packages",
        },
    }))
}

/// The definition that is behind an installed service.
pub(super) fn installed(id: &str, name: &str, version: &str) -> Option<Value> {
    let package = find(name).ok()?;
    let definition = definition(package, version);
    Some(json!({ "appId": id, "packageInformation": { "packageDefinition": definition } }))
}

/// What is told while a request brings a package to the masters; nothing for other requests.
pub(super) fn progress(request: &Request) -> Vec<Progress> {
    let (Request::Install { name, .. } | Request::UpdatePackage { name, .. }) = request else {
        return Vec::new();
    };
    let Ok(package) = find(name) else { return Vec::new() };
    let (file, mebibytes) = package.brings;
    let of = mebibytes << 20;
    let say = |what: &str, done: u64| Progress { step: file.to_owned(), what: what.to_owned(), done, of };
    let part = |what: &'static str| (0..=4).map(move |quarter| say(what, of * quarter / 4));
    let mut steps: Vec<Progress> = part("downloading").collect();
    steps.push(say("checking", of));
    steps.extend(part("uploading"));
    steps.push(say("done", of));
    steps
}
