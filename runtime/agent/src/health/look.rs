//! Looking after a task: a request, a connection or a command, each with its limit of time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use api::mesos::{Check, CheckAddress, CheckKind, Purpose, Response, Sight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::{Finding, Probe};
use crate::launch::Program;
use crate::shim::{CheckAnswer, CheckQuestion, chain};

/// A command's helper that says nothing for so long after the time limit is killed.
const HELPER_LATE: Duration = Duration::from_secs(5);
/// A helper's answer is one short line.
const MAX_ANSWER: u64 = 64 << 10;
/// So many commands run side by side; the others wait, outside their own limits of time.
const COMMANDS_AT_ONCE: usize = 16;

/// So much of an answer's body is told.
const MAX_BODY: usize = 4 << 10;
/// What an answer that never came is told as.
const NO_ANSWER: u16 = 504;

/// Looks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Looker {
    client: reqwest::Client,
    agent: IpAddr,
    program: Arc<Program>,
    commands: Arc<Semaphore>,
}

impl Looker {
    /// For tasks that are reached at `agent`; commands are run by `program` in its form `check DIR`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(agent: IpAddr, program: Program) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            // A certificate of a task is nobody's business here, and a redirect is an answer.
            .tls_danger_accept_invalid_certs(true)
            .tls_danger_accept_invalid_hostnames(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent(concat!("clusterctl-agent/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let commands = Arc::new(Semaphore::new(COMMANDS_AT_ONCE));
        Ok(Self { client, agent, program: Arc::new(program), commands })
    }

    /// Looks once at the task whose records are in `dir`.
    pub async fn look(&self, check: &Check, dir: PathBuf) -> Finding {
        let timeout = check.timeout;
        let mut finding = match &check.kind {
            CheckKind::Http { address, port, path, tls, ignore_1xx } => {
                let scheme = if *tls { "https" } else { "http" };
                let slash = if path.starts_with('/') { "" } else { "/" };
                let address = self.address(*address, *port);
                let url = format!("{scheme}://{address}{slash}{path}");
                self.http(&url, *ignore_1xx, timeout, &check.purpose).await
            }
            CheckKind::Tcp { address, port } => tcp(self.address(*address, *port), timeout).await,
            CheckKind::Command(line) => {
                let question = CheckQuestion {
                    command: crate::daemon::command_of(line),
                    timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                };
                self.command(&question, dir, timeout).await.unwrap_or_else(|why| Probe::Bad(why).into())
            }
        };
        if check.purpose == Purpose::Health {
            finding.sight = None;
        }
        finding
    }

    fn address(&self, address: CheckAddress, port: u16) -> SocketAddr {
        let ip = match address {
            CheckAddress::Agent => self.agent,
            CheckAddress::Loopback => Ipv4Addr::LOCALHOST.into(),
            CheckAddress::Loopback6 => Ipv6Addr::LOCALHOST.into(),
        };
        SocketAddr::new(ip, port)
    }

    async fn http(&self, url: &str, ignore_1xx: bool, timeout: Duration, purpose: &Purpose) -> Finding {
        let keep = matches!(purpose, Purpose::Readiness { keep_response: true, .. });
        let looked = async {
            let answer = self.client.get(url).timeout(timeout).send().await?;
            let status = answer.status().as_u16();
            // A body that nobody asks for is not read: dropping the answer closes the connection.
            let sight = if keep { Sight::Response(response(answer).await?) } else { Sight::Status(status) };
            Ok::<_, reqwest::Error>((status, sight))
        };
        match looked.await {
            Ok((status, sight)) => {
                let good = match purpose {
                    Purpose::Health => (200..=399).contains(&status),
                    Purpose::Readiness { statuses, .. } => statuses.contains(&status),
                    Purpose::Information => true,
                };
                let probe = match status {
                    _ if good => Probe::Good,
                    100..=199 if ignore_1xx => Probe::Ignored,
                    _ => Probe::Bad(format!("{url} answered with status {status}")),
                };
                Finding { probe, sight: Some(sight) }
            }
            Err(e) => {
                let why = if e.is_timeout() {
                    format!("no answer from {url} within {} ms", timeout.as_millis())
                } else {
                    chain(&e.without_url())
                };
                let instead = || Response {
                    status: NO_ANSWER,
                    content_type: "text/plain".to_owned(),
                    body: format!("{url} could not be asked: {why}"),
                };
                let sight = keep.then(|| Sight::Response(instead()));
                Finding { probe: Probe::Bad(why), sight }
            }
        }
    }

    async fn command(
        &self,
        question: &CheckQuestion,
        dir: PathBuf,
        timeout: Duration,
    ) -> Result<Finding, String> {
        let _permit = self.commands.acquire().await.map_err(|e| e.to_string())?;
        let question = serde_json::to_vec(question).map_err(|e| e.to_string())?;
        let mut helper = Command::new(&self.program.path)
            .args(&self.program.args)
            .arg("check")
            .arg(&dir)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cannot start the check: {e}"))?;
        let (stdin, stdout) = (helper.stdin.take(), helper.stdout.take());
        let talk = async {
            if let Some(mut stdin) = stdin {
                stdin.write_all(&question).await?;
            }
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(MAX_ANSWER).read_to_end(&mut answer).await?;
            }
            helper.wait().await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(timeout.saturating_add(HELPER_LATE), talk)
            .await
            .map_err(|_elapsed| format!("the check did not end {} s after its limit", HELPER_LATE.as_secs()))?
            .map_err(|e| format!("cannot talk to the check: {e}"))?;
        match serde_json::from_slice(&answer) {
            Ok(CheckAnswer::Good) => Ok(Finding { probe: Probe::Good, sight: Some(Sight::Exit(0)) }),
            Ok(CheckAnswer::Code(code)) => {
                let probe = Probe::Bad(format!("the command exited with status {code}"));
                Ok(Finding { probe, sight: Some(Sight::Exit(code)) })
            }
            Ok(CheckAnswer::Bad(why)) => Ok(Probe::Bad(why).into()),
            Err(_) => Err("the check ended without an answer".to_owned()),
        }
    }
}

/// An answer's beginning, read no further than that.
async fn response(mut answer: reqwest::Response) -> Result<Response, reqwest::Error> {
    let content_type = answer.headers().get(reqwest::header::CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut body = Vec::new();
    while body.len() < MAX_BODY
        && let Some(chunk) = answer.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(MAX_BODY);
    Ok(Response {
        status: answer.status().as_u16(),
        content_type: content_type.unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

async fn tcp(address: SocketAddr, timeout: Duration) -> Finding {
    let probe = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Probe::Good,
        Ok(Err(e)) => Probe::Bad(format!("cannot connect to {address}: {e}")),
        Err(_) => Probe::Bad(format!("no answer from {address} within {} ms", timeout.as_millis())),
    };
    let sight = Some(Sight::Connected(probe == Probe::Good));
    Finding { probe, sight }
}
