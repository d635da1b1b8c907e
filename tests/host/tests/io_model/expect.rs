// SPDX-License-Identifier: GPL-2.0-only

//! What an image or a snapshot must read as: a plain array, and where requests ran beside each other,
//! the values that are as good.

use crate::Grain;
use std::collections::HashMap;

#[derive(Clone, Default)]
pub struct Expected {
    cells: Vec<Grain>,
    /// Other values that a cell may have, until it is looked at.
    others: HashMap<usize, Vec<Grain>>,
}

impl Expected {
    pub fn new(size: usize) -> Self {
        Self {
            cells: vec![0; size],
            others: HashMap::new(),
        }
    }

    pub fn resize(&mut self, size: usize) {
        self.cells.resize(size, 0);
        self.others.retain(|cell, _| *cell < size);
    }

    /// All values the cell may have.
    pub fn values(&self, cell: usize) -> impl Iterator<Item = Grain> + '_ {
        let others = self.others.get(&cell).into_iter().flatten();
        [self.cells[cell]].into_iter().chain(others.copied())
    }

    /// The cell may have this value, too.
    pub fn allow(&mut self, cell: usize, value: Grain) {
        if cell < self.cells.len() && !self.values(cell).any(|v| v == value) {
            self.others.entry(cell).or_default().push(value);
        }
    }

    /// The cell has this value.
    pub fn set(&mut self, cell: usize, value: Grain) {
        self.cells[cell] = value;
        self.others.remove(&cell);
    }

    /// Compares with what was read, which from now on is the one right value. The first difference
    /// is an error: the cell, what it may be, what it is.
    pub fn check(&mut self, got: &[Grain]) -> Result<(), (usize, Vec<Grain>, Grain)> {
        assert_eq!(got.len(), self.cells.len());
        if self.others.is_empty() && self.cells == got {
            return Ok(());
        }
        for (cell, value) in got.iter().enumerate() {
            if !self.values(cell).any(|v| v == *value) {
                return Err((cell, self.values(cell).collect(), *value));
            }
        }
        self.cells.copy_from_slice(got);
        self.others.clear();
        Ok(())
    }
}
