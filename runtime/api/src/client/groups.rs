//! Marathon v2: groups of services.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Call, Client, ClientError};
use crate::marathon::GroupId;

/// `/v2/groups/{id}` and what follows it; the root is `/v2/groups`.
fn group_path<'a>(group: &'a GroupId, rest: &[&'a str]) -> Vec<&'a str> {
    let mut path = vec!["v2", "groups"];
    path.extend(group.path().elements());
    path.extend(rest);
    path
}

impl Client {
    /// A group with all groups and services below it: `{"id","apps","groups",…}`. With `counts` each service has how many
    /// of its instances run, and its deployments.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every call here. 404 when there is no such group.
    pub async fn group(&self, group: &GroupId, counts: bool) -> Result<Value, ClientError> {
        const COUNTED: [&str; 4] =
            ["group.groups", "group.apps", "group.apps.counts", "group.apps.deployments"];
        let call = Call::get(group_path(group, &[]));
        let embed = if counts { COUNTED.as_slice() } else { &[] };
        self.json(embed.iter().fold(call, |call, embed| call.query("embed", *embed))).await
    }

    /// Creates a group with all that is in it; `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when the id is taken, 422 when the definition is not valid.
    pub async fn create_group(&self, definition: &Value) -> Result<Value, ClientError> {
        self.json(Call::new(Method::POST, ["v2", "groups"]).body(definition)).await
    }

    /// Puts a definition in the place of a group, or changes it as a special body says: `{"version": …}` goes back,
    /// `{"scaleBy": …}` scales. `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when a deployment holds something in it, which `force` cancels.
    pub async fn put_group(&self, group: &GroupId, body: &Value, force: bool) -> Result<Value, ClientError> {
        self.json(Call::new(Method::PUT, group_path(group, &[])).body(body).flag("force", force)).await
    }

    /// What [`Client::put_group`] would do: `{"steps":[{"actions":[…]}]}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plan_group(&self, group: &GroupId, body: &Value) -> Result<Value, ClientError> {
        self.json(Call::new(Method::PUT, group_path(group, &[])).body(body).flag("dryRun", true)).await
    }

    /// Goes back to a version of the group; `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such version.
    pub async fn roll_back_group(
        &self,
        group: &GroupId,
        version: &str,
        force: bool,
    ) -> Result<Value, ClientError> {
        self.put_group(group, &json!({ "version": version }), force).await
    }

    /// Removes a group with all that is in it; `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when a deployment holds something in it, which `force` cancels.
    pub async fn delete_group(&self, group: &GroupId, force: bool) -> Result<Value, ClientError> {
        self.json(Call::new(Method::DELETE, group_path(group, &[])).flag("force", force)).await
    }

    /// The versions of a group, an array.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such group.
    pub async fn group_versions(&self, group: &GroupId) -> Result<Value, ClientError> {
        self.json(Call::get(group_path(group, &["versions"]))).await
    }

    /// A group as it was in one version.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such version.
    pub async fn group_version(&self, group: &GroupId, version: &str) -> Result<Value, ClientError> {
        self.json(Call::get(group_path(group, &["versions", version]))).await
    }
}
