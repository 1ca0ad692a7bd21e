//! What every implementation of [`Store`] must do, as tests that know nothing of it. [`crate::suite!`] makes a test of each:
//!
//! ```text
//! store::suite!(MyBed::new());
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "tests, which stop at the first surprise"
)]

mod commits;
mod history;
mod large;
mod leading;
mod loads;
mod rng;
mod several;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::commits::*;
pub use self::history::*;
pub use self::large::*;
pub use self::leading::*;
pub use self::loads::*;
pub use self::rng::Rng;
pub use self::several::*;
use crate::{Batch, Candidate, Key, Leadership, Prefix, Snapshot, Stamp, Store};

/// Where one store lies, empty at first.
pub trait Bed: Send + Sync {
    /// Opens the store of this bed. The suite has closed the one before.
    fn open(&self) -> impl Future<Output = Arc<dyn Store>> + Send;
}

/// Runs one test. A test that hangs fails.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test).await });
    assert!(ended.is_ok(), "the test hangs");
}

/// Makes a `#[test]` of each function of the suite; the expression gives a fresh [`Bed`] each time. An attribute, such as
/// `#[ignore = "why"]`, is given to each.
#[macro_export]
macro_rules! suite {
    ($bed:expr) => {
        $crate::suite! { $bed; #[cfg(all())] }
    };
    ($bed:expr; #$attribute:tt) => {
        $crate::suite! { $bed; #$attribute;
            acknowledged_writes_are_there_after_reopening
            a_value_of_any_bytes_comes_back
            a_batch_happens_as_a_whole_or_not_at_all
            a_condition_is_held_against_the_state_at_the_commit
            one_of_many_creators_wins
            a_refused_commit_does_not_spoil_its_neighbours
            a_batch_at_the_limits_is_taken_and_one_above_is_refused
            several_batches_are_made_in_their_order_up_to_one_that_fails
            closing_carries_out_what_it_took
            nobody_writes_without_a_campaign
            a_new_campaign_refuses_the_old_leadership_with_commits_in_flight
            the_epoch_never_goes_back
            a_resigned_leadership_is_refused
            observers_see_who_leads
            an_empty_batch_confirms_the_leadership_and_changes_nothing
            a_store_above_this_binary_has_no_campaign
            a_load_is_one_moment_while_writes_go_on
            a_prefix_gives_its_part
            a_large_change_is_seen_whole_or_not_at_all
            a_large_change_that_is_cut_off_is_not_seen_and_is_collected
            a_large_change_whose_caller_goes_away_is_collected
            a_large_change_that_is_finished_after_its_caller_is_not_collected
            of_two_large_changes_at_once_one_wins
            a_large_change_with_a_condition_that_fails_leaves_nothing
            a_random_history_agrees_with_a_model
        }
    };
    ($bed:expr; #$attribute:tt; $($test:ident)*) => {
        $(
            #[test]
            #$attribute
            fn $test() {
                let bed = $bed;
                $crate::suite::run($crate::suite::$test(&bed));
            }
        )*
    };
}

/// As [`crate::suite!`] does, of what several candidates must do; the expression gives a fresh [`Several`].
#[macro_export]
macro_rules! several {
    ($bed:expr) => {
        $crate::several! { $bed; #[cfg(all())] }
    };
    ($bed:expr; #$attribute:tt) => {
        $crate::suite! { $bed; #$attribute;
            a_second_candidate_waits_until_the_first_resigns
            a_second_candidate_wins_when_the_first_closes
            a_lease_that_ends_ends_the_leadership
            leaders_that_follow_each_other_never_interleave
        }
    };
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn lead(store: &dyn Store) -> Leadership {
    store.campaign(&Candidate::new("m1")).await.unwrap()
}

async fn put(store: &dyn Store, leadership: &Leadership, at: &str, value: &str) -> Stamp {
    store.commit(leadership, Batch::new().put(key(at), value)).await.unwrap()
}

/// All that the tests wrote: what the store keeps for itself is left out.
async fn all(store: &dyn Store) -> Snapshot {
    let mut snapshot = store.load(&Prefix::all()).await.unwrap();
    snapshot.entries.remove(&crate::ClusterVersion::key());
    snapshot
}

fn text(snapshot: &Snapshot, at: &str) -> Option<String> {
    snapshot.get(&key(at)).map(|value| String::from_utf8(value.to_vec()).unwrap())
}
