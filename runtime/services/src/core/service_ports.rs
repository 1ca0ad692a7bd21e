//! Which service ports apps have, counted, so that a change of one app does not look at all others.

use api::marathon::App;

/// How many apps have each port.
pub(crate) struct ServicePorts(Vec<u32>);

impl ServicePorts {
    pub(crate) fn new() -> ServicePorts {
        ServicePorts(vec![0; usize::from(u16::MAX) + 1])
    }

    /// Counts the ports of a definition that takes the place of another.
    pub(crate) fn replace(&mut self, old: Option<&App>, new: Option<&App>) {
        for port in old.iter().flat_map(|app| app.service_ports()) {
            if let Some(count) = self.0.get_mut(usize::from(port)) {
                *count = count.saturating_sub(1);
            }
        }
        for port in new.iter().flat_map(|app| app.service_ports()) {
            if let Some(count) = self.0.get_mut(usize::from(port)) {
                *count += 1;
            }
        }
    }

    /// Whether anybody but an app that has the ports `own` has this one.
    pub(crate) fn is_taken(&self, port: u16, own: &[u16]) -> bool {
        let all = self.0.get(usize::from(port)).copied().unwrap_or(0);
        let ours = own.iter().filter(|own| **own == port).count();
        u32::try_from(ours).is_ok_and(|ours| all > ours)
    }
}

impl std::fmt::Debug for ServicePorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let taken = self.0.iter().filter(|count| **count > 0).count();
        f.debug_struct("ServicePorts").field("taken", &taken).finish()
    }
}
