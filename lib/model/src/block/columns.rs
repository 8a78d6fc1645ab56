//! The values of a block, column after column in one allocation.
//!
//! A block of the wire holds two values of each of hundreds of series: an allocation of its own for each
//! column costs more than its values. Rows that are added later find room behind each column; when there is
//! none left, all columns move apart at once, so that adding rows one by one stays cheap.

use std::ops::{Index, Range};

/// Columns of one length: values of several series at the same times. NaN where there was no observation.
#[derive(Clone, Default)]
pub struct Columns {
    /// Column after column, each of `stride` places, of which the first `rows` are its values. The places
    /// behind them hold anything.
    places: Vec<f64>,
    width: usize,
    rows: usize,
    stride: usize,
}

/// Columns that were to stand side by side are not equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("columns are not equally long")]
pub struct UnevenColumns;

impl Columns {
    /// One value per column.
    pub fn from_row(row: Vec<f64>) -> Self {
        Self {
            width: row.len(),
            rows: 1,
            stride: 1,
            places: row,
        }
    }

    /// `width` columns of `rows` values that stand in `values` one after the other, without gaps.
    pub(super) fn from_values(values: Vec<f64>, width: usize, rows: usize) -> Self {
        debug_assert_eq!(values.len(), width * rows);
        Self {
            places: values,
            width,
            rows,
            stride: rows,
        }
    }

    /// How many columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many values each column has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of one column; `None` beyond the last.
    #[inline]
    pub fn get(&self, column: usize) -> Option<&[f64]> {
        (column < self.width).then(|| &self[column])
    }

    /// The values of every column, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        (0..self.width).map(|column| &self[column])
    }

    /// Some rows of every column.
    ///
    /// # Panics
    /// When there are not so many rows.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let mut values = Vec::with_capacity(self.width * rows.len());
        self.iter()
            .for_each(|column| values.extend_from_slice(&column[rows.clone()]));
        Self::from_values(values, self.width, rows.len())
    }

    /// Adds a row. Says whether it had a value for each column; if not, nothing is added.
    #[must_use]
    pub fn push_row(&mut self, row: &[f64]) -> bool {
        let fits = row.len() == self.width;
        if fits {
            self.add(row.iter().map(std::slice::from_ref), 1);
        }
        fits
    }

    /// Adds the rows of `more`. Says whether it has as many columns; if not, nothing is added.
    #[must_use]
    pub fn append(&mut self, more: &Self) -> bool {
        let fits = more.width == self.width;
        if fits {
            self.add(more.iter(), more.rows);
        }
        fits
    }

    /// Adds `rows` values to each column: those of `columns`, one slice per column.
    fn add<'a>(&mut self, columns: impl Iterator<Item = &'a [f64]>, rows: usize) {
        let needed = self.rows + rows;
        if needed > self.stride {
            self.move_apart(needed.max(2 * self.stride));
        }
        // Chunks of nothing are not allowed; without columns there is nothing to copy.
        let places = self.places.chunks_exact_mut(self.stride.max(1));
        for (place, values) in places.zip(columns) {
            place[self.rows..needed].copy_from_slice(values);
        }
        self.rows = needed;
    }

    fn move_apart(&mut self, stride: usize) {
        let mut places = vec![0.0; self.width * stride];
        for (place, column) in places.chunks_exact_mut(stride).zip(self.iter()) {
            place[..column.len()].copy_from_slice(column);
        }
        (self.places, self.stride) = (places, stride);
    }
}

/// One column.
///
/// # Panics
/// Beyond the last.
impl Index<usize> for Columns {
    type Output = [f64];

    #[inline]
    fn index(&self, column: usize) -> &[f64] {
        assert!(column < self.width, "no such column");
        let from = column * self.stride;
        &self.places[from..from + self.rows]
    }
}

impl TryFrom<Vec<Vec<f64>>> for Columns {
    type Error = UnevenColumns;

    fn try_from(columns: Vec<Vec<f64>>) -> Result<Self, UnevenColumns> {
        let rows = columns.first().map_or(0, Vec::len);
        match columns.iter().all(|column| column.len() == rows) {
            true => Ok(Self::from_values(columns.concat(), columns.len(), rows)),
            false => Err(UnevenColumns),
        }
    }
}

/// Equal to the bit, all NaN alike.
impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &f64, b: &f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        self.width == other.width
            && (self.rows == other.rows || self.width == 0)
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.iter().zip(b).all(|(x, y)| same(x, y)))
    }
}

impl std::fmt::Debug for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As one would write it without thinking of allocations.
    fn plain(columns: &Columns) -> Vec<Vec<u64>> {
        let bits = |column: &[f64]| column.iter().map(|value| value.to_bits()).collect();
        columns.iter().map(bits).collect()
    }

    fn columns(width: usize, rows: Range<usize>) -> impl Strategy<Value = Vec<Vec<f64>>> {
        rows.prop_flat_map(move |rows| {
            proptest::collection::vec(proptest::collection::vec(any::<f64>(), rows), width)
        })
    }

    proptest! {
        #[test]
        fn rows_added_in_any_portions_stand_behind_one_another(
            (first, portions) in (0usize..6).prop_flat_map(|width| (
                columns(width, 0..4),
                proptest::collection::vec(columns(width, 1..9), 0..12),
            )),
            singly in any::<bool>(),
        ) {
            let mut flat = Columns::try_from(first.clone()).unwrap();
            let mut expected = first;
            for portion in portions {
                let more = Columns::try_from(portion.clone()).unwrap();
                for (column, values) in expected.iter_mut().zip(&portion) {
                    column.extend(values);
                }
                if singly {
                    for index in 0..more.rows() {
                        let row: Vec<f64> = portion.iter().map(|column| column[index]).collect();
                        prop_assert!(flat.push_row(&row));
                    }
                } else {
                    prop_assert!(flat.append(&more));
                }
            }
            let expected = Columns::try_from(expected).unwrap();
            prop_assert_eq!(plain(&flat), plain(&expected));
            prop_assert_eq!(&flat, &expected);
            for cut in 0..=flat.rows() {
                let (mut front, back) = (flat.slice(0..cut), flat.slice(cut..flat.rows()));
                prop_assert!(front.append(&back));
                prop_assert_eq!(plain(&front), plain(&expected));
            }
        }
    }

    #[test]
    fn rows_of_another_width_are_not_added() {
        let mut columns = Columns::from_row(vec![1.0, 2.0]);
        assert!(!columns.push_row(&[1.0]));
        assert!(!columns.append(&Columns::from_row(vec![1.0, 2.0, 3.0])));
        assert_eq!(columns, Columns::from_row(vec![1.0, 2.0]));
        assert_eq!(columns.get(1), Some(&[2.0][..]));
        assert_eq!(columns.get(2), None);
    }

    #[test]
    fn uneven_columns_are_refused() {
        let uneven = vec![vec![1.0], vec![1.0, 2.0]];
        assert_eq!(Columns::try_from(uneven).err(), Some(UnevenColumns));
    }

    #[test]
    fn columns_differ_in_sign_of_zero_but_not_in_kind_of_nan() {
        let quiet = Columns::from_row(vec![f64::NAN]);
        assert_eq!(quiet, Columns::from_row(vec![-f64::NAN]));
        assert_ne!(Columns::from_row(vec![0.0]), Columns::from_row(vec![-0.0]));
    }
}
