//! What callers are, and what they may do. Pure.

use std::fmt;
use std::str::FromStr;

use identity::{Identity, PeerRole};
use thiserror::Error;

use crate::name::UserName;
use crate::secret::TokenId;

/// What a user is. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserRole {
    /// Reads.
    Viewer,
    /// Changes services, groups and tasks, too.
    Operator,
    /// Manages users, tokens of others and admissions, too.
    Admin,
}

/// A text that is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a user's role is viewer, operator or admin")]
pub struct RoleError;

impl UserRole {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for UserRole {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Nothing: anyone may.
    Open,
    /// Reading: every user.
    View,
    /// Reading what tasks are made from: every user, and admitted agents.
    Fetch,
    /// Changing and ending services, groups and tasks: operators and admins.
    Operate,
    /// Users, tokens of others, admissions, and who leads: admins.
    Administer,
    /// Only a certificate of this role; an agent's only when it is admitted.
    Peer(PeerRole),
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "nothing",
            Self::View => "the role viewer, operator or admin",
            Self::Fetch => "the role viewer, operator or admin, or the certificate of an admitted agent",
            Self::Operate => "the role operator or admin",
            Self::Administer => "the role admin",
            Self::Peer(PeerRole::Agent) => "the certificate of an admitted agent",
            Self::Peer(PeerRole::Master) => "the certificate of a master",
            Self::Peer(PeerRole::Admin) => "the certificate of an admin",
        })
    }
}

/// Who sends a request, as far as that is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular.
    Anyone,
    /// A user.
    User {
        /// Who.
        name: UserName,
        /// What the user is at the moment of the request.
        role: UserRole,
        /// The token that was presented; none when it was the password.
        token: Option<TokenId>,
    },
    /// The holder of a certificate of this cluster.
    Peer {
        /// As the certificate says.
        identity: Identity,
        /// Whether it is an agent that is admitted.
        admitted: bool,
    },
}

impl Caller {
    /// Whether the caller may do what asks for `right`. A master's certificate may do nothing here yet; an agent's only what
    /// is asked of agents.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        match (self, right) {
            (_, Right::Open) => true,
            (Self::User { .. }, Right::View | Right::Fetch) => true,
            (Self::User { role, .. }, Right::Operate) => *role >= UserRole::Operator,
            (Self::User { role, .. }, Right::Administer) => *role == UserRole::Admin,
            (Self::Peer { identity, admitted }, right) => match (identity.role(), right) {
                (PeerRole::Admin, Right::View | Right::Fetch | Right::Operate | Right::Administer) => true,
                (PeerRole::Agent, Right::Fetch | Right::Peer(PeerRole::Agent)) => *admitted,
                (own, Right::Peer(wanted)) => own == wanted && own != PeerRole::Agent,
                _ => false,
            },
            (Self::Anyone | Self::User { .. }, _) => false,
        }
    }

    /// Who it is, as records of changes have it: a user's name, or a certificate's URI.
    #[must_use]
    pub fn who(&self) -> String {
        match self {
            Self::Anyone => "nobody".to_owned(),
            Self::User { name, .. } => name.to_string(),
            Self::Peer { identity, .. } => identity.to_string(),
        }
    }

    /// The name of the user that it is.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Self::User { name, .. } => Some(name),
            Self::Anyone | Self::Peer { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(role: UserRole) -> Caller {
        Caller::User { name: "joe".parse().unwrap(), role, token: None }
    }

    fn peer(role: PeerRole, admitted: bool) -> Caller {
        Caller::Peer { identity: Identity::new("prod", role, "x").unwrap(), admitted }
    }

    #[test]
    fn every_caller_may_what_this_table_says_and_no_more() {
        use Right::{Administer, Fetch, Open, Operate, Peer, View};
        let all = [
            Open,
            View,
            Fetch,
            Operate,
            Administer,
            Peer(PeerRole::Agent),
            Peer(PeerRole::Master),
            Peer(PeerRole::Admin),
        ];
        let table: [(Caller, &[Right]); 8] = [
            (Caller::Anyone, &[Open]),
            (user(UserRole::Viewer), &[Open, View, Fetch]),
            (user(UserRole::Operator), &[Open, View, Fetch, Operate]),
            (user(UserRole::Admin), &[Open, View, Fetch, Operate, Administer]),
            (peer(PeerRole::Admin, false), &[Open, View, Fetch, Operate, Administer, Peer(PeerRole::Admin)]),
            (peer(PeerRole::Agent, true), &[Open, Fetch, Peer(PeerRole::Agent)]),
            (peer(PeerRole::Agent, false), &[Open]),
            (peer(PeerRole::Master, false), &[Open, Peer(PeerRole::Master)]),
        ];
        for (caller, allowed) in table {
            for right in all {
                assert_eq!(caller.may(right), allowed.contains(&right), "{caller:?} {right:?}");
            }
        }
    }
}
