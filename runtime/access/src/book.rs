//! All users, tokens and admissions, in memory. Pure: what it holds is what the store has.

use std::sync::Arc;

use api::marathon::Timestamp;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use store::Snapshot;

use crate::name::UserName;
use crate::password::PasswordHash;
use crate::record::{self, RecordError, Stored};
use crate::role::UserRole;
use crate::secret::{Sum, TokenId};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, which is never given to another record.
    pub name: UserName,
    /// What the user may do.
    pub role: UserRole,
    pub(crate) password: Option<PasswordHash>,
    /// When the user was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
    /// Who made the last change.
    pub by: String,
}

impl User {
    /// Whether the user can log in with a password; else only tokens lead in.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }
}

/// A token, without what would let anyone use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub id: TokenId,
    pub(crate) sum: Sum,
    /// Whose it is: it may do what that user may at the time.
    pub user: UserName,
    /// What it is for, as its maker wrote.
    pub label: String,
    /// Whether a login made it; those end with the password.
    pub login: bool,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is void.
    pub expires: Timestamp,
    /// Who made it.
    pub by: String,
}

/// An agent that may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The agent's name, as its certificate has it.
    pub name: String,
    /// Since when.
    pub admitted: Timestamp,
    /// Who admitted it.
    pub by: String,
    /// Which admission of that name it is: one that was taken back and given again is another.
    pub(crate) serial: u64,
}

/// All of them. Cloning takes constant time.
#[derive(Debug, Clone, Default)]
pub struct Book {
    pub(crate) users: RedBlackTreeMapSync<UserName, Arc<User>>,
    pub(crate) tokens: RedBlackTreeMapSync<TokenId, Arc<Token>>,
    pub(crate) by_sum: HashTrieMapSync<Sum, TokenId>,
    pub(crate) admissions: RedBlackTreeMapSync<String, Admission>,
    pub(crate) next_serial: u64,
}

impl Book {
    /// What the store has.
    ///
    /// # Errors
    /// When a record is damaged or of a later version.
    pub(crate) fn load(snapshot: &Snapshot) -> Result<Self, RecordError> {
        let mut book = Self::default();
        for (key, entry) in snapshot.below(&record::users()?) {
            book.put_user(Stored { key, value: &entry.value }.user()?);
        }
        for (key, entry) in snapshot.below(&record::tokens()?) {
            book.put_token(Stored { key, value: &entry.value }.token()?);
        }
        for (key, entry) in snapshot.below(&record::admissions()?) {
            let serial = book.serial();
            let admission = Stored { key, value: &entry.value }.admission(serial)?;
            book.admissions.insert_mut(admission.name.clone(), admission);
        }
        Ok(book)
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    pub(crate) fn put_user(&mut self, user: User) {
        self.users.insert_mut(user.name.clone(), Arc::new(user));
    }

    pub(crate) fn put_token(&mut self, token: Token) {
        self.by_sum.insert_mut(token.sum, token.id.clone());
        self.tokens.insert_mut(token.id.clone(), Arc::new(token));
    }

    pub(crate) fn remove_token(&mut self, id: &TokenId) {
        if let Some(token) = self.tokens.get(id).cloned() {
            self.by_sum.remove_mut(&token.sum);
            self.tokens.remove_mut(id);
        }
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &UserName) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All users, by their names.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// The token of this id.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&Arc<Token>> {
        self.tokens.get(id)
    }

    /// All tokens, by their ids.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.tokens.values()
    }

    /// The admission of the agent of this name.
    #[must_use]
    pub fn admission(&self, name: &str) -> Option<&Admission> {
        self.admissions.get(name)
    }

    /// All admissions, by the agents' names.
    pub fn admissions(&self) -> impl Iterator<Item = &Admission> {
        self.admissions.values()
    }

    pub(crate) fn by_sum(&self, sum: &Sum) -> Option<&Arc<Token>> {
        self.tokens.get(self.by_sum.get(sum)?)
    }

    pub(crate) fn tokens_of<'a>(&'a self, user: &'a UserName) -> impl Iterator<Item = &'a Arc<Token>> + 'a {
        self.tokens.values().filter(move |token| token.user == *user)
    }
}
