//! One reader, whose time stands still and leaps to the next deadline when everyone waits.

use api::Moment;
use api::marathon::{Deployment, Timestamp};
use master::core::{Config, State as Registry};
use tokio::task::JoinHandle;

use super::*;

struct World {
    master: watch::Sender<Arc<master::view::View>>,
    services: watch::Sender<Arc<services::View>>,
    body: mpsc::Receiver<Bytes>,
    hangup: Hangup,
    reading: JoinHandle<Option<()>>,
}

impl World {
    fn start() -> Self {
        let now = Moment { elapsed: Duration::ZERO, wall: Timestamp::from_millis(0) };
        let registry = Registry::new("m".to_owned(), Config::default());
        let (master, of_master) = watch::channel(Arc::new(master::view::View::of(&registry, now)));
        let (services, of_services) = watch::channel(Arc::default());
        let (frames, body) = mpsc::channel(AHEAD);
        let hangup = Hangup::default();
        let reader = Reader {
            frames,
            hangup: Some(hangup.clone()),
            master: of_master,
            services: of_services,
            clock: Clock::new(|| Timestamp::from_millis(7)),
            _place: None,
        };
        let hello = Hello { cluster: "c".to_owned(), operates: true, ..Hello::default() };
        Self { master, services, body, hangup, reading: tokio::spawn(reader.run(hello)) }
    }

    async fn next(&mut self) -> Option<Frame> {
        let bytes = self.body.recv().await?;
        let text = std::str::from_utf8(&bytes).unwrap();
        let (name, data) = text.strip_suffix("\n\n").unwrap().split_once('\n').unwrap();
        let frame: Frame = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", frame.name()));
        Some(frame)
    }

    /// Hears the first frames of an empty cluster.
    async fn begun() -> Self {
        let mut world = Self::start();
        let Some(Frame::Hello(hello)) = world.next().await else { panic!("no hello") };
        assert_eq!((hello.cluster.as_str(), hello.operates), ("c", true));
        assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
        world
    }

    /// A deployment comes to this step.
    fn deploy(&self, step: usize) {
        let one = Deployment {
            id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
            version: Timestamp::from_millis(0),
            affected_apps: Vec::new(),
            affected_pods: Vec::new(),
            steps: Vec::new(),
            current_actions: Vec::new(),
            current_step: step,
            total_steps: 1_000,
        };
        self.services.send_modify(|view| Arc::make_mut(view).deployments = Arc::new(vec![one]));
    }
}

fn step(frame: Option<Frame>) -> u32 {
    match frame {
        Some(Frame::Deployments { set }) => set[0].step,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_that_it_lives_whatever_else_happens() {
    let mut world = World::begun().await;
    let begun = Instant::now();
    assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
    assert_eq!(begun.elapsed(), ALIVE);
    // Moments that show nothing new are not told, and put nothing off.
    let master = world.master.clone();
    let busy = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            master.send_modify(|view| *view = Arc::new(master::view::View::clone(view)));
        }
    });
    assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
    let passed = begun.elapsed();
    assert!(passed >= 2 * ALIVE && passed < 2 * ALIVE + 2 * PAUSE, "{passed:?}");
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_told_together_and_the_first_one_at_once() {
    let mut world = World::begun().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    world.deploy(1);
    assert_eq!(step(world.next().await), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
    let services = world.services.clone();
    let changing = tokio::spawn(async move {
        for step in 2..=100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            services.send_modify(|view| {
                let view = Arc::make_mut(view);
                Arc::make_mut(&mut view.deployments)[0].current_step = step;
            });
        }
    });
    let (mut told, mut last) = (1, 1);
    while last < 100 {
        let next = step(world.next().await);
        assert!(next > last);
        last = next;
        told += 1;
        assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
    }
    changing.await.unwrap();
    assert!((4..=6).contains(&told), "{told} in {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_hears_the_newest_and_nothing_piles_up() {
    let mut world = World::begun().await;
    for step in 1..=100 {
        world.deploy(step);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // A frame and its `ready` were on their way.
    assert_eq!(world.body.len(), AHEAD);
    assert_eq!(step(world.next().await), 1);
    assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
    assert_eq!(step(world.next().await), 100);
    assert_eq!(world.next().await, Some(Frame::Ready { now: 7 }));
    assert!(!world.reading.is_finished());
}

#[tokio::test(start_paused = true)]
async fn one_who_reads_nothing_is_cut_off() {
    let world = World::start();
    let begun = Instant::now();
    world.deploy(1);
    world.hangup.asked().await;
    assert!(begun.elapsed() >= STUCK && begun.elapsed() < 2 * STUCK);
    assert_eq!(world.reading.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_master_and_services_and_with_its_reader() {
    let mut world = World::begun().await;
    drop(world.master);
    assert!(world.body.recv().await.is_none());
    let mut world = World::begun().await;
    drop(world.services);
    assert!(world.body.recv().await.is_none());
    let world = World::begun().await;
    drop(world.body);
    assert_eq!(world.reading.await.unwrap(), None);
}
