//! What changes users, tokens and admissions: from the book and a wish to the next book and what is to be committed. Pure.

use std::time::Duration;

use api::marathon::Timestamp;
use identity::{Identity, PeerRole};
use store::{Batch, StoreError};
use thiserror::Error;

use crate::book::{Admission, Book, Token, User};
use crate::name::UserName;
use crate::password::PasswordHash;
use crate::record::{self, RecordError};
use crate::role::UserRole;
use crate::secret::{Sum, TokenId};

/// A user has at most so many tokens, so that one commit can take them all with the user.
pub const MAX_TOKENS: usize = 100;
/// A user has made at most so many, whomever for: all of them end with the user's password. A login may make some more.
const MAX_MADE: usize = MAX_TOKENS - 10;
/// Expired tokens are removed with other changes, so many at a time: what is left of one commit.
const SWEPT: usize = 10;
/// A login lasts so long.
pub const LOGIN_FOR: Duration = Duration::from_secs(30 * 86_400);
/// No token lasts longer: ten years.
pub const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// What becomes of a user's password.
#[derive(Debug, Clone)]
pub(crate) enum NewPassword {
    /// It stays.
    Keep,
    /// The user has none from now on.
    Remove,
    /// It is this one.
    Set(PasswordHash),
}

/// A token to be.
#[derive(Debug, Clone)]
pub(crate) struct NewToken {
    pub(crate) id: TokenId,
    pub(crate) sum: Sum,
    pub(crate) user: UserName,
    pub(crate) label: String,
    pub(crate) lifetime: Duration,
    /// For a login: the password that was shown. The user must still have it when the token is made.
    pub(crate) login: Option<PasswordHash>,
}

/// A wish.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    PutUser { name: UserName, role: UserRole, password: NewPassword },
    RemoveUser { name: UserName },
    AddToken(Box<NewToken>),
    RemoveToken { id: TokenId },
    Admit { name: String },
    Dismiss { name: String },
}

/// What a wish came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    Changed,
    Unchanged,
    Removed,
}

/// Why nothing was changed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such user.
    #[error("there is no user {0}")]
    NoUser(UserName),
    /// There is no such token.
    #[error("there is no token with the id {0}")]
    NoToken(TokenId),
    /// There is no such admission.
    #[error("no agent {0:?} is admitted")]
    NoAdmission(String),
    /// Not the name of an agent.
    #[error("{0}")]
    BadAgent(#[from] identity::IdentityError),
    /// The user has as many tokens as there may be.
    #[error(
        "{0} has {MAX_TOKENS} tokens, and no more are possible; revoke some with DELETE /clusterctl/v1/tokens/<id>"
    )]
    TooManyTokens(UserName),
    /// The user has made as many tokens as one may.
    #[error(
        "{0} has made {MAX_MADE} tokens, and no more are possible; revoke some with DELETE /clusterctl/v1/tokens/<id>"
    )]
    MadeTooMany(UserName),
    /// The password was changed while it was checked.
    #[error("the password was changed in this moment; log in with the new one")]
    PasswordChanged,
    /// A record cannot be made of it; holds why.
    #[error("{0}")]
    Record(String),
    /// The store did not take it.
    #[error("the change could not be stored")]
    Store(#[from] StoreError),
    /// This master does not lead any more.
    #[error("this master does not lead any more; try again")]
    Ended,
}

impl From<RecordError> for ChangeError {
    fn from(error: RecordError) -> Self {
        Self::Record(error.to_string())
    }
}

impl From<store::KeyError> for ChangeError {
    fn from(error: store::KeyError) -> Self {
        Self::Record(error.to_string())
    }
}

/// What is to be committed, and what is known once that is done.
pub(crate) struct Plan {
    pub(crate) book: Book,
    pub(crate) batch: Batch,
    pub(crate) outcome: Outcome,
}

impl Plan {
    fn remove_token(&mut self, id: &TokenId) -> Result<(), ChangeError> {
        self.book.remove_token(id);
        self.delete(record::token_key(id)?);
        Ok(())
    }

    fn remove_tokens(&mut self, ids: &[TokenId]) -> Result<(), ChangeError> {
        ids.iter().try_for_each(|id| self.remove_token(id))
    }

    fn delete(&mut self, key: store::Key) {
        self.batch = std::mem::take(&mut self.batch).delete(key);
    }

    fn put(&mut self, key: store::Key, value: Vec<u8>) {
        self.batch = std::mem::take(&mut self.batch).put(key, value);
    }
}

/// What `change`, which `by` wishes at `now`, comes to in a cluster of this name.
pub(crate) fn plan(
    book: &Book,
    cluster: &str,
    change: Change,
    by: &str,
    now: Timestamp,
) -> Result<Plan, ChangeError> {
    let mut plan = Plan { book: book.clone(), batch: Batch::new(), outcome: Outcome::Unchanged };
    match change {
        Change::PutUser { name, role, password } => put_user(&mut plan, name, role, password, by, now)?,
        Change::RemoveUser { name } => remove_user(&mut plan, &name)?,
        Change::AddToken(token) => add_token(&mut plan, *token, by, now)?,
        Change::RemoveToken { id } => {
            plan.book.token(&id).ok_or_else(|| ChangeError::NoToken(id.clone()))?;
            plan.remove_token(&id)?;
            plan.outcome = Outcome::Removed;
        }
        Change::Admit { name } => admit(&mut plan, cluster, name, by, now)?,
        Change::Dismiss { name } => {
            plan.book.admission(&name).ok_or_else(|| ChangeError::NoAdmission(name.clone()))?;
            plan.book.admissions.remove_mut(&name);
            plan.delete(record::admission_key(&name)?);
            plan.outcome = Outcome::Removed;
        }
    }
    if plan.outcome != Outcome::Unchanged {
        sweep(&mut plan, now)?;
    }
    Ok(plan)
}

fn put_user(
    plan: &mut Plan,
    name: UserName,
    role: UserRole,
    password: NewPassword,
    by: &str,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let before = plan.book.user(&name).cloned();
    let had = before.as_ref().and_then(|user| user.password.clone());
    let other_password = match &password {
        NewPassword::Keep => false,
        NewPassword::Remove => had.is_some(),
        NewPassword::Set(_) => true,
    };
    if let Some(before) = &before
        && before.role == role
        && !other_password
    {
        return Ok(());
    }
    let password = match password {
        NewPassword::Keep => had,
        NewPassword::Remove => None,
        NewPassword::Set(hash) => Some(hash),
    };
    // Who knew the old password may have logged in with it, and have made other tokens then, for other users, too. And a new user
    // has no tokens, whatever was left of one before.
    let void = |token: &&std::sync::Arc<Token>| {
        let own = token.user == name;
        let by_password = own && token.login || token.by == name.as_str();
        own && before.is_none() || other_password && by_password
    };
    let void: Vec<TokenId> = plan.book.tokens().filter(void).map(|token| token.id.clone()).collect();
    plan.remove_tokens(&void)?;
    plan.outcome = if before.is_none() { Outcome::Created } else { Outcome::Changed };
    let created = before.map_or(now, |user| user.created);
    let user = User { name, role, password, created, changed: now, by: by.to_owned() };
    plan.put(record::user_key(&user.name)?, record::user_bytes(&user)?);
    plan.book.put_user(user);
    Ok(())
}

/// The user goes with all tokens. The last admin may go, too: the operator's certificate stays.
fn remove_user(plan: &mut Plan, name: &UserName) -> Result<(), ChangeError> {
    plan.book.user(name).ok_or_else(|| ChangeError::NoUser(name.clone()))?;
    let tokens: Vec<TokenId> = plan.book.tokens_of(name).map(|token| token.id.clone()).collect();
    plan.remove_tokens(&tokens)?;
    plan.book.users.remove_mut(name);
    plan.delete(record::user_key(name)?);
    plan.outcome = Outcome::Removed;
    Ok(())
}

fn add_token(plan: &mut Plan, new: NewToken, by: &str, now: Timestamp) -> Result<(), ChangeError> {
    let user = plan.book.user(&new.user).ok_or_else(|| ChangeError::NoUser(new.user.clone()))?;
    if let Some(shown) = &new.login
        && user.password.as_ref() != Some(shown)
    {
        return Err(ChangeError::PasswordChanged);
    }
    make_room(plan, &new, by, now)?;
    let lifetime = i64::try_from(new.lifetime.min(LONGEST).as_millis()).unwrap_or(i64::MAX);
    let token = Token {
        id: new.id,
        sum: new.sum,
        user: new.user,
        label: new.label,
        login: new.login.is_some(),
        created: now,
        expires: Timestamp::from_millis(now.as_millis().saturating_add(lifetime)),
        by: by.to_owned(),
    };
    plan.put(record::token_key(&token.id)?, record::token_bytes(&token)?);
    plan.book.put_token(token);
    plan.outcome = Outcome::Created;
    Ok(())
}

/// Where there are too many tokens, expired ones go first. A login then takes the place of the one that ends first, since a
/// program that logs in each time it runs must not lock itself out; tokens that somebody made on purpose stay.
fn make_room(plan: &mut Plan, new: &NewToken, by: &str, now: Timestamp) -> Result<(), ChangeError> {
    // What a certificate makes ends with no password, and needs no room in the commit that changes one.
    let mut made = 0;
    if let Ok(maker) = by.parse::<UserName>() {
        let all: Vec<_> = plan.book.tokens().filter(|token| token.by == by).cloned().collect();
        made = all.len();
        if new.login.is_none() && made >= MAX_MADE {
            let expired = all.iter().find(|token| token.expires <= now);
            let expired = expired.ok_or(ChangeError::MadeTooMany(maker))?;
            plan.remove_token(&expired.id)?;
        }
    }
    let mut own: Vec<_> = plan.book.tokens_of(&new.user).cloned().collect();
    if own.len() < MAX_TOKENS && made < MAX_TOKENS {
        return Ok(());
    }
    own.sort_by_key(|token| token.expires);
    let replaceable =
        |token: &&std::sync::Arc<Token>| token.expires <= now || new.login.is_some() && token.login;
    let Some(id) = own.iter().find(replaceable).map(|token| token.id.clone()) else {
        return Err(ChangeError::TooManyTokens(new.user.clone()));
    };
    plan.remove_token(&id)
}

fn admit(plan: &mut Plan, cluster: &str, name: String, by: &str, now: Timestamp) -> Result<(), ChangeError> {
    // What can be no certificate's name can never join.
    Identity::new(cluster, PeerRole::Agent, name.as_str())?;
    if plan.book.admission(&name).is_some() {
        return Ok(());
    }
    let serial = plan.book.serial();
    let admission = Admission { name: name.clone(), admitted: now, by: by.to_owned(), serial };
    plan.put(record::admission_key(&name)?, record::admission_bytes(&admission)?);
    plan.book.admissions.insert_mut(name, admission);
    plan.outcome = Outcome::Created;
    Ok(())
}

/// Removes some of what has expired. Of all that a change may do, removing a user writes most: one record and [`MAX_TOKENS`].
fn sweep(plan: &mut Plan, now: Timestamp) -> Result<(), ChangeError> {
    let expired = plan.book.tokens().filter(|token| token.expires <= now);
    let expired: Vec<TokenId> = expired.take(SWEPT).map(|token| token.id.clone()).collect();
    plan.remove_tokens(&expired)
}

#[cfg(test)]
mod tests;
