//! What goes wrong, and is healed again before the end.

use crate::masters::{Armed, Point};
use crate::network::Line;
use crate::world::{Event, World};

impl World {
    fn count(&mut self, name: &'static str) {
        *self.figures.faults.entry(name).or_default() += 1;
        self.note(|| format!("FAULT {name}"));
    }

    /// So many milliseconds from now, but before the last fault is over.
    fn until(&mut self, from: u64, to: u64) -> u64 {
        let millis = self.random.within(from, to);
        (self.now + millis).min(self.faults_end)
    }

    /// A master; mostly one that leads.
    fn any_master(&mut self) -> usize {
        let leads: Vec<usize> =
            (0..self.masters.len()).filter(|m| self.masters[*m].reign.is_some()).collect();
        if leads.is_empty() || self.random.per_cent(20) {
            return self.random.below(self.masters.len());
        }
        leads[self.random.below(leads.len())]
    }

    fn cut(line: &mut Line, way: usize, until: u64) {
        if way != 1 {
            line.up = line.up.max(until);
        }
        if way != 2 {
            line.down = line.down.max(until);
        }
    }

    pub(crate) fn fault(&mut self) {
        if self.now + 1_000 >= self.faults_end {
            self.armed = None;
            return;
        }
        // Now and then several at once.
        let pause = if self.random.per_cent(25) {
            self.random.within(0, 200)
        } else {
            self.random.within(800, 12_000)
        };
        self.after(pause, Event::Fault);
        let (agents, masters) = (self.hosts.len(), self.masters.len());
        let agent = self.random.below(agents);
        match self.random.below(26) {
            0..=6 => {
                self.count("struck at a place");
                let point = Point::ALL[self.random.below(Point::ALL.len())];
                let pause = self.random.per_cent(40).then(|| self.random.within(500, 9_000));
                self.armed = Some(Armed { point, passes: self.random.within(0, 3), pause });
            }
            7 => {
                self.count("master killed");
                let (master, back) = (self.any_master(), self.random.within(100, 10_000));
                self.kill_master(master);
                self.restart_master(master, back);
            }
            8..=9 => {
                self.count("master stopped");
                let (master, millis) = (self.any_master(), self.random.within(200, 12_000));
                self.pause_master(master, millis);
            }
            10 => {
                self.count("all masters killed");
                for master in 0..masters {
                    let back = self.random.within(100, 8_000);
                    self.kill_master(master);
                    self.restart_master(master, back);
                }
            }
            11 => {
                self.count("leader abdicates");
                let master = self.any_master();
                if self.masters[master].up && !self.masters[master].paused {
                    self.abdicate(master);
                }
            }
            12..=13 => {
                self.count("master cut from the store");
                let (master, way) = (self.any_master(), self.random.below(3));
                let until = self.until(300, 12_000);
                Self::cut(&mut self.store_lines[master], way, until);
            }
            14 => {
                self.count("store away");
                let until = self.until(300, 8_000);
                self.store_lines.iter_mut().for_each(|line| Self::cut(line, 0, until));
            }
            15 => {
                self.count("store's answers lost");
                let master = self.any_master();
                self.lost_answers[master] = self.random.within(1, 3);
            }
            16..=17 => {
                self.count("agent killed");
                self.kill_agent(agent);
                let back = self.until(100, 25_000);
                self.at(back, Event::StartAgent(agent));
            }
            18 => {
                self.count("agent stopped");
                let millis = self.random.within(200, 25_000);
                self.pause_agent(agent, millis);
            }
            19 => {
                self.count("host started anew");
                self.reboot(agent);
                let back = self.until(1_000, 25_000);
                self.at(back, Event::StartAgent(agent));
            }
            20..=21 => {
                self.count("agent cut off");
                let (way, until) = (self.random.below(3), self.until(500, 40_000));
                for master in 0..masters {
                    Self::cut(self.lines.entry((agent, master)).or_default(), way, until);
                }
            }
            22 => {
                self.count("master cut from agents");
                let (master, way) = (self.any_master(), self.random.below(3));
                let until = self.until(500, 25_000);
                for agent in 0..agents {
                    Self::cut(self.lines.entry((agent, master)).or_default(), way, until);
                }
            }
            23..=24 => {
                self.count("stream broken");
                if let Some(id) = self.hosts[agent].stream() {
                    self.break_stream(id);
                }
            }
            _ => {
                self.count("date jumps");
                let (master, hours) = (self.any_master(), self.random.within(0, 4));
                self.masters[master].skew = (i64::try_from(hours).unwrap_or(0) - 2) * 3_600_000;
            }
        }
    }
}
