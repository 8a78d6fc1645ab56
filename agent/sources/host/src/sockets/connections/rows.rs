//! Connections in rows, found by cookie. Pure.
//!
//! Rows are filled in the order in which the kernel first listed their connections, which is much the order in which
//! it lists them again: a dump goes through memory in order, where a table of the connections themselves makes it
//! wait for memory at every look-up.

use crate::numbered::Numbered;

/// A row, as long as its connection is kept.
pub(super) type Row = u32;

/// The rows.
#[derive(Debug)]
pub(super) struct Rows<T> {
    rows: Vec<Option<(u64, T)>>,
    by_cookie: Numbered<u64, Row>,
    free: Vec<Row>,
}

impl<T> Rows<T> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            by_cookie: Numbered::default(),
            free: Vec::new(),
        }
    }

    /// The row of a connection, if there is one.
    pub(super) fn of(&self, cookie: u64) -> Option<Row> {
        self.by_cookie.get(&cookie).copied()
    }

    /// The row of a connection, which is made where there is none.
    pub(super) fn place(&mut self, cookie: u64, make: impl FnOnce() -> T) -> Row {
        if let Some(row) = self.of(cookie) {
            return row;
        }
        let filled = Some((cookie, make()));
        let row = match self.free.pop() {
            Some(row) => {
                self.rows[row as usize] = filled;
                row
            }
            None => {
                self.make_room();
                self.rows.push(filled);
                Row::try_from(self.rows.len() - 1)
                    .expect("sockets are fewer than 2³²: there is a budget")
            }
        };
        self.by_cookie.insert(cookie, row);
        row
    }

    /// Grows by an eighth: what doubles has room for twice what there is.
    fn make_room(&mut self) {
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact((self.rows.len() / 8).max(64));
        }
    }

    pub(super) fn get(&self, row: Row) -> Option<&T> {
        let (_, held) = self.rows.get(row as usize)?.as_ref()?;
        Some(held)
    }

    pub(super) fn get_mut(&mut self, row: Row) -> Option<&mut T> {
        let (_, held) = self.rows.get_mut(row as usize)?.as_mut()?;
        Some(held)
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, cookie: u64) -> Option<T> {
        let row = self.by_cookie.remove(&cookie)?;
        self.free.push(row);
        let (_, held) = self.rows.get_mut(row as usize)?.take()?;
        Some(held)
    }

    /// Takes out all that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for (row, slot) in (0..).zip(&mut self.rows) {
            if let Some((cookie, _)) = slot.take_if(|(_, held)| !keep(held)) {
                self.by_cookie.remove(&cookie);
                self.free.push(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn rows_hold_what_a_map_would(steps in proptest::collection::vec((0u8..3, 0u64..20), 0..200)) {
            let (mut rows, mut model) = (Rows::new(), BTreeMap::new());
            for (number, (step, cookie)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        let row = rows.place(cookie, || number);
                        let expected = *model.entry(cookie).or_insert(number);
                        prop_assert_eq!(rows.get(row), Some(&expected));
                    }
                    1 => prop_assert_eq!(rows.remove(cookie), model.remove(&cookie)),
                    _ => {
                        rows.retain(|held| held % 3 != cookie as usize % 3);
                        model.retain(|_, held| *held % 3 != cookie as usize % 3);
                    }
                }
                for cookie in 0..20 {
                    let held = rows.of(cookie).and_then(|row| rows.get(row));
                    prop_assert_eq!(held, model.get(&cookie));
                }
                prop_assert!(rows.rows.len() <= 20, "rows are used again");
            }
        }
    }
}
