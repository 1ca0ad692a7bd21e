//! Passwords of sudo, and hosts whose logins are noisy, slow or odd. No password is ever seen anywhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use testbed::{Host, Testbed};

use crate::watched::{Watched, is};
use crate::written::{log_of, operator_of, word};

/// Stands nowhere else.
const PASSWORD: &str = "canary-4bd1f6";
const WRONG: &str = "canary-000000";

/// What people put into their start-up files, and administrators before logins.
const NOISE: &str = r"
printf 'AUTHORIZED USE ONLY\nFAILED\t0\t1\t\nend\t.\n' >/etc/issue.net
echo 'Banner /etc/issue.net' >/etc/ssh/sshd_config.d/banner.conf
cp /etc/issue.net /etc/motd
printf 'cat /etc/issue.net; echo warning: low on coffee >&2; sleep 1; stty erase x; cd /nowhere\n' >/home/admin/.bashrc
systemctl restart ssh
";
/// Another login shell, nothing may be run in /tmp, and an environment that programs take for other wishes.
const ODD: &str = r#"
chsh -s /bin/dash admin
printf 'export TMPDIR=/nowhere POSIXLY_CORRECT=1 GREP_OPTIONS=-v TAR_OPTIONS=--verbose GZIP=-9 LC_ALL=de_DE.UTF-8 CDPATH=/etc\n' >/home/admin/.profile
printf 'TMPDIR="/nowhere"\nLANG="de_DE.UTF-8"\nPOSIXLY_CORRECT="1"\nCDPATH="/etc"\n' >>/etc/environment
mount -t tmpfs -o noexec,size=1m tmpfs /tmp
"#;

async fn is_untouched(host: &Host) {
    assert_eq!(host.run("ls -d /opt/clusterctl /etc/clusterctl 2>/dev/null || true").await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "real hosts"]
async fn a_password_of_sudo_is_asked_for_found_wrong_at_once_and_never_seen_also_on_odd_hosts() {
    let testbed = Testbed::builder().hosts(2).start().await.unwrap();
    let [h1, h2] = testbed.hosts() else { unreachable!("two were asked for") };
    let operator = operator_of(&testbed, "admin", &["master", "agent"]);
    for host in testbed.hosts() {
        host.run(&format!("echo 'admin:{PASSWORD}' | chpasswd")).await.unwrap();
    }
    h1.run(NOISE).await.unwrap();
    h2.run(ODD).await.unwrap();
    operator.write("right", &format!("{PASSWORD}\n"));
    operator.write("wrong", &format!("{WRONG}\n"));

    let wrong = operator.run(&["install", "inventory.yaml", "-y", "--become-password-file", "wrong"]);
    let none = operator.run(&["install", "inventory.yaml", "-y"]);
    for (ran, said) in [(&wrong, "sudo does not take the password"), (&none, "sudo wants a password")] {
        assert_eq!(ran.status, 6, "{ran}");
        assert_eq!((word(ran, "h1"), word(ran, "h2")), ("failed".to_owned(), "failed".to_owned()), "{ran}");
        assert!(ran.stdout.contains("same error on 2 hosts (h1, h2): "), "{ran}");
        assert_eq!(ran.stdout.matches(said).count(), 1, "{ran}");
        assert!(log_of(&operator, ran).contains(said), "{ran}");
    }
    assert!(none.stdout.contains("--become-password-file"), "{none}");
    is_untouched(h1).await;
    is_untouched(h2).await;

    let arguments = ["install", "inventory.yaml", "-y", "--become-password-file", "right"];
    let mut installer = Watched::start(&operator, &arguments);
    installer.until(|event| is(event, "phase_started", "distribute")).await;
    let mut processes = local_processes();
    for host in testbed.hosts() {
        processes += &host.run("ps axeww -o args").await.unwrap();
    }
    let ended = installer.end().await;
    assert_eq!(ended.status, 0, "{ended}");
    let again = operator.run(&arguments);
    assert_eq!(again.status, 0, "{again}");
    assert!(again.stdout.starts_with("Nothing to change: 2 hosts"), "{again}");

    let mut shown = format!("{wrong}{none}{ended}{again}{processes}");
    for host in testbed.hosts() {
        shown += &host
            .run("journalctl --no-pager -o verbose; cat /var/log/* 2>/dev/null; ls /tmp /var/tmp")
            .await
            .unwrap();
        assert_eq!(grep(host).await, "", "{}", host.name());
    }
    assert!(
        !shown.contains("canary-"),
        "{}",
        shown.lines().find(|line| line.contains("canary-")).unwrap_or_default()
    );
    for file in files(&operator.path(".")) {
        let is_ours = ["right", "wrong"].iter().any(|name| file.ends_with(name));
        let text = fs::read(&file).unwrap();
        let found = text.windows(7).any(|bytes| bytes == b"canary-");
        assert!(is_ours || !found, "{}", file.display());
    }
}

/// Files of a host that have a password in them.
async fn grep(host: &Host) -> String {
    let places = "/etc /home /opt /root /run /tmp /var";
    // In two words, lest the search finds itself.
    host.run(&format!("grep -rlIs --devices=skip 'cana''ry-' {places} || true")).await.unwrap()
}

/// All processes of this machine, with their environment; the canary is in none of them by this test's own doing.
fn local_processes() -> String {
    let output = Command::new("ps").args(["axeww", "-o", "args"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}
