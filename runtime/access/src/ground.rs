//! What somebody was let in by, and whether it still holds. Pure.

use api::marathon::Timestamp;

use crate::book::{Admission, Book};
use crate::name::UserName;
use crate::password::PasswordHash;
use crate::role::Caller;
use crate::secret::TokenId;

/// What somebody was let in by.
#[derive(Debug)]
pub(crate) enum Ground {
    Token(TokenId),
    /// The password that the user had.
    Password(UserName, Option<PasswordHash>),
    /// That very one; none, when it was taken back at once.
    Admission(Option<Admission>),
    /// What no record can take away.
    Certificate,
}

impl Ground {
    pub(crate) fn of(caller: &Caller, book: &Book) -> Self {
        match caller {
            Caller::User { token: Some(token), .. } => Self::Token(token.clone()),
            Caller::User { name, token: None, .. } => {
                Self::Password(name.clone(), book.user(name).and_then(|user| user.password.clone()))
            }
            Caller::Peer { identity, admitted: true } => {
                Self::Admission(book.admission(identity.name()).cloned())
            }
            Caller::Peer { admitted: false, .. } | Caller::Anyone => Self::Certificate,
        }
    }

    pub(crate) fn holds(&self, book: &Book, now: Timestamp) -> bool {
        match self {
            Self::Token(id) => {
                book.token(id).is_some_and(|token| token.expires > now && book.user(&token.user).is_some())
            }
            Self::Password(name, password) => {
                password.is_some() && book.user(name).is_some_and(|user| user.password == *password)
            }
            Self::Admission(admission) => {
                admission.as_ref().is_some_and(|one| book.admission(&one.name) == Some(one))
            }
            Self::Certificate => true,
        }
    }

    /// Until when, as far as that is known.
    pub(crate) fn until(&self, book: &Book) -> Option<Timestamp> {
        match self {
            Self::Token(id) => book.token(id).map(|token| token.expires),
            _ => None,
        }
    }
}
