//! What each of Cosmos' calls does (§3).

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use secrets::SecretError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use universe::{Found, Missing, Package, Rendered, Resolved};

use crate::book::{Change, ChangeError, RepositoryEntry};
use crate::error::CosmosError;
use crate::installed::{Installed, installed};
use crate::marathon::Answer;
use crate::plan;
use crate::shell::{NotChanged, Packages};
use crate::sources::{Shelf, SourceError, kind};

fn read<T: DeserializeOwned>(body: &Value) -> Result<T, CosmosError> {
    T::deserialize(body)
        .map_err(|error| CosmosError::body(format!("the body is not what this call takes: {error}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    package_name: String,
    #[serde(default)]
    package_version: Option<String>,
}

fn find<'s>(shelf: &'s Shelf, name: &str, version: Option<&str>) -> Result<Found<'s>, CosmosError> {
    shelf.universe.find(name, version).map_err(|missing| {
        let mut error = match &missing {
            Missing::Version { name, version, known } => CosmosError::no_version(name, version, known),
            Missing::Package { name, suggestions } => CosmosError::no_package(name, suggestions),
        };
        for (repository, fault) in &shelf.faults {
            error.message =
                format!("{}; the repository [{repository}] cannot be read: {fault}", error.message);
        }
        error
    })
}

pub(crate) async fn search(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    struct Search {
        #[serde(default)]
        query: Option<String>,
    }
    let Search { query } = read(body)?;
    let shelf = packages.shelf().await;
    let lines = shelf.universe.search(query.as_deref()).into_iter().map(|hit| {
        let definition = &hit.current.package.definition;
        plan::found(definition, hit.versions)
    });
    Ok(json!({ "packages": lines.collect::<Vec<_>>() }))
}

pub(crate) async fn describe(packages: &Packages, body: &Value, version: &str) -> Result<Value, CosmosError> {
    let named: Named = read(body)?;
    let shelf = packages.shelf().await;
    let found = find(&shelf, &named.package_name, named.package_version.as_deref())?;
    Ok(match version {
        "v3" => plan::described_v3(&found.package.definition),
        _ => plan::described_v2(&found.package.definition),
    })
}

pub(crate) async fn list_versions(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    let named: Named = read(body)?;
    let shelf = packages.shelf().await;
    find(&shelf, &named.package_name, None)?;
    let versions = shelf.universe.versions(&named.package_name);
    let results: BTreeMap<String, String> =
        versions.into_iter().map(|(version, release)| (version, release.to_string())).collect();
    Ok(json!({ "results": results }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Install {
    package_name: String,
    #[serde(default)]
    package_version: Option<String>,
    #[serde(default)]
    options: Option<Value>,
    #[serde(default)]
    app_id: Option<String>,
    #[serde(default)]
    manager_id: Option<String>,
}

/// What a package becomes with these options, and what to do after it was installed.
fn rendered(
    packages: &Packages,
    found: &Found<'_>,
    options: &Value,
    app_id: Option<&str>,
) -> Result<(Rendered, Vec<String>), CosmosError> {
    let package = found.package;
    let artifacts: BTreeMap<String, Resolved> = packages
        .book()
        .artifacts(&package.name, &package.version)
        .into_iter()
        .map(|(name, record)| {
            let crate::ArtifactRecord { sha256, home, file, extract, source: _ } = record;
            (name, Resolved { sha256, home, file, extract })
        })
        .collect();
    let request = universe::Request {
        options: options.clone(),
        id: app_id.map(plan::absolute),
        artifacts,
        source: &found.repository.uri,
    };
    let rendered = universe::render(package, &request).map_err(|error| render_error(package, error))?;
    let next = universe::next(package, &request, &rendered);
    Ok((rendered, next))
}

/// Keeps the secret options that were given: what is rendered names them.
async fn keep_secrets(packages: &Packages, rendered: &Rendered) -> Result<(), CosmosError> {
    let mut values = Vec::new();
    for option in &rendered.secrets {
        if let Some(value) = &option.value {
            let path = option.name.parse().map_err(|error: secrets::PathError| not_kept(&error.into()))?;
            values.push((path, value.clone()));
        }
    }
    if values.is_empty() {
        return Ok(());
    }
    let (by, package) = (format!("package {}", rendered.id), Some(rendered.id.as_str()));
    packages.secrets().put(values, &by, package).await.map_err(|error| not_kept(&error))?;
    Ok(())
}

fn not_kept(error: &SecretError) -> CosmosError {
    match error {
        SecretError::Store(_) | SecretError::Ended => CosmosError::unavailable(error.to_string()),
        _ => {
            let text = format!("The secret options cannot be kept: {error}");
            CosmosError::new("SecretsNotKept", text, json!({})).status(StatusCode::CONFLICT)
        }
    }
}

fn no_artifacts(name: &str, version: &str, lacking: &[String]) -> CosmosError {
    let text = format!(
        "The files of package [{name}] version [{version}] are not on the masters yet ({}); `clusterctl package install {name}` \
         fetches and uploads them",
        lacking.join(", ")
    );
    CosmosError::new(
        "ArtifactsMissing",
        text,
        json!({ "packageName": name, "packageVersion": version, "artifacts": lacking }),
    )
}

fn render_error(package: &Package, error: universe::RenderError) -> CosmosError {
    use universe::RenderError;
    use universe::options::OptionFaults;
    let text = error.to_string();
    match error {
        RenderError::Options(OptionFaults::NotAllowed) => CosmosError::new(
            "OptionsNotAllowed",
            "No schema available to validate the provided options",
            json!({}),
        ),
        RenderError::Options(faults) => {
            let errors: Vec<Value> =
                faults.faults().iter().map(universe::options::OptionFault::cosmos).collect();
            CosmosError::new("JsonSchemaMismatch", text, json!({ "errors": errors }))
        }
        RenderError::Artifacts(lacking) => no_artifacts(&package.name, &package.version, &lacking),
        RenderError::CliOnly => CosmosError::new(
            "ServiceMarathonTemplateNotFound",
            text,
            json!({
                "packageName": package.name, "packageVersion": package.version,
            }),
        ),
        RenderError::NotAnObject(_) => CosmosError::new("MarathonTemplateMustBeJsonObject", text, json!({})),
        _ => CosmosError::new("MarathonTemplateInvalid", text, json!({})),
    }
}

fn no_manager(install: &Install, package: &Package) -> Result<(), CosmosError> {
    let managed = package.definition.get("manager").filter(|manager| !manager.is_null());
    if install.manager_id.is_none() && managed.is_none() {
        return Ok(());
    }
    let text = format!("Package [{}] installs through another package, which is not supported", package.name);
    Err(CosmosError::new("NotSupported", text, json!({})).status(StatusCode::NOT_IMPLEMENTED))
}

pub(crate) async fn render(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    let install: Install = read(body)?;
    let shelf = packages.shelf().await;
    let found = find(&shelf, &install.package_name, install.package_version.as_deref())?;
    let options = install.options.clone().unwrap_or_else(|| json!({}));
    let (rendered, _next) = rendered(packages, &found, &options, install.app_id.as_deref())?;
    Ok(json!({ "marathonJson": rendered.definition }))
}

pub(crate) async fn install(packages: &Packages, body: &Value, version: &str) -> Result<Value, CosmosError> {
    let install: Install = read(body)?;
    let shelf = packages.shelf().await;
    let found = find(&shelf, &install.package_name, install.package_version.as_deref())?;
    let package = found.package;
    no_manager(&install, package)?;
    let mut answer = json!({ "packageName": package.name, "packageVersion": package.version });
    let mut put = |key: &str, value: Option<Value>| {
        if let (Some(answer), Some(value)) = (answer.as_object_mut(), value) {
            answer.insert(key.to_owned(), value);
        }
    };
    let mut notes: Vec<String> = package.notes.post_install.clone().into_iter().collect();
    if package.form != universe::Form::CliOnly {
        let options = install.options.clone().unwrap_or_else(|| json!({}));
        let (rendered, next) = rendered(packages, &found, &options, install.app_id.as_deref())?;
        if packages.marathon().has(&rendered.id).await? {
            let text = format!("Package is already installed: {} exists", rendered.id);
            return Err(
                CosmosError::new("PackageAlreadyInstalled", text, json!({})).status(StatusCode::CONFLICT)
            );
        }
        let target = if rendered.is_group() { "/v2/groups" } else { "/v2/apps" };
        keep_secrets(packages, &rendered).await?;
        let asked = packages.marathon().ask(Method::POST, target, Some(&rendered.definition)).await;
        if let Err(error) = asked.and_then(Answer::good) {
            // Nothing is there that would need them, or take them with it.
            if let Err(left) = packages.secrets().remove_of(&rendered.id).await {
                tracing::warn!(package = rendered.id, error = %left, "secrets of a package that was not installed are left");
            }
            return Err(error);
        }
        put("appId", Some(rendered.id.into()));
        notes.extend(next);
    }
    if version == "v2" {
        put("postInstallNotes", (!notes.is_empty()).then(|| notes.join("\n").into()));
        put("cli", package.definition.pointer("/resource/cli").cloned());
    }
    Ok(answer)
}

pub(crate) async fn list(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct List {
        #[serde(default)]
        package_name: Option<String>,
        #[serde(default)]
        app_id: Option<String>,
    }
    let List { package_name, app_id } = read(body)?;
    let app_id = app_id.as_deref().map(plan::absolute);
    let all = installed(&packages.marathon().apps().await?);
    let wanted = all.iter().filter(|one| {
        package_name.as_ref().is_none_or(|name| *name == one.name)
            && app_id.as_ref().is_none_or(|id| *id == one.id)
    });
    Ok(json!({ "packages": wanted.map(Installed::listed).collect::<Vec<_>>() }))
}

pub(crate) async fn uninstall(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Uninstall {
        package_name: String,
        #[serde(default)]
        app_id: Option<String>,
        #[serde(default)]
        all: Option<bool>,
    }
    let Uninstall { package_name: name, app_id, all } = read(body)?;
    let app_id = app_id.as_deref().map(plan::absolute);
    let there = installed(&packages.marathon().apps().await?);
    let of_name: Vec<Installed> = there.into_iter().filter(|one| one.name == name).collect();
    if of_name.is_empty() && app_id.is_none() {
        return Err(CosmosError::not_installed(&name));
    }
    let mut chosen = of_name;
    if let Some(id) = &app_id {
        chosen.retain(|one| one.id == *id);
        if chosen.is_empty() {
            let text = format!("Package [{name}] with id [{id}] is not installed");
            let data = json!({ "packageName": name, "appId": id });
            return Err(CosmosError::new("UninstallNonExistentAppForPackage", text, data));
        }
    }
    if chosen.len() > 1 && all != Some(true) {
        let ids: Vec<&str> = chosen.iter().map(|one| one.id.as_str()).collect();
        let text = format!("Multiple apps named [{name}] are installed: [{}]", ids.join(", "));
        return Err(CosmosError::new("AmbiguousAppId", text, json!({ "packageName": name, "appIds": ids })));
    }
    if let Some(one) = chosen.iter().find(|one| one.removes_itself) {
        let text = format!(
            "{} removes itself through its scheduler, which needs frameworks over HTTP and is not supported yet; \
             `clusterctl service remove {}` removes its service alone",
            one.id, one.id
        );
        return Err(CosmosError::new("NotSupported", text, json!({})).status(StatusCode::NOT_IMPLEMENTED));
    }
    let mut results = Vec::new();
    for one in &chosen {
        let kind = if one.is_group { "groups" } else { "apps" };
        let target = format!("/v2/{kind}{}?force=true", one.id);
        packages.marathon().ask(Method::DELETE, &target, None).await?.good()?;
        packages.secrets().remove_of(&one.id).await.map_err(|error| not_kept(&error))?;
        let mut result = json!({ "packageName": one.name, "appId": one.id, "packageVersion": one.version });
        if let (Some(result), Some(notes)) = (result.as_object_mut(), one.text("postUninstallNotes")) {
            result.insert("postUninstallNotes".to_owned(), notes.into());
        }
        results.push(result);
    }
    Ok(json!({ "results": results }))
}

fn repositories(list: &[RepositoryEntry]) -> Value {
    json!({ "repositories": list })
}

pub(crate) async fn repository_list(packages: &Packages, _body: &Value) -> Result<Value, CosmosError> {
    Ok(repositories(packages.book().repositories()))
}

pub(crate) async fn repository_add(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    struct Add {
        name: String,
        uri: String,
        #[serde(default)]
        index: Option<usize>,
    }
    let Add { name, uri, index } = read(body)?;
    let entry = RepositoryEntry { name, uri };
    let of_source = |error: SourceError| {
        let data = json!({ "name": entry.name, "uri": entry.uri, "cause": error.to_string() });
        let name = match &error {
            SourceError::Unsupported(uri) if reqwest::Url::parse(uri).is_err() => "RepositoryUriSyntax",
            SourceError::Unsupported(_) => "UnsupportedRepositoryUri",
            SourceError::Fetch { .. } | SourceError::Status { .. } => "RepositoryUriConnection",
            SourceError::TooLarge { .. } | SourceError::Unreadable { .. } => "IndexNotFound",
        };
        CosmosError::new(name, error.to_string(), data)
    };
    kind(&entry.uri).map_err(of_source)?;
    let adding = Change::AddRepository(entry.clone(), index);
    // What the list does not take needs no look.
    if let Err(error) = packages.book().plan(adding.clone()) {
        return Err(not_changed(&error));
    }
    // One that cannot be read now would only be noticed when a package is missed.
    packages.sources().read(&entry).await.map_err(of_source)?;
    let book = change(packages, adding).await?;
    Ok(repositories(book.repositories()))
}

pub(crate) async fn repository_delete(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    struct Delete {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        uri: Option<String>,
    }
    let Delete { name, uri } = read(body)?;
    let book = change(packages, Change::RemoveRepository { name, uri }).await?;
    Ok(repositories(book.repositories()))
}

/// Makes a change of the book, and says in Cosmos' words why it was not made.
pub(crate) async fn change(packages: &Packages, change: Change) -> Result<crate::Book, CosmosError> {
    packages.change(change).await.map_err(|error| match &error {
        NotChanged::Change(fault) => not_changed(fault),
        _ => CosmosError::unavailable(error.to_string()),
    })
}

fn not_changed(fault: &ChangeError) -> CosmosError {
    let (kind, data) = match fault {
        ChangeError::Present { name, uri } => {
            ("RepositoryAlreadyPresent", json!({ "name": name, "uri": uri }))
        }
        ChangeError::Absent { name, uri } => ("RepositoryNotPresent", json!({ "name": name, "uri": uri })),
        ChangeError::Unnamed => ("RepoNameOrUriMissing", json!({})),
        ChangeError::OutOfBounds { index, length } => {
            ("RepositoryAddIndexOutOfBounds", json!({ "attempted": index, "max": length }))
        }
        ChangeError::TooMany => ("TooManyRepositories", json!({})),
    };
    CosmosError::new(kind, fault.to_string(), data)
}

/// The package that is installed at this id.
async fn installed_at(packages: &Packages, id: &str) -> Result<Installed, CosmosError> {
    let id = plan::absolute(id);
    let all = installed(&packages.marathon().apps().await?);
    all.into_iter().find(|one| one.id == id).ok_or_else(|| CosmosError::no_app(&id))
}

/// Versions that this one can be changed to.
fn neighbours(shelf: &Shelf, name: &str, definition: &Value) -> (Vec<String>, Vec<String>) {
    let versions = shelf.universe.versions(name);
    let all = versions.keys().filter_map(|version| shelf.universe.find(name, Some(version)).ok());
    let all: Vec<&Value> = all.map(|found| &found.package.definition).collect();
    plan::neighbours(definition, &all)
}

/// The definition that is in the repositories now, else that of when it was installed.
fn definition_now(shelf: &Shelf, one: &Installed) -> Value {
    shelf
        .universe
        .find(&one.name, Some(&one.version))
        .map_or_else(|_missing| one.definition.clone(), |found| found.package.definition.clone())
}

pub(crate) async fn service_describe(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Describe {
        app_id: String,
    }
    let Describe { app_id } = read(body)?;
    let one = installed_at(packages, &app_id).await?;
    let shelf = packages.shelf().await;
    let definition = definition_now(&shelf, &one);
    let (up, down) = neighbours(&shelf, &one.name, &definition);
    let mut answer = json!({
        "package": definition, "upgradesTo": up, "downgradesTo": down, "userProvidedOptions": one.options,
    });
    let resolved = match answer.pointer("/package/config") {
        Some(schema) => universe::options::resolve_with(schema, &one.options).ok(),
        None => Some(one.options.clone()),
    };
    if let (Some(answer), Some(resolved)) = (answer.as_object_mut(), resolved) {
        answer.insert("resolvedOptions".to_owned(), resolved);
    }
    Ok(answer)
}

pub(crate) async fn service_update(packages: &Packages, body: &Value) -> Result<Value, CosmosError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Update {
        app_id: String,
        #[serde(default)]
        package_name: Option<String>,
        #[serde(default)]
        package_version: Option<String>,
        #[serde(default)]
        options: Option<Value>,
        #[serde(default)]
        replace: bool,
        /// Ours: takes the place of a change that is not done.
        #[serde(default)]
        force: bool,
    }
    let update: Update = read(body)?;
    let one = installed_at(packages, &update.app_id).await?;
    if let Some(name) = update.package_name.filter(|name| *name != one.name) {
        let text = format!("{} is an instance of package [{}], not [{name}]", one.id, one.name);
        return Err(CosmosError::new("PackageNotInstalled", text, json!({ "packageName": name })));
    }
    let shelf = packages.shelf().await;
    let target = update.package_version.as_deref().unwrap_or(&one.version);
    let found = find(&shelf, &one.name, Some(target))?;
    if target != one.version {
        let definition = definition_now(&shelf, &one);
        let (up, down) = neighbours(&shelf, &one.name, &definition);
        if !up.iter().chain(&down).any(|version| version == target) {
            let valid: Vec<&String> = up.iter().chain(&down).collect();
            let text = format!(
                "Package [{}] version [{}] cannot be changed to version [{target}]; it can be to: {valid:?}",
                one.name, one.version
            );
            let data = json!({
                "packageName": one.name, "updateVersion": target, "packageVersion": one.version, "validVersions": valid,
            });
            return Err(CosmosError::new("BadVersionUpdate", text, data));
        }
    }
    let given = update.options.unwrap_or_else(|| json!({}));
    let options = if update.replace { given } else { universe::options::merge(one.options.clone(), given) };
    let name_in =
        |options: &Value| options.pointer("/service/name").and_then(Value::as_str).map(plan::absolute);
    if let Some(new) =
        name_in(&options).filter(|new| *new != one.id && Some(new) != name_in(&one.options).as_ref())
    {
        let text = format!("The id of an installed package cannot change, from [{}] to [{new}]", one.id);
        return Err(CosmosError::new("AppIdChanged", text, json!({ "oldAppId": one.id, "newAppId": new })));
    }
    let (rendered, _next) = rendered(packages, &found, &options, Some(&one.id))?;
    keep_secrets(packages, &rendered).await?;
    let kind = if rendered.is_group() { "groups" } else { "apps" };
    let target = format!("/v2/{kind}{}?force={}", one.id, update.force);
    let answer = packages.marathon().ask(Method::PUT, &target, Some(&rendered.definition)).await?.good()?;
    Ok(json!({
        "package": found.package.definition,
        "resolvedOptions": rendered.options,
        "marathonDeploymentId": answer.get("deploymentId").and_then(Value::as_str).unwrap_or_default(),
    }))
}
