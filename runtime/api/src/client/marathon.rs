//! Marathon v2: services.

use reqwest::Method;
use serde_json::Value;

use super::{Call, Client, ClientError};
use crate::marathon::AppId;

/// What an app is to be shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEmbed {
    /// Its tasks.
    Tasks,
    /// Why its last task failed.
    LastTaskFailure,
    /// How long its tasks have lived.
    TaskStats,
}

impl AppEmbed {
    fn name(self) -> &'static str {
        match self {
            AppEmbed::Tasks => "app.tasks",
            AppEmbed::LastTaskFailure => "app.lastTaskFailure",
            AppEmbed::TaskStats => "app.taskStats",
        }
    }

    fn listed(self) -> &'static str {
        match self {
            AppEmbed::Tasks => "apps.tasks",
            AppEmbed::LastTaskFailure => "apps.lastTaskFailure",
            AppEmbed::TaskStats => "apps.taskStats",
        }
    }
}

/// `/v2/apps/{id}` and what follows it.
fn app_path<'a>(app: &'a AppId, rest: &[&'a str]) -> Vec<&'a str> {
    let mut path = vec!["v2", "apps"];
    path.extend(app.path().elements());
    path.extend(rest);
    path
}

impl Client {
    /// `{"apps": […]}`, all services.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every call here.
    pub async fn apps(&self, embed: &[AppEmbed]) -> Result<Value, ClientError> {
        let call = Call::get(["v2", "apps"]);
        self.json(embed.iter().fold(call, |call, embed| call.query("embed", embed.listed()))).await
    }

    /// `{"app": …}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such service.
    pub async fn app(&self, app: &AppId, embed: &[AppEmbed]) -> Result<Value, ClientError> {
        let call = Call::get(app_path(app, &[]));
        self.json(embed.iter().fold(call, |call, embed| call.query("embed", embed.name()))).await
    }

    /// Creates a service; answers it, with the deployment that starts it.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when the id is taken, 422 when the definition is not valid.
    pub async fn create_app(&self, definition: &Value) -> Result<Value, ClientError> {
        self.json(Call::new(Method::POST, ["v2", "apps"]).body(definition)).await
    }

    /// Puts a whole definition in the place of another; `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when a deployment holds the service, which `force` cancels.
    pub async fn put_app(&self, app: &AppId, definition: &Value, force: bool) -> Result<Value, ClientError> {
        let call = Call::new(Method::PUT, app_path(app, &[])).body(definition);
        self.json(call.query("partialUpdate", "false").flag("force", force)).await
    }

    /// Replaces the top-level keys that `change` names; never creates. `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when a deployment holds the service, which `force` cancels.
    pub async fn patch_app(&self, app: &AppId, change: &Value, force: bool) -> Result<Value, ClientError> {
        self.json(Call::new(Method::PATCH, app_path(app, &[])).body(change).flag("force", force)).await
    }

    /// Changes several services by one deployment, and creates those that are missing; `{"version","deploymentId"}`.
    /// With `replace` each definition is taken as the whole one, otherwise as the top-level keys that change.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when a deployment holds one of them, which `force` cancels.
    pub async fn put_apps(
        &self,
        definitions: &Value,
        replace: bool,
        force: bool,
    ) -> Result<Value, ClientError> {
        let call = Call::new(Method::PUT, ["v2", "apps"]).body(definitions);
        let call = if replace { call.query("partialUpdate", "false") } else { call };
        self.json(call.flag("force", force)).await
    }

    /// Changes top-level keys of several services by one deployment; never creates. `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when one of them is unknown, 409 when a deployment holds one, which `force` cancels.
    pub async fn patch_apps(&self, changes: &Value, force: bool) -> Result<Value, ClientError> {
        self.json(Call::new(Method::PATCH, ["v2", "apps"]).body(changes).flag("force", force)).await
    }

    /// Replaces all instances by new ones; `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when a deployment holds the service, which `force` cancels.
    pub async fn restart_app(&self, app: &AppId, force: bool) -> Result<Value, ClientError> {
        self.json(Call::new(Method::POST, app_path(app, &["restart"])).flag("force", force)).await
    }

    /// Removes a service with all its instances; `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_app(&self, app: &AppId) -> Result<Value, ClientError> {
        self.json(Call::new(Method::DELETE, app_path(app, &[]))).await
    }

    /// `{"tasks": […]}`, the instances of one service.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn app_tasks(&self, app: &AppId) -> Result<Value, ClientError> {
        self.json(Call::get(app_path(app, &["tasks"]))).await
    }

    /// Kills an instance; with `scale` there is one less from then on. `{"task": …}` or, with `scale`,
    /// `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn kill_app_task(&self, app: &AppId, task: &str, scale: bool) -> Result<Value, ClientError> {
        self.json(Call::new(Method::DELETE, app_path(app, &["tasks", task])).flag("scale", scale)).await
    }

    /// The instances of all services: `{"tasks": […]}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn marathon_tasks(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["v2", "tasks"])).await
    }

    /// All deployments that run, an array.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn deployments(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["v2", "deployments"])).await
    }

    /// What waits for a place: `{"queue": […]}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn queue(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["v2", "queue"])).await
    }

    /// Has a service that waits after failures launched at once.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when it does not wait.
    pub async fn reset_delay(&self, app: &AppId) -> Result<(), ClientError> {
        let mut path = vec!["v2", "queue"];
        path.extend(app.path().elements());
        path.push("delay");
        self.json(Call::new(Method::DELETE, path)).await.map(|_empty| ())
    }

    /// Undoes a deployment by another one, which this answers: `{"version","deploymentId"}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when it is done.
    pub async fn undo_deployment(&self, id: &str) -> Result<Value, ClientError> {
        self.json(Call::new(Method::DELETE, ["v2", "deployments", id])).await
    }

    /// Drops a deployment where it stands; nothing is undone.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when it is done.
    pub async fn drop_deployment(&self, id: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, ["v2", "deployments", id]).flag("force", true);
        self.json(call).await.map(|_empty| ())
    }

    /// `{"versions": […]}` of a service, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn app_versions(&self, app: &AppId) -> Result<Value, ClientError> {
        self.json(Call::get(app_path(app, &["versions"]))).await
    }

    /// The definition of a service as it was in one version.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such version.
    pub async fn app_version(&self, app: &AppId, version: &str) -> Result<Value, ClientError> {
        self.json(Call::get(app_path(app, &["versions", version]))).await
    }

    /// What leads, and with which framework id its tasks run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn info(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["v2", "info"])).await
    }
}
