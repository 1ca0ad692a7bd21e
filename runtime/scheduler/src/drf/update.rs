//! Changes to the tree: each costs its own path from the leaf to the root.

use super::standing::{Key, Standing};
use super::{Node, OWN, ROOT, Tree};
use crate::resources::Scalars;
use crate::role::Role;

impl Tree {
    /// Puts a client into the order or takes it out. True when it was not in it before and now is.
    pub(crate) fn set_active(&mut self, index: usize, active: bool) -> bool {
        let Tree { nodes, clients, total, .. } = self;
        let client = &mut clients[index];
        let mut node = client.node;
        match (client.standing.key, active) {
            (None, true) => {
                let key = client.standing.place(total, 1.0, client.came, index);
                client.standing.key = Some(key);
                nodes[node].clients.insert(key);
                if nodes[node].own.key.is_none() {
                    let key = nodes[node].own.place(total, 1.0, 0, OWN);
                    nodes[node].own.key = Some(key);
                    nodes[node].order.insert(key);
                }
                while node != ROOT && nodes[node].all.key.is_none() {
                    let key = nodes[node].all.place(total, nodes[node].weight, nodes[node].came, node);
                    nodes[node].all.key = Some(key);
                    node = nodes[node].parent;
                    nodes[node].order.insert(key);
                }
                true
            }
            (Some(key), false) => {
                client.standing.key = None;
                nodes[node].clients.remove(&key);
                if nodes[node].clients.is_empty()
                    && let Some(key) = nodes[node].own.key.take()
                {
                    nodes[node].order.remove(&key);
                }
                while node != ROOT && nodes[node].order.is_empty() {
                    let key = nodes[node].all.key.take();
                    node = nodes[node].parent;
                    if let Some(key) = key {
                        nodes[node].order.remove(&key);
                    }
                }
                false
            }
            _ => false,
        }
    }

    /// A client holds more: by an offer, or by what it is found to use.
    pub(crate) fn hold(&mut self, client: usize, amounts: &Scalars, offered: bool) {
        self.change(client, |standing| {
            standing.held.add(amounts);
            standing.offers += u64::from(offered);
        });
    }

    /// A client holds less.
    pub(crate) fn release(&mut self, client: usize, amounts: &Scalars) {
        self.change(client, |standing| standing.held.sub(amounts));
    }

    fn change(&mut self, index: usize, change: impl Fn(&mut Standing)) {
        let Tree { nodes, clients, total, stale, .. } = self;
        let client = &mut clients[index];
        change(&mut client.standing);
        let mut at = client.node;
        let node = &mut nodes[at];
        change(&mut node.own);
        if !*stale {
            let key = client.standing.place(total, 1.0, client.came, index);
            client.standing.reorder(&mut node.clients, key);
            let key = node.own.place(total, 1.0, 0, OWN);
            node.own.reorder(&mut node.order, key);
        }
        while at != ROOT {
            change(&mut nodes[at].all);
            if !*stale {
                reorder_in_parent(nodes, total, at);
            }
            at = nodes[at].parent;
        }
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight: f64) {
        let node = self.node(role);
        self.nodes[node].weight = weight;
        reorder_in_parent(&mut self.nodes, &self.total, node);
        self.settle_node(node);
    }

    /// The cluster's total changes; the order follows at the next [`Tree::refresh`].
    pub(crate) fn change_total(&mut self, change: impl FnOnce(&mut Scalars)) {
        change(&mut self.total);
        self.stale = true;
    }

    /// Makes all orders anew when the total has changed.
    pub(crate) fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let Tree { nodes, clients, total, .. } = self;
        // Sets are made at once from all their keys, which is several times faster than one by one.
        let mut theirs: Vec<Vec<Key>> = vec![Vec::new(); nodes.len()];
        for (index, client) in clients.iter_mut() {
            if client.standing.key.is_some() {
                let key = client.standing.place(total, 1.0, client.came, index);
                client.standing.key = Some(key);
                theirs[client.node].push(key);
            }
        }
        for (node, keys) in nodes.iter_mut().zip(&mut theirs) {
            node.clients = keys.drain(..).collect();
        }
        for at in 0..nodes.len() {
            let node = &mut nodes[at];
            if node.own.key.is_some() {
                let key = node.own.place(total, 1.0, 0, OWN);
                node.own.key = Some(key);
                theirs[at].push(key);
            }
            if node.all.key.is_some() {
                let (key, parent) = (node.all.place(total, node.weight, node.came, at), node.parent);
                node.all.key = Some(key);
                theirs[parent].push(key);
            }
        }
        for (node, keys) in nodes.iter_mut().zip(theirs) {
            node.order = keys.into_iter().collect();
        }
    }
}

/// Moves a role to its place among its siblings.
fn reorder_in_parent(nodes: &mut [Node], total: &Scalars, at: usize) {
    let node = &nodes[at];
    let (key, parent) = (node.all.place(total, node.weight, node.came, at), node.parent);
    if let Some(old) = node.all.key
        && old != key
    {
        nodes[parent].order.remove(&old);
        nodes[parent].order.insert(key);
        nodes[at].all.key = Some(key);
    }
}
