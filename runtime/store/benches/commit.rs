//! Durable commits a second, beside what the disk can do: a loop that appends as many bytes and syncs each time.
//!
//! `cargo bench -p store`; `STORE_BENCH_DIR` chooses the disk, and is the temporary directory otherwise.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and may stop at the first surprise"
)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Batch, Candidate, EmbeddedStore, Key, Options, Store};

const VALUE_BYTES: usize = 256;
const LENGTH: Duration = Duration::from_secs(3);

/// Different keys of one committer, so that the store grows as one in use does, and then stays.
const KEYS: u64 = 1000;

struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn measured(mut each: Vec<Duration>, took: Duration) -> Measured {
    each.sort();
    let at = |percent: usize| each[(each.len() - 1) * percent / 100];
    let count = u32::try_from(each.len()).unwrap();
    Measured { per_second: f64::from(count) / took.as_secs_f64(), p50: at(50), p99: at(99) }
}

fn appends(directory: &Path) -> Measured {
    let mut file = OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
    let record = [7; VALUE_BYTES];
    let (begun, mut each) = (Instant::now(), vec![]);
    while begun.elapsed() < LENGTH {
        let before = Instant::now();
        file.write_all(&record).unwrap();
        file.sync_data().unwrap();
        each.push(before.elapsed());
    }
    measured(each, begun.elapsed())
}

async fn commits(directory: PathBuf, committers: usize) -> Measured {
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&directory, Options::default()).await.unwrap());
    let leadership = store.campaign(&Candidate::new("bench")).await.unwrap();
    let begun = Instant::now();
    let committing: Vec<_> = (0..committers)
        .map(|committer| {
            let (store, leadership) = (store.clone(), leadership.clone());
            tokio::spawn(async move {
                let mut each = vec![];
                for n in 0.. {
                    if begun.elapsed() >= LENGTH {
                        break;
                    }
                    let key = Key::new(format!("instances/{committer}/{}", n % KEYS)).unwrap();
                    let before = Instant::now();
                    store.commit(&leadership, Batch::new().put(key, [7; VALUE_BYTES])).await.unwrap();
                    each.push(before.elapsed());
                }
                each
            })
        })
        .collect();
    let mut each = vec![];
    for committing in committing {
        each.extend(committing.await.unwrap());
    }
    let took = begun.elapsed();
    store.close().await.unwrap();
    measured(each, took)
}

fn main() {
    let above = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(above).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "values of {VALUE_BYTES} bytes, {} s each, {} cores",
        LENGTH.as_secs(),
        std::thread::available_parallelism().unwrap()
    );
    println!("{:<28}{:>12}{:>10}{:>12}{:>12}", "", "per second", "ratio", "p50", "p99");
    let plain = appends(directory.path());
    let line = |name: String, measured: &Measured| {
        println!(
            "{name:<28}{:>12.0}{:>10.2}{:>12.2?}{:>12.2?}",
            measured.per_second,
            measured.per_second / plain.per_second,
            measured.p50,
            measured.p99
        );
    };
    line("append and fdatasync".to_owned(), &plain);
    for committers in [1, 16, 256] {
        let measured = runtime.block_on(commits(directory.path().join(committers.to_string()), committers));
        line(format!("commits, {committers} at once"), &measured);
    }
}
