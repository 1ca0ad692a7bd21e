//! The lease of a leadership: granted, renewed while it lasts, and given back.
//!
//! Each renewal is a stream of its own, opened and ended with it: a stream that is kept open ends without a word when its
//! member goes away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::members::Fault;
use super::shared::{Reign, Shared};
use crate::StoreError;

/// A lease, and until when it is sure to live.
pub(super) async fn grant(shared: &Shared, until: Instant) -> Result<(i64, Instant), StoreError> {
    let seconds = i64::try_from(shared.options.lease.as_secs()).unwrap_or(i64::MAX);
    let asked = shared.members.ask(
        || until,
        |client| {
            let sent = Instant::now();
            let mut leases = client.lease_client();
            async move { leases.grant(seconds, None).await.map(|granted| (sent, granted)) }
        },
    );
    let (sent, granted) = asked.await.result.map_err(|fault| shared.members.error(fault))?;
    let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
    Ok((granted.id(), Shared::sure(sent, ttl)))
}

/// Renews the lease of a reign until it is over, and ends the reign when it cannot.
pub(super) async fn renew(shared: Arc<Shared>, reign: Arc<Reign>) {
    tokio::select! {
        () = reign.over() => {}
        () = renewals(&shared, &reign) => shared.end(&reign),
    }
}

async fn renewals(shared: &Shared, reign: &Reign) {
    let lease = shared.options.lease;
    loop {
        tokio::time::sleep(lease / 4).await;
        // To one member after the other until one answers, or nothing is sure any more.
        loop {
            if !reign.holds() {
                return;
            }
            let within = shared.options.request.min(lease / 4);
            let sent = Instant::now();
            let asked = shared.members.ask_one(within, |client| async move {
                #[cfg(feature = "failpoints")]
                super::hook::renewal(&shared.options).await;
                let (id, mut leases) = (reign.lease, client.lease_client());
                leases.keep_alive(id).await
            });
            match asked.await {
                Ok(_ended_here) => {
                    reign.extend(Shared::sure(sent, lease));
                    break;
                }
                Err(Fault::LeaseGone) => return,
                _ => tokio::time::sleep(lease / 40).await,
            }
        }
    }
}

/// Gives a lease back, for whoever waits. It ends by itself where that does not succeed.
pub(super) fn revoke(shared: Arc<Shared>, lease: i64) {
    tokio::spawn(async move {
        let asked = shared.members.ask_within(shared.options.patience, |client| {
            let mut leases = client.lease_client();
            async move { leases.revoke(lease).await }
        });
        if let Err(fault) = asked.await
            && !matches!(fault, Fault::LeaseGone)
        {
            tracing::debug!(?fault, "a lease was not given back, and ends by itself");
        }
    });
}
