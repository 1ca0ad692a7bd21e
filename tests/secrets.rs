//! Secrets of a cluster on one machine: a task has them, and nothing else shows them. With the real binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes so long; what does is a failure.
const LIMIT: Duration = Duration::from_secs(120);
const VALUE: &str = "correct-horse-battery-staple";
const OPTION: &str = "tr0ub4dor-and-3";

/// A cluster, which ends in order when it is dropped.
struct Up {
    process: Child,
    url: String,
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clusterctl"));
    command.env_remove("CLUSTERCTL_URL");
    command
}

impl Up {
    fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let mut process = program()
            .args(["--json", "up", "--port", "0", "--resources", "cpus:2;mem:512;disk:512", "--dir"])
            .arg(dir.path().join("up"))
            .env("XDG_CONFIG_HOME", dir.path().join("config"))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {}", log(dir.path()))).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if let Some(url) = event.get("url").and_then(Value::as_str) {
                break url.to_owned();
            }
        };
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { process, url, dir, runtime }
    }

    fn clusterctl(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = program()
            .args(arguments)
            .env("CLUSTERCTL_URL", &self.url)
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    fn ask(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> (u16, String) {
        // Calls of Cosmos' say of themselves which they are.
        let names: Vec<&str> = path.split('/').skip(1).collect();
        let kind = match names.as_slice() {
            [family @ ("package" | "service"), name] => {
                format!("application/vnd.dcos.{family}.{name}-request+json;charset=utf-8;version=v1")
            }
            _ => "application/json".to_owned(),
        };
        self.runtime.block_on(async {
            let mut request =
                reqwest::Client::new().request(method, format!("{}{path}", self.url)).timeout(LIMIT);
            if let Some(body) = body {
                request = request.header("content-type", kind).body(body.to_string());
            }
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    }

    fn get(&self, path: &str) -> String {
        self.ask(reqwest::Method::GET, path, None).1
    }

    /// Waits until something is so.
    fn until<T>(&self, what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(seen) = seen() {
                return seen;
            }
            assert!(Instant::now() < end, "{what}: {}\n{}", self.get("/v2/apps"), log(self.dir.path()));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What a task wrote into a file of its sandbox.
    fn written(&self, name: &str) -> String {
        let top = self.dir.path().join("up/agents");
        self.until(name, || {
            let found =
                files(&top).into_iter().find(|path| path.file_name().is_some_and(|own| own == name))?;
            let text = fs::read_to_string(found).ok()?;
            text.ends_with('\n').then(|| text.trim_end().to_owned())
        })
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.process.wait();
    }
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn files(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// A package with a secret option.
fn package(dir: &Path) {
    let one = dir.join("vault/1.0.0");
    fs::create_dir_all(&one).unwrap();
    for (name, text) in [
        (
            "package.yaml",
            "name: vault\nversion: 1.0.0\ndescription: Keeps one thing.\nmaintainer: test@example.org\ntags: [test]\n",
        ),
        (
            "config.yaml",
            "type: object\nproperties:\n  service:\n    type: object\n    properties:\n      name: {type: string, default: vault}\n\
             \x20     password: {type: string, secret: true, default: ''}\n",
        ),
        ("resource.yaml", "images: {}\n"),
        (
            "service.json.tera",
            r#"{"id": "{{ id }}", "cmd": "echo $PASSWORD > option.txt; sleep 1000", "cpus": 0.1, "mem": 32,
               "secrets": {"p": {"source": "{{ options.service.password }}"}}, "env": {"PASSWORD": {"secret": "p"}}}"#,
        ),
    ] {
        fs::write(one.join(name), text).unwrap();
    }
}

#[test]
fn tasks_have_secrets_and_nothing_else_shows_them() {
    let up = Up::start();
    let app = json!({
        "id": "/web", "cmd": "echo $TOKEN > token.txt; sleep 1000", "cpus": 0.1, "mem": 32,
        "secrets": {"t": {"source": "/web/token"}}, "env": {"TOKEN": {"secret": "t"}},
    });
    let (status, text) = up.ask(reqwest::Method::POST, "/v2/apps", Some(&app));
    assert_eq!(status, 201, "{text}");
    // Nothing is there yet: it says what it waits for.
    up.until("the failure names the secret", || {
        up.get("/v2/apps/web?embed=app.lastTaskFailure")
            .contains("there is no secret web/token")
            .then_some(())
    });

    let (fine, said) = up.clusterctl(&["secret", "set", "web/token", "--file", "-"], VALUE);
    assert!(fine && !said.contains(VALUE), "{said}");
    assert_eq!(up.written("token.txt"), VALUE);

    let packages = up.dir.path().join("packages");
    package(&packages);
    let (fine, said) = up.clusterctl(&["universe", "add", "ours", packages.to_str().unwrap()], "");
    assert!(fine, "{said}");
    let install = json!({"packageName": "vault", "options": {"service": {"password": OPTION}}});
    let (status, text) = up.ask(reqwest::Method::POST, "/package/install", Some(&install));
    assert_eq!(status, 200, "{text}");
    assert_eq!(up.written("option.txt"), OPTION);

    let (_, listed) = up.clusterctl(&["secret", "list"], "");
    assert!(listed.contains("web/token") && listed.contains("vault/service/password"), "{listed}");
    let answers = [
        "/v2/apps",
        "/v2/apps/web",
        "/v2/apps/web?embed=app.tasks&embed=app.lastTaskFailure",
        "/v2/groups",
        "/v2/tasks",
        "/v2/queue",
        "/v2/deployments",
        "/v2/info",
        "/state",
        "/master/state",
        "/tasks",
        "/slaves",
        "/frameworks",
        "/clusterctl/v1/cluster",
        "/clusterctl/v1/secrets",
        "/clusterctl/v1/secrets/web/token",
        "/clusterctl/v1/secrets/vault/service/password",
        "/metrics",
    ];
    for path in answers {
        let text = up.get(path);
        assert!(!text.is_empty() && !text.contains(VALUE) && !text.contains(OPTION), "{path}: {text}");
    }
    let describe = json!({"appId": "/vault"});
    let (_, text) = up.ask(reqwest::Method::POST, "/service/describe", Some(&describe));
    assert!(text.contains("vault/service/password") && !text.contains(OPTION), "{text}");
    // The master's files, its log, and the key beside them, which nobody else may read.
    let master = up.dir.path().join("up/master");
    for path in files(&master).into_iter().chain([up.dir.path().join("log")]) {
        let bytes = fs::read(&path).unwrap();
        for plain in [VALUE, OPTION] {
            let found = bytes.windows(plain.len()).any(|part| part == plain.as_bytes());
            assert!(!found, "{} has a secret in plain", path.display());
        }
    }
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(master.join("secrets.key")).unwrap());
    assert_eq!(mode & 0o777, 0o600);

    let uninstall = json!({"packageName": "vault"});
    let (status, text) = up.ask(reqwest::Method::POST, "/package/uninstall", Some(&uninstall));
    assert_eq!(status, 200, "{text}");
    let left = up.get("/clusterctl/v1/secrets");
    assert!(left.contains("web/token") && !left.contains("vault"), "{left}");
    let (fine, said) = up.clusterctl(&["secret", "remove", "web/token", "--yes"], "");
    assert!(fine, "{said}");
    assert_eq!(up.ask(reqwest::Method::GET, "/clusterctl/v1/secrets/web/token", None).0, 404);
}
