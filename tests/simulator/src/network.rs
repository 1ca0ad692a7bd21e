//! Streams between agents and masters. Each is in order; what is said may be late, by as long as a line is cut, and is lost
//! when the stream breaks.

use api::link::wire;

use crate::world::{Event, World};

/// One stream, from its dialling to its end.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) agent: usize,
    pub(crate) agent_life: u64,
    /// The agent's number for it.
    pub(crate) number: u64,
    pub(crate) master: usize,
    pub(crate) master_life: u64,
    /// The reign that it belongs to, once that has heard of it.
    pub(crate) epoch: Option<u64>,
    pub(crate) agent_open: bool,
    pub(crate) master_open: bool,
    /// What was on its way is lost.
    pub(crate) broken: bool,
    pub(crate) heard_at: u64,
    pub(crate) answered: bool,
    pub(crate) silence: u64,
    up: u64,
    down: u64,
}

/// What goes over a stream.
#[derive(Debug)]
pub(crate) enum Item<T> {
    Message(Box<T>),
    Closed,
}

/// A line between two places, in both directions; nothing passes before these times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl World {
    fn delay(&mut self) -> u64 {
        if self.random.per_cent(2) { self.random.within(50, 900) } else { self.random.within(1, 12) }
    }

    /// Over a line that is closed until then.
    pub(crate) fn arrival(&mut self, closed: u64, last: u64) -> u64 {
        let delay = self.delay();
        (self.now.max(closed) + delay).max(last)
    }

    pub(crate) fn open(&mut self, agent: usize, agent_life: u64, number: u64, master: usize) -> u64 {
        self.next_stream += 1;
        let stream = Stream {
            agent,
            agent_life,
            number,
            master,
            master_life: self.masters[master].life,
            epoch: None,
            agent_open: true,
            master_open: true,
            broken: false,
            heard_at: self.now,
            answered: false,
            silence: 30_000,
            up: self.now,
            down: self.now,
        };
        self.streams.insert(self.next_stream, stream);
        self.next_stream
    }

    pub(crate) fn say_up(&mut self, id: u64, item: Item<wire::AgentMessage>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let closed = self.line(stream.agent, stream.master).up;
        let at = self.arrival(closed, stream.up);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.up = at;
        }
        self.at(at, Event::Up(id, item));
    }

    pub(crate) fn say_down(&mut self, id: u64, item: Item<wire::MasterMessage>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let closed = self.line(stream.agent, stream.master).down;
        let at = self.arrival(closed, stream.down);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.down = at;
        }
        self.at(at, Event::Down(id, item));
    }

    pub(crate) fn line(&self, agent: usize, master: usize) -> Line {
        self.lines.get(&(agent, master)).copied().unwrap_or_default()
    }

    /// The stream breaks as a whole: both ends see that, and nothing that was on its way arrives.
    pub(crate) fn break_stream(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.broken = true;
        let (agent, master) = (stream.agent, stream.master);
        let line = self.line(agent, master);
        let (up, down) = (self.arrival(line.up, 0), self.arrival(line.down, 0));
        self.at(up, Event::Broken(id, true));
        self.at(down, Event::Broken(id, false));
    }
}
