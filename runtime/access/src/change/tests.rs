use store::{MAX_OPS, Snapshot};

use super::*;
use crate::password::Cost;
use crate::secret::random;

const NOW: i64 = 1_700_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW + seconds * 1000)
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn hash() -> PasswordHash {
    PasswordHash::of_nobody(Cost { memory_kib: 8, passes: 1 }).unwrap()
}

/// Who makes what is no user's.
const ROOT: &str = "clusterctl://prod/admin/root";

fn put(book: &Book, user: &str, role: UserRole, password: NewPassword) -> Plan {
    plan(book, "prod", Change::PutUser { name: name(user), role, password }, "root", at(0)).unwrap()
}

fn token(user: &str, login: Option<PasswordHash>, lifetime: u64) -> Change {
    Change::AddToken(Box::new(NewToken {
        id: TokenId::new().unwrap(),
        sum: Sum(random().unwrap()),
        user: name(user),
        label: String::new(),
        lifetime: Duration::from_secs(lifetime),
        login,
    }))
}

/// A user with so many tokens made on purpose, and so many logins.
fn with_tokens(made: usize, logins: usize) -> (Book, PasswordHash) {
    let hash = hash();
    let mut book = put(&Book::default(), "joe", UserRole::Viewer, NewPassword::Set(hash.clone())).book;
    for n in 0..made + logins {
        let login = (n >= made).then(|| hash.clone());
        let lifetime = 1000 + u64::try_from(n).unwrap();
        let by = if login.is_some() { "joe" } else { ROOT };
        book = plan(&book, "prod", token("joe", login, lifetime), by, at(0)).unwrap().book;
    }
    (book, hash)
}

#[test]
fn putting_the_same_user_again_changes_nothing() {
    let first = put(&Book::default(), "joe", UserRole::Viewer, NewPassword::Set(hash()));
    assert_eq!((first.outcome, first.batch.len()), (Outcome::Created, 1));
    let again = put(&first.book, "joe", UserRole::Viewer, NewPassword::Keep);
    assert_eq!((again.outcome, again.batch.len()), (Outcome::Unchanged, 0));
    let other = put(&first.book, "joe", UserRole::Admin, NewPassword::Keep);
    assert_eq!(other.outcome, Outcome::Changed);
    let user = other.book.user(&name("joe")).unwrap();
    assert_eq!((user.role, user.has_password(), user.by.as_str()), (UserRole::Admin, true, "root"));
    let without = put(&other.book, "joe", UserRole::Admin, NewPassword::Remove);
    assert!(!without.book.user(&name("joe")).unwrap().has_password());
    assert_eq!(put(&without.book, "joe", UserRole::Admin, NewPassword::Remove).outcome, Outcome::Unchanged);
}

#[test]
fn a_new_password_ends_logins_and_leaves_tokens_that_others_made() {
    let (book, _) = with_tokens(2, 3);
    for password in [NewPassword::Set(hash()), NewPassword::Remove] {
        let changed = put(&book, "joe", UserRole::Viewer, password);
        assert!(changed.book.tokens().all(|token| !token.login));
        assert_eq!((changed.book.tokens().count(), changed.batch.len()), (2, 4));
        assert_eq!(changed.book.by_sum.size(), 2);
    }
    assert_eq!(put(&book, "joe", UserRole::Admin, NewPassword::Keep).book.tokens().count(), 5);
}

#[test]
fn a_new_password_ends_what_the_user_made_with_the_old_one_for_whomever() {
    let (mut book, _) = with_tokens(1, 1);
    book = put(&book, "bot", UserRole::Viewer, NewPassword::Keep).book;
    for user in ["joe", "bot"] {
        book = plan(&book, "prod", token(user, None, 1000), "joe", at(0)).unwrap().book;
    }
    book = plan(&book, "prod", token("bot", None, 1000), ROOT, at(0)).unwrap().book;
    let changed = put(&book, "joe", UserRole::Viewer, NewPassword::Set(hash())).book;
    assert!(changed.tokens().all(|token| token.by == ROOT), "{changed:?}");
    assert_eq!(changed.tokens().count(), 2);
}

#[test]
fn a_user_makes_no_more_tokens_than_one_commit_can_take_back() {
    let (mut book, password) = with_tokens(0, MAX_TOKENS - MAX_MADE);
    book = put(&book, "bot", UserRole::Viewer, NewPassword::Keep).book;
    let made = |book: &Book| book.tokens().filter(|token| token.by == "joe").count();
    while made(&book) < MAX_MADE {
        book = plan(&book, "prod", token("bot", None, 1000), "joe", at(0)).unwrap().book;
    }
    let refused = plan(&book, "prod", token("bot", None, 1000), "joe", at(0));
    assert!(matches!(refused, Err(ChangeError::MadeTooMany(_))));
    // Logging in stays possible, to take some back; however often.
    for _ in 0..MAX_TOKENS {
        let login = token("joe", Some(password.clone()), 1000);
        book = plan(&book, "prod", login, "joe", at(0)).unwrap().book;
    }
    assert_eq!(made(&book), MAX_TOKENS);
    let changed = put(&book, "joe", UserRole::Viewer, NewPassword::Set(hash()));
    assert!(changed.batch.len() + SWEPT <= MAX_OPS && changed.book.tokens().count() == 0);
}

#[test]
fn a_user_goes_with_all_tokens_in_one_commit_and_none_comes_back_with_the_name() {
    let (book, _) = with_tokens(MAX_TOKENS, 0);
    let gone = plan(&book, "prod", Change::RemoveUser { name: name("joe") }, "root", at(0)).unwrap();
    assert_eq!((gone.outcome, gone.batch.len()), (Outcome::Removed, MAX_TOKENS + 1));
    assert!(gone.batch.len() + SWEPT <= MAX_OPS);
    assert_eq!((gone.book.tokens().count(), gone.book.by_sum.size()), (0, 0));
    let again = plan(&gone.book, "prod", Change::RemoveUser { name: name("joe") }, "root", at(0));
    assert!(matches!(again, Err(ChangeError::NoUser(_))));

    // As a store would have them that lost the user's record alone.
    let mut orphaned = book.clone();
    orphaned.users.remove_mut(&name("joe"));
    let made = put(&orphaned, "joe", UserRole::Admin, NewPassword::Keep);
    assert_eq!(made.book.tokens().count(), 0);
}

#[test]
fn the_last_admin_can_be_removed_since_the_certificate_stays() {
    let book = put(&Book::default(), "ann", UserRole::Admin, NewPassword::Set(hash())).book;
    assert!(plan(&book, "prod", Change::RemoveUser { name: name("ann") }, "ann", at(0)).is_ok());
}

#[test]
fn a_login_takes_the_place_of_an_older_login_and_never_of_another_token() {
    let (book, hash) = with_tokens(MAX_TOKENS - 2, 2);
    let first =
        book.tokens().filter(|token| token.login).min_by_key(|token| token.expires).unwrap().id.clone();
    let more = plan(&book, "prod", token("joe", Some(hash.clone()), 60), "joe", at(0)).unwrap();
    assert_eq!(more.book.tokens().count(), MAX_TOKENS);
    assert!(more.book.token(&first).is_none());
    let refused = plan(&book, "prod", token("joe", None, 60), "joe", at(0));
    assert!(matches!(refused, Err(ChangeError::TooManyTokens(_))));
    let (full, hash) = with_tokens(MAX_TOKENS, 0);
    assert!(plan(&full, "prod", token("joe", Some(hash), 60), "joe", at(0)).is_err());
    // One that expired makes room.
    assert!(plan(&full, "prod", token("joe", None, 60), "joe", at(1000)).is_ok());
}

#[test]
fn a_login_with_a_password_that_was_just_changed_gets_no_token() {
    let (book, old) = with_tokens(0, 0);
    let book = put(&book, "joe", UserRole::Viewer, NewPassword::Set(hash())).book;
    let raced = plan(&book, "prod", token("joe", Some(old), 60), "joe", at(0));
    assert!(matches!(raced, Err(ChangeError::PasswordChanged)));
    assert!(matches!(
        plan(&book, "prod", token("ann", None, 60), "root", at(0)),
        Err(ChangeError::NoUser(_))
    ));
}

#[test]
fn no_token_lasts_longer_than_the_longest() {
    let (book, _) = with_tokens(0, 0);
    let made = plan(&book, "prod", token("joe", None, u64::MAX), "joe", at(0)).unwrap();
    let token = made.book.tokens().next().unwrap();
    assert_eq!(token.expires.as_millis() - NOW, i64::try_from(LONGEST.as_millis()).unwrap());
}

#[test]
fn what_has_expired_is_removed_with_the_next_change() {
    let (book, _) = with_tokens(SWEPT + 5, 0);
    let later = at(5_000);
    let change = Change::Admit { name: "n1".to_owned() };
    let first = plan(&book, "prod", change, "root", later).unwrap();
    assert_eq!((first.book.tokens().count(), first.batch.len()), (5, SWEPT + 1));
    let unchanged =
        plan(&first.book, "prod", Change::Admit { name: "n1".to_owned() }, "root", later).unwrap();
    assert_eq!((unchanged.outcome, unchanged.batch.len()), (Outcome::Unchanged, 0));
    let change = Change::Dismiss { name: "n1".to_owned() };
    assert_eq!(plan(&first.book, "prod", change, "root", later).unwrap().book.tokens().count(), 0);
}

#[test]
fn an_admission_that_is_given_again_is_another_one() {
    let admit = |book: &Book| {
        plan(book, "prod", Change::Admit { name: "n1".to_owned() }, "root", at(0)).unwrap().book
    };
    let one = admit(&Book::default());
    let first = one.admission("n1").unwrap().clone();
    assert_eq!(admit(&one).admission("n1"), Some(&first));
    let none = plan(&one, "prod", Change::Dismiss { name: "n1".to_owned() }, "root", at(0)).unwrap().book;
    assert_eq!(none.admission("n1"), None);
    assert_ne!(admit(&none).admission("n1"), Some(&first));
    let absent = plan(&none, "prod", Change::Dismiss { name: "n1".to_owned() }, "root", at(0));
    assert!(matches!(absent, Err(ChangeError::NoAdmission(_))));
    for bad in ["", "..", "a\nb", &"n".repeat(254)] {
        let bad = plan(&none, "prod", Change::Admit { name: bad.to_owned() }, "root", at(0));
        assert!(matches!(bad, Err(ChangeError::BadAgent(_))));
    }
}

#[test]
fn the_log_can_say_a_change_and_nothing_secret_of_it() {
    let hash = hash();
    let (new, login) = (NewPassword::Set(hash.clone()), token("joe", Some(hash.clone()), 60));
    let change = Change::PutUser { name: name("joe"), role: UserRole::Admin, password: new };
    let said = format!("{change:?} {login:?}");
    assert!(said.contains("joe") && said.contains("Admin"), "{said}");
    let listed = |bytes: &[u8]| bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    for secret in [listed(&hash.salt), listed(&hash.sum.0), crate::secret::to_hex(&hash.sum.0)] {
        assert!(!said.contains(&secret), "{said}");
    }
}

#[test]
fn a_plan_that_is_stored_is_what_the_next_leader_reads() {
    let (book, _) = with_tokens(2, 1);
    let book = plan(&book, "prod", Change::Admit { name: "n 1/x".to_owned() }, "root", at(7)).unwrap().book;
    let mut entries = std::collections::BTreeMap::new();
    let mut keep = |key: store::Key, value: Vec<u8>| {
        entries.insert(key, store::Entry { value, modified: store::Revision::new(1) });
    };
    for user in book.users() {
        keep(record::user_key(&user.name).unwrap(), record::user_bytes(user).unwrap());
    }
    for token in book.tokens() {
        keep(record::token_key(&token.id).unwrap(), record::token_bytes(token).unwrap());
    }
    for admission in book.admissions() {
        keep(record::admission_key(&admission.name).unwrap(), record::admission_bytes(admission).unwrap());
    }
    let snapshot = Snapshot { stamp: store::Stamp::default(), prefix: store::Prefix::all(), entries };
    let read = Book::load(&snapshot).unwrap();
    assert!(read.users().eq(book.users()) && read.tokens().eq(book.tokens()));
    assert_eq!(read.admission("n 1/x").unwrap().admitted, at(7));
    assert_eq!(read.by_sum.size(), 3);

    for (key, value, wanted) in [
        ("access/users/joe", r#"{"version":2}"#, "run a later one"),
        ("access/users/joe", r#"{"version":1,"role":"canary"}"#, "restore a backup"),
        (
            "access/tokens/joe",
            r#"{"version":1,"sum":"canary","user":"joe","label":"","login":true,"created_ms":0,"expires_ms":0,"by":""}"#,
            "restore a backup",
        ),
        (
            "access/users/a b",
            r#"{"version":1,"role":"admin","created_ms":0,"changed_ms":0,"by":""}"#,
            "restore a backup",
        ),
        ("access/admissions/n1", "canary", "restore a backup"),
    ] {
        let mut damaged = snapshot.clone();
        let (above, name) = key.rsplit_once('/').unwrap();
        let key = store::Key::new(above).unwrap().child(name).unwrap();
        damaged.entries.insert(key, store::Entry { value: value.into(), modified: store::Revision::new(1) });
        let error = Book::load(&damaged).unwrap_err().to_string();
        assert!(error.contains(wanted) && !error.contains("canary"), "{error}");
    }
}
