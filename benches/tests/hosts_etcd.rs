//! The measurement that needs etcd (Debian's package `etcd-server`), small: that it measures what it says, never how long it takes.

use benches::launches::{self, Set};
use benches::options::Common;

#[tokio::test]
#[ignore = "real hosts"]
async fn launches_are_durable_in_etcd_and_beside_it() {
    let options = launches::Options {
        agents: 3,
        members: 3,
        sets: vec![Set { apps: 2, instances: 3 }],
        runs: 1,
        records: 250,
        seconds: 0.1,
        common: Common::in_dir(std::env::temp_dir()),
    };
    let figures = launches::measure(&options).await.unwrap();
    assert_eq!(figures.lines.len(), 2 + 5);
    assert!(figures.lines.iter().all(|line| line.per_second.len() == 1 && line.per_second[0] > 0.0));
    assert!(figures.to_string().contains("launches, 2x3"));
}
