//! Each measurement with a handful of agents: that it measures what it says, never how long it takes.

use benches::deployments::{self, Health, PHASES};
use benches::load::Size;
use benches::options::Common;
use benches::{latency, reads};

const SIZE: Size = Size { agents: 3, apps: 2, instances: 4 };

fn common() -> Common {
    Common::in_dir(std::env::temp_dir())
}

#[tokio::test]
async fn apps_are_created_updated_restarted_and_deleted() {
    let options = deployments::Options {
        agents: 3,
        apps: vec![1, 2],
        instances: vec![3],
        health: Health::Both,
        runs: 1,
        common: common(),
    };
    let figures = deployments::measure(&options).await.unwrap();
    assert_eq!(figures.cells.len(), 2 * 2 * PHASES.len());
    assert!(figures.cells.iter().all(|cell| cell.mean_s.len() == 1 && cell.last_s[0] >= cell.mean_s[0]));
    assert_eq!(figures.exponents.len(), 2 * PHASES.len());
    assert!(figures.to_string().contains("restart"));
}

#[tokio::test]
async fn tasks_are_seen_to_run_on_a_full_cluster() {
    let options = latency::Options { size: SIZE, rate: 100.0, posts: 5, common: common() };
    let figures = latency::measure(&options).await.unwrap();
    assert_eq!(figures.loaded.tasks, 8);
    let (accepted, running) = (figures.accepted.unwrap(), figures.running.unwrap());
    assert_eq!((accepted.count, running.count), (5, 5));
    assert!(accepted.min > 0.0 && figures.to_string().contains("TASK_RUNNING"));
}

#[tokio::test]
async fn everything_is_read_by_several_at_once() {
    let options =
        reads::Options { size: SIZE, rate: 100.0, seconds: 0.2, dumps: 2, dumpers: 2, common: common() };
    let figures = reads::measure(&options).await.unwrap();
    assert_eq!(figures.lines.len(), 6);
    assert!(figures.lines.iter().all(|line| line.bytes > 0 && line.spread.is_some()));
    assert_eq!(figures.lines[2].spread.unwrap().count, 2);
    assert!(figures.dumps_per_second > 0.0);
}
