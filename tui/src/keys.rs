//! One table of what keys do: the last line, the help and the palette are read from it.

/// A key, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// As people write it: `S`, `enter`, `ctrl-t`.
    pub(crate) key: &'static str,
    /// In few words.
    pub(crate) does: &'static str,
    /// It changes the cluster: off in a read-only dashboard.
    pub(crate) changes: bool,
}

/// A key that looks.
pub(crate) const fn looks(key: &'static str, does: &'static str) -> Binding {
    Binding { key, does, changes: false }
}

/// A key that changes.
pub(crate) const fn changes(key: &'static str, does: &'static str) -> Binding {
    Binding { key, does, changes: true }
}

/// What keys do everywhere.
pub(crate) const EVERYWHERE: &[Binding] = &[
    looks("1-6", "page"),
    looks("tab", "next panel"),
    looks(":", "palette"),
    looks("/", "filter"),
    looks("?", "help"),
    looks("esc", "one step back"),
    looks("q", "back, and quit at the top"),
    looks("ctrl-c", "quit"),
    looks("c", "copy"),
    looks("z", "full screen"),
    looks("p", "pause what is shown"),
    looks("ctrl-t", "mouse"),
    looks("ctrl-r", "connect anew"),
    looks("ctrl-z", "to the shell"),
];

/// What keys do in lists and texts.
pub(crate) const LISTS: &[Binding] = &[
    looks("j k", "line"),
    looks("g G", "first, last"),
    looks("ctrl-d ctrl-u", "half a page"),
    looks("h l", "tab, fold"),
    looks("enter", "open"),
    looks("o", "sort"),
    looks("space", "mark"),
];
