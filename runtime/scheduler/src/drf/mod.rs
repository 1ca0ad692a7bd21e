//! Who stands next: dominant resource fairness over a tree of roles, and over frameworks within a role.
//!
//! Each node keeps its children in order all the time, so that a change costs its own path through the tree
//! and no sorting. A role with frameworks of its own competes with the roles below it as one more child of
//! weight 1, as in Mesos. Order: smaller share/weight, then fewer offers so far, then who came first; the second
//! makes frameworks that hold nothing take turns.

mod standing;
mod update;

use std::collections::{BTreeSet, HashMap};

use standing::{Key, Standing};

use crate::resources::Scalars;
use crate::role::Role;
use crate::slab::Slab;

/// The root of the tree, which is no role.
pub(crate) const ROOT: usize = 0;
/// As the target of a key: the frameworks of the node itself.
const OWN: usize = usize::MAX;

#[derive(Clone, Debug)]
struct Node {
    role: Role,
    parent: usize,
    weight: f64,
    /// Its place among its siblings in the order of coming.
    came: u64,
    /// Nodes and clients that hang on it, whether they want offers or not. Of one that is vacant: none.
    children: usize,
    members: usize,
    /// Of the role and all below it; its key is in the parent's `order`.
    all: Standing,
    /// Of the role's own frameworks; its key is in this node's `order`.
    own: Standing,
    /// Children that want offers, or have someone below them who does.
    order: BTreeSet<Key>,
    /// Clients of the role itself that want offers.
    clients: BTreeSet<Key>,
}

/// A framework in one of its roles.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its framework's index.
    pub(crate) framework: usize,
    /// Its role's node.
    pub(crate) node: usize,
    /// Whether the role is still one of the framework's.
    pub(crate) listed: bool,
    /// Whether the framework wants no offers for it.
    pub(crate) suppressed: bool,
    /// Offers it has, and agents on which it uses something.
    pub(crate) uses: usize,
    came: u64,
    standing: Standing,
}

/// The tree of roles and its clients.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Nodes of no role any more, to be used again.
    vacant: Vec<usize>,
    by_role: HashMap<Role, usize>,
    pub(crate) clients: Slab<Client>,
    came: u64,
    total: Scalars,
    /// The total has changed, and with it every share.
    stale: bool,
}

impl Default for Tree {
    fn default() -> Tree {
        let mut tree = Tree {
            nodes: Vec::new(),
            vacant: Vec::new(),
            by_role: HashMap::new(),
            clients: Slab::default(),
            came: 0,
            total: Scalars::default(),
            stale: false,
        };
        tree.push_node(Role::star(), ROOT);
        tree
    }
}

impl Tree {
    fn push_node(&mut self, role: Role, parent: usize) -> usize {
        self.came += 1;
        let node = Node {
            role,
            parent,
            weight: 1.0,
            came: self.came,
            children: 0,
            members: 0,
            all: Standing::default(),
            own: Standing::default(),
            order: BTreeSet::new(),
            clients: BTreeSet::new(),
        };
        match self.vacant.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    /// The node of a role, made when it is new, with its ancestors.
    fn node(&mut self, role: &Role) -> usize {
        if let Some(node) = self.by_role.get(role) {
            return *node;
        }
        let parent = role.parent().map_or(ROOT, |parent| self.node(&parent));
        let node = self.push_node(role.clone(), parent);
        self.nodes[parent].children += 1;
        self.by_role.insert(role.clone(), node);
        node
    }

    /// Forgets a role without clients, roles below it and a weight of its own, and then those above it likewise.
    fn settle_node(&mut self, mut at: usize) {
        while at != ROOT {
            let node = &self.nodes[at];
            #[expect(clippy::float_cmp, reason = "one that was set to 1 is exactly 1")]
            if node.children > 0 || node.members > 0 || node.weight != 1.0 {
                return;
            }
            let parent = node.parent;
            self.by_role.remove(&node.role);
            self.vacant.push(at);
            self.nodes[parent].children -= 1;
            at = parent;
        }
    }

    pub(crate) fn role(&self, node: usize) -> &Role {
        &self.nodes[node].role
    }

    pub(crate) fn role_of(&self, client: usize) -> &Role {
        self.role(self.clients[client].node)
    }

    /// Children in their order; `None` stands for the node's own frameworks.
    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = Option<usize>> {
        self.nodes[node].order.iter().map(|key| (key.target != OWN).then_some(key.target))
    }

    /// Clients of a role in their order.
    pub(crate) fn clients_of(&self, node: usize) -> impl Iterator<Item = usize> {
        self.nodes[node].clients.iter().map(|key| key.target)
    }

    /// Where a client that wants offers stands, from the root down. Paths compare as the walk goes.
    pub(crate) fn path(&self, client: usize) -> Vec<Key> {
        let client = &self.clients[client];
        let mut path: Vec<Key> = client.standing.key.into_iter().collect();
        path.extend(self.nodes[client.node].own.key);
        let mut node = client.node;
        while node != ROOT {
            path.extend(self.nodes[node].all.key);
            node = self.nodes[node].parent;
        }
        path.reverse();
        path
    }

    /// Roles in the order they became known, with the share of each and all below it, not divided by weight.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (&Role, f64)> {
        let mut nodes: Vec<&Node> = self.by_role.values().map(|at| &self.nodes[*at]).collect();
        nodes.sort_unstable_by_key(|node| node.came);
        nodes.into_iter().map(|node| (&node.role, node.all.share(&self.total, 1.0)))
    }

    pub(crate) fn add_client(&mut self, framework: usize, role: &Role) -> usize {
        let node = self.node(role);
        self.nodes[node].members += 1;
        self.came += 1;
        self.clients.insert(Client {
            framework,
            node,
            listed: false,
            suppressed: false,
            uses: 0,
            came: self.came,
            standing: Standing::default(),
        })
    }

    pub(crate) fn remove_client(&mut self, client: usize) {
        self.set_active(client, false);
        if let Some(removed) = self.clients.remove(client) {
            self.nodes[removed.node].members -= 1;
            self.settle_node(removed.node);
        }
    }

    /// Whether a client is in the order.
    pub(crate) fn is_active(&self, client: usize) -> bool {
        self.clients[client].standing.key.is_some()
    }
}
