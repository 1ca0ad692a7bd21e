//! An arena: values by index, with the indices of removed ones used again.

/// Indices are dense, and which one is next depends on nothing but the order of insertions and removals.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    vacant: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { items: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, item: T) -> usize {
        if let Some(index) = self.vacant.pop() {
            self.items[index] = Some(item);
            return index;
        }
        self.items.push(Some(item));
        self.items.len() - 1
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        let item = self.items.get_mut(index)?.take()?;
        self.vacant.push(index);
        Some(item)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.items.get_mut(index)?.as_mut()
    }

    /// In ascending order of the index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.items.iter().enumerate().filter_map(|(index, item)| Some((index, item.as_ref()?)))
    }

    /// In ascending order of the index.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.items.iter_mut().enumerate().filter_map(|(index, item)| Some((index, item.as_mut()?)))
    }
}

impl<T> std::ops::Index<usize> for Slab<T> {
    type Output = T;

    /// For indices that the owner keeps himself and removes with the item.
    #[expect(clippy::expect_used, reason = "an index is only kept as long as its item is there")]
    fn index(&self, index: usize) -> &T {
        self.get(index).expect("the item of a kept index")
    }
}

impl<T> std::ops::IndexMut<usize> for Slab<T> {
    #[expect(clippy::expect_used, reason = "an index is only kept as long as its item is there")]
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.get_mut(index).expect("the item of a kept index")
    }
}
