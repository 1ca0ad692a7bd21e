//! `clusterctl quorum`: which coordinators answer, and say that they have a quorum. An install runs it on a host that has a certificate
//! for them, since no other machine has one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use secrecy::SecretString;

use crate::error::CliError;
use crate::exit::Exit;

/// One question. Etcd itself gives a quorum a second or a few.
const REQUEST: Duration = Duration::from_secs(5);
/// Between two rounds.
const AGAIN: Duration = Duration::from_millis(200);
/// Once a majority answers, the others have so long.
const LAST_ONES: Duration = Duration::from_secs(5);

/// Arguments of `clusterctl quorum`.
#[derive(Args, Debug)]
pub(crate) struct QuorumArgs {
    /// How many seconds to wait for all of them
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    within: u16,

    /// The authority of their certificates
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,

    /// A certificate for them, with its key
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,

    /// Where they answer
    #[arg(required = true, value_name = "URL")]
    endpoints: Vec<String>,
}

/// Asks until all answer, or until it is time.
pub(crate) fn run(args: &QuorumArgs) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))?;
    let text = runtime.block_on(async {
        let http = client(args)?;
        Ok::<_, CliError>(ask(&http, &args.endpoints, Duration::from_secs(args.within.into())).await)
    })?;
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|cause| CliError::internal("cannot write").caused_by(&cause))?;
    Ok(Exit::Done)
}

fn client(args: &QuorumArgs) -> Result<reqwest::Client, CliError> {
    let read = |path: &Path| {
        fs::read_to_string(path)
            .map_err(|cause| CliError::usage(format!("{} cannot be read", path.display())).caused_by(&cause))
    };
    let (ca, own) = (read(&args.ca)?, read(&args.certificate)?);
    let key = SecretString::from(own.clone());
    let authority = tls::Authority { ca: &ca, own: Some((&own, &key)) };
    let unusable = |cause: &(dyn std::error::Error + 'static)| {
        CliError::usage("the certificate for coordinators cannot be used").caused_by(cause)
    };
    let dialler = authority.dialler(SystemTime::now()).map_err(|cause| unusable(&cause))?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(dialler.config())
        .timeout(REQUEST)
        .no_proxy()
        .build()
        .map_err(|cause| unusable(&cause))
}

/// A line for each: `answers`, or `silent` and why.
async fn ask(http: &reqwest::Client, endpoints: &[String], within: Duration) -> String {
    let began = Instant::now();
    let mut until = within;
    loop {
        let asked = endpoints.iter().map(|endpoint| health(http, endpoint));
        let answers = futures_util::future::join_all(asked).await;
        let good = answers.iter().filter(|answer| answer.is_ok()).count();
        if good >= installer::coordinators::majority(endpoints.len()) {
            until = until.min(began.elapsed().max(LAST_ONES));
        }
        if good == endpoints.len() || began.elapsed() + AGAIN >= until {
            let line = |(endpoint, answer): (&String, &Result<(), String>)| match answer {
                Ok(()) => format!("answers\t{endpoint}\n"),
                Err(why) => format!("silent\t{endpoint}\t{}\n", why.replace(['\t', '\n'], " ")),
            };
            return endpoints.iter().zip(&answers).map(line).collect();
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Etcd's own word: it is well when it has a leader, reads through its quorum, and has raised no alarm.
async fn health(http: &reqwest::Client, endpoint: &str) -> Result<(), String> {
    let innermost = |error: &dyn std::error::Error| {
        let mut said = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            said = cause.to_string();
            next = cause.source();
        }
        said
    };
    let answer = http.get(format!("{endpoint}/health")).send().await.map_err(|error| innermost(&error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| innermost(&error))?;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match value.get("health").and_then(serde_json::Value::as_str) {
        Some("true") => Ok(()),
        Some(_) => {
            let reason =
                value.get("reason").and_then(serde_json::Value::as_str).filter(|reason| !reason.is_empty());
            Err(format!(
                "it is not well: {}",
                reason.unwrap_or("it has no quorum, or its disk quota is used up")
            ))
        }
        None => Err(format!("it answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    async fn serve(answer: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/health", get(move || async move { answer }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn each_is_asked_and_what_it_says_is_told() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (well, ill) = (serve(r#"{"health":"true"}"#).await, serve(r#"{"health":"false"}"#).await);
        let closed = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        let all = [well.clone(), ill.clone(), closed.clone()];
        let http = reqwest::Client::builder().timeout(REQUEST).no_proxy().build().unwrap();
        let text = ask(&http, &all, Duration::from_millis(1)).await;
        assert!(text.contains(&format!("answers\t{well}\n")), "{text}");
        assert!(text.contains(&format!("silent\t{ill}\tit is not well")), "{text}");
        assert!(text.contains(&format!("silent\t{closed}\t")) && text.contains("refused"), "{text}");
        let quorum = installer::coordinators::Quorum::read(&text).unwrap();
        assert_eq!((quorum.answering(), quorum.all.len(), quorum.stands()), (1, 3, false));
    }
}
