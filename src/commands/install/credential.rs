//! The operator's own way into the cluster that was installed: a user, a token, and a context in the user's file.

use std::time::Duration;

use api::Secret;
use api::client::{Client, Credentials, MasterUrl};
use installer::control::Control;
use secrecy::{ExposeSecret as _, SecretString};

use super::setup::Setup;
use crate::context::{self, Context, Contexts};
use crate::error::CliError;
use crate::printer::Printer;

/// Makes sure that there is a context that works; answers its name when it was written anew.
pub(super) async fn ensure(setup: &Setup, control: &Control) -> Result<Option<String>, CliError> {
    let path = context::path()?;
    let contexts = Contexts::load(&path)?;
    let masters = setup.masters();
    let ca = setup.authority()?.certificate().to_owned();
    let name = name_for(setup.cluster(), &contexts, &masters, &ca);
    if let Some(known) = contexts.contexts.get(&name)
        && known.masters == masters
        && known.ca.as_deref().map(str::trim) == Some(ca.trim())
        && works(known).await
    {
        return Ok(None);
    }
    let token = control.token(&format!("install from {}", setup.machine())).await.map_err(|error| {
        CliError::failed("the cluster runs, but gives the operator no token").caused_by(&error)
    })?;
    let mut contexts = Contexts::load(&path)?;
    let token = Some(Secret::from(token.expose_secret().to_owned()));
    contexts.contexts.insert(name.clone(), Context { masters, ca: Some(ca), token });
    contexts.current = Some(name.clone());
    contexts.store(&path)?;
    Ok(Some(name))
}

/// The cluster's own name, unless the user knows another cluster by it.
fn name_for(cluster: &str, contexts: &Contexts, masters: &[String], ca: &str) -> String {
    let another = |name: &str| {
        let known = contexts.contexts.get(name);
        known.is_some_and(|known| {
            known.masters != masters && known.ca.as_deref().is_none_or(|own| own.trim() != ca.trim())
        })
    };
    let mut name = cluster.to_owned();
    for number in 2..1000 {
        if !another(&name) {
            break;
        }
        name = format!("{cluster}-{number}");
    }
    name
}

/// Whether the cluster takes what the context has.
async fn works(known: &Context) -> bool {
    let masters: Result<Vec<MasterUrl>, _> = known.masters.iter().map(|url| url.parse()).collect();
    let (Ok(masters), Some(ca), Some(token)) = (masters, &known.ca, &known.token) else { return false };
    let Ok(dialler) = tls::Authority { ca, own: None }.dialler(std::time::SystemTime::now()) else {
        return false;
    };
    let token = SecretString::from(token.expose().to_owned());
    let credentials = Credentials { dialler: Some(dialler), token: Some(token) };
    match Client::with(masters, Duration::from_secs(5), credentials) {
        Ok(client) => client.whoami().await.is_ok(),
        Err(_) => false,
    }
}

/// Takes the context of a cluster that is no more out of the user's file.
pub(super) fn forget(ui: &mut Printer, name: &str, masters: &[String]) -> Result<(), CliError> {
    let path = context::path()?;
    let mut contexts = Contexts::load(&path)?;
    // Another cluster may have the same name.
    if contexts.contexts.get(name).is_none_or(|known| known.masters != masters) {
        return Ok(());
    }
    contexts.contexts.remove(name);
    contexts.current = contexts.current.take().filter(|current| current != name);
    contexts.store(&path)?;
    ui.hint(&format!("{name} is forgotten in {}", path.display()));
    Ok(())
}
