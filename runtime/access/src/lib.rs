//! Who may do what: users, tokens, admissions of agents, and the one table of all routes of a master's port.
//!
//! ```text
//! request ─▶ enter ─┬─ table: which right does the route ask for?
//!                   ├─ header, certificate: who is it? ── password: argon2id, two at once
//!                   └─ role: may it?          401, 403, 404, 405 ◀─ refusal
//! router ─▶ shell: change ─▶ commit ─▶ book, which all readers see
//! ```
//!
//! - **Deny by default.** A request is passed on only when [`TABLE`] has a row for its method and path, and its caller has the row's
//!   [`Right`]. A test reads the routes out of all rooms' sources; one that has no row fails it.
//! - **Certificates**: an admin's may do all but be an agent. An agent's may do what is asked of agents, and only while it is admitted.
//!   A master's may do nothing here yet. The last admin among the users can be removed, since the admin's certificate remains.
//! - **Tokens** are 256 random bits, shown once and stored as SHA-256. What one may do is what its user may at that time.
//! - **Passwords** are stored as argon2id hashes. Wrong ones are limited by name and network, and cost the same for users who are not there.
//! - **Changes** are committed with the leadership before they are seen or answered, with who made them.
//!
//! The crate opens no socket and reads no certificate: it is told the peer's identity. It does not decide who leads, and nothing of
//! a secret can be printed.

mod book;
mod change;
mod enter;
mod ground;
mod header;
mod http;
mod limit;
mod name;
mod password;
mod record;
mod refusal;
mod role;
mod secret;
mod shell;
mod table;

pub use book::{Admission, Book, Token, User};
pub use change::{ChangeError, LOGIN_FOR, LONGEST, MAX_TOKENS};
pub use enter::authorize;
pub use http::serves;
pub use name::{MAX_NAME, NameError, UserName};
pub use password::{Cost, MAX_PASSWORD, MIN_PASSWORD, PasswordError};
pub use record::RecordError;
pub use refusal::Refusal;
pub use role::{Caller, Right, RoleError, UserRole};
pub use secret::{RandomError, TokenId, TokenIdError};
pub use shell::{Access, AccessError, Clock, Options};
pub use table::{Found, Row, TABLE, look, right_of};
