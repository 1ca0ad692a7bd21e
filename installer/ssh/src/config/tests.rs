use std::fs;

use proptest::prelude::*;

use super::*;

fn local() -> Local {
    Local { home: PathBuf::from("/home/ada"), user: "ada".to_owned() }
}

fn parse(text: &str) -> SshConfig {
    SshConfig::parse(Path::new("/c"), text, &mut |_| Vec::new())
}

fn of(text: &str, host: &str) -> HostConfig {
    parse(text).resolve(host, &local())
}

#[test]
fn the_first_value_wins_and_key_files_add_up() {
    let text = "User first\nHost a b\n Port 2222\n User second\n IdentityFile ~/.ssh/a\nHost *\n Port 22\n \
                IdentityFile %d/keys/%h-%r-%p-%u\n IdentitiesOnly yes\nIdentitiesOnly no\n";
    let found = of(text, "a");
    assert_eq!((found.user.as_deref(), found.port), (Some("first"), Some(2222)));
    assert_eq!(
        found.identities,
        [PathBuf::from("/home/ada/.ssh/a"), PathBuf::from("/home/ada/keys/a-first-2222-ada")]
    );
    assert!(found.identities_only);
    assert_eq!(of(text, "c").port, Some(22));
}

#[test]
fn hosts_are_matched_as_they_are_named() {
    let text = "Host *.example.org !evil.example.org\n HostName %h.internal\nHost web?\n HostName=10.0.0.1\n";
    assert_eq!(of(text, "a.example.org").host_name.as_deref(), Some("a.example.org.internal"));
    assert_eq!(of(text, "evil.example.org").host_name, None);
    assert_eq!(of(text, "WEB1").host_name.as_deref(), Some("10.0.0.1"));
}

#[test]
fn forms_of_writing_are_those_of_openssh() {
    let text = "  HOST \"a\"  # comment\n\tuSER = \"with space\"\nProxyJump=u@j1:22,j2\r\nConnectTimeout 7\n\
                UserKnownHostsFile ~/.ssh/k1 /k2\n";
    let found = of(text, "a");
    assert_eq!(found.user.as_deref(), Some("with space"));
    assert_eq!(found.jump.iter().map(ToString::to_string).collect::<Vec<_>>(), ["u@j1:22", "j2"]);
    assert_eq!(found.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(found.known_hosts, Some(vec![PathBuf::from("/home/ada/.ssh/k1"), PathBuf::from("/k2")]));
    assert!(parse(text).warnings().is_empty());
}

#[test]
fn a_jump_can_be_ruled_out_for_one_host() {
    let text = "Host direct\nProxyJump none\nHost *\nProxyJump bastion";
    assert!(of(text, "direct").jump.is_empty());
    assert_eq!(of(text, "other").jump.len(), 1);
}

#[test]
fn match_means_nothing_and_says_so_but_match_all_is_for_all() {
    let config = parse("Match user x exec \"rm -rf /\"\nUser wrong\nHost a\nUser right\nMatch all\nPort 7");
    let found = config.resolve("a", &local());
    assert_eq!((found.user.as_deref(), found.port), (Some("right"), Some(7)));
    assert_eq!(config.warnings().len(), 1);
    assert_eq!((config.warnings()[0].line, config.warnings()[0].path.to_str()), (1, Some("/c")));
}

#[test]
fn what_cannot_be_used_is_warned_of_with_its_line() {
    let config = parse(
        "Port x\nPort\nIdentitiesOnly maybe\nProxyJump @\nProxyCommand nc\nCiphers aes\nConnectTimeout -1",
    );
    let lines: Vec<_> = config.warnings().iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 7]);
    assert_eq!(config.resolve("a", &local()), HostConfig::default());
}

#[test]
fn an_included_file_counts_where_it_is_included() {
    let directory = tempfile::tempdir().unwrap();
    let ssh = directory.path().join(".ssh");
    fs::create_dir_all(ssh.join("conf.d")).unwrap();
    fs::write(ssh.join("conf.d/1.conf"), "User one\nHost b\nPort 1").unwrap();
    fs::write(ssh.join("conf.d/2.conf"), "User two").unwrap();
    fs::write(ssh.join("conf.d/.hidden.conf"), "User hidden").unwrap();
    fs::write(ssh.join("config"), "Host a b\nInclude conf.d/*.conf none\nHost *\nUser other\n").unwrap();
    let config = SshConfig::load(&ssh.join("config"), directory.path()).unwrap();
    let local = Local { home: directory.path().to_owned(), ..local() };
    assert_eq!(config.resolve("a", &local).user.as_deref(), Some("one"));
    assert_eq!(config.resolve("a", &local).port, None);
    assert_eq!(config.resolve("b", &local).port, Some(1));
    assert_eq!(config.resolve("c", &local).user.as_deref(), Some("other"));
}

#[test]
fn files_that_include_each_other_end() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(".ssh")).unwrap();
    let path = directory.path().join(".ssh/config");
    fs::write(&path, "Include config config\nUser u").unwrap();
    let config = SshConfig::load(&path, directory.path()).unwrap();
    assert!(!config.warnings().is_empty());
    assert!(SshConfig::load(&directory.path().join("none"), directory.path()).unwrap().settings.is_empty());
    fs::write(&path, "Include ../.ssh").unwrap();
    let said = SshConfig::load(&path, directory.path()).unwrap_err().to_string();
    assert!(said.contains(".ssh"), "{said}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}", host in "\\PC{0,20}") {
        let _ = of(&text, &host);
    }

    #[test]
    fn no_likely_text_makes_it_panic(
        words in prop::collection::vec(prop::sample::select(vec!["Host", "Match", "all", "User", "Port", "22", "Include",
            "*", "!a", "\"", "=", "\n", "#", "%h", "%", "~", "ProxyJump", "a@b:1", ",", "IdentityFile"]), 0..20),
    ) {
        let _ = of(&words.join(" "), "a");
    }
}
