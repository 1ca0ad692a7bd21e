use std::collections::VecDeque;

use anstream::adapter::strip_str;
use insta::assert_snapshot;

use super::*;

/// Somebody who says these things, and takes the default where there is nothing to say.
struct Somebody {
    says: VecDeque<&'static str>,
    heard: Vec<String>,
}

impl Asked for Somebody {
    fn ask(&mut self, question: &Question<'_>) -> Result<String, CliError> {
        let default = question.default.clone();
        self.heard.push(format!("{} [{}]", question.text, default.as_deref().unwrap_or_default()));
        loop {
            let said =
                self.says.pop_front().ok_or_else(|| CliError::interrupted("nothing is left to say"))?;
            let answer = if said.is_empty() { default.clone().unwrap_or_default() } else { said.to_owned() };
            match (question.check)(&answer) {
                Ok(()) => return Ok(answer),
                Err(message) => self.heard.push(format!("  no: {message}")),
            }
        }
    }
}

fn somebody(says: &[&'static str]) -> Somebody {
    Somebody { says: says.iter().copied().collect(), heard: Vec::new() }
}

fn likely() -> Likely {
    let variable = |name: &str| match name {
        "USER" => Some("ada".to_owned()),
        "HOME" => Some("/home/ada".to_owned()),
        _ => None,
    };
    let is_file = |path: &Path| path == Path::new("/home/ada/.ssh/id_ecdsa") || path.ends_with("id_rsa");
    Likely::find(Path::new("/srv/prod"), variable, is_file)
}

#[test]
fn what_is_likely_comes_from_where_the_command_runs() {
    let known = |text: &str| Some(text.to_owned());
    let expected =
        Likely { cluster: known("prod"), user: known("ada"), identity_file: known("~/.ssh/id_ecdsa") };
    assert_eq!(likely(), expected);
    assert_eq!(Likely::find(Path::new("/a b"), |_| None, |_| true), Likely::default());
    assert_eq!(
        Likely::find(Path::new("/"), |name| known(name).filter(|_| name == "LOGNAME"), |_| true).user,
        known("LOGNAME")
    );
}

#[test]
fn every_question_has_a_likely_answer_or_says_what_is_wrong() {
    let mut ada = somebody(&["", "", "", "", "192.0.2.11 192.0.2.12", "192.0.2.11", "", ""]);
    let answers = ask(&InitArgs::default(), &likely(), &mut ada).unwrap();
    assert_snapshot!(ada.heard.join("\n"), @r"
    Name of the cluster [prod]
    Log in to its machines as [ada]
    File of your private key, or `agent` for those of the SSH agent [~/.ssh/id_ecdsa]
    Masters: the address of one machine, or of three or five that bear the loss of some []
      no: a cluster needs a master; write the address of one, or of three
      no: 2 masters bear the loss of no more hosts than 1; write an odd number
    Agents, which run tasks: addresses with blanks between them, or ranges like 192.0.2.[21:40] [192.0.2.11]
    User of tasks that name none [nobody]
    ");
    let inventory = answers.check().unwrap();
    assert_eq!((inventory.hosts.len(), inventory.hosts[0].roles.len()), (1, 2));
    assert_eq!(answers.identity_file.as_deref(), Some("~/.ssh/id_ecdsa"));
}

#[test]
fn flags_are_not_asked_for() {
    let args = InitArgs {
        name: Some("demo".to_owned()),
        user: Some("root".to_owned()),
        identity_file: Some("agent".to_owned()),
        masters: vec!["192.0.2.11".to_owned()],
        agents: vec!["192.0.2.[21:22]".to_owned(), "db=192.0.2.50,x".to_owned()],
        task_user: Some("tasks".to_owned()),
        ..InitArgs::default()
    };
    let asked = ask(&args, &likely(), &mut somebody(&[])).unwrap();
    assert_eq!(asked, from_flags(&args).unwrap());
    assert_eq!((asked.identity_file.clone(), asked.check().unwrap().hosts.len()), (None, 5));
    assert_eq!(missing(&args), Vec::<&str>::new());
    assert_eq!(missing(&InitArgs::default()), ["--name", "--user", "--master", "--agent"]);
}

#[test]
fn mistakes_in_flags_are_told_at_once() {
    let args = InitArgs {
        name: Some("a b".to_owned()),
        masters: vec!["192.0.2.11".to_owned(), "192.0.2.12".to_owned()],
        agents: vec!["192.0.2.300".to_owned()],
        ..InitArgs::default()
    };
    let error = check_flags(&args).unwrap_err();
    assert_snapshot!(strip_str(&error.styled()), @r"
    error: 3 mistakes; nothing was written
      caused by: --name: `a b` is no name of a cluster; write at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first
      caused by: --master: 2 masters bear the loss of no more hosts than 1; write an odd number
      caused by: --agent: `192.0.2.300` is no IPv4 address; write four numbers from 0 to 255, like `192.0.2.11`
    ");
    assert_eq!(check_flags(&InitArgs::default()), Ok(()));
}
