//! Tables by numbers that the kernel hands out one after the other: cookies, inodes, pids, ports.
//!
//! Nobody outside chooses them to fall on one another, so that they need no keyed hash, which takes most of the
//! time of a look-up; a dump of 20,000 sockets makes a hundred thousand.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by such numbers.
pub(crate) type Numbered<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// 2⁶⁴ by the golden ratio: multiples of it spread evenly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads a number over all 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        // A table takes the lowest bits, which a product has from the lowest bits of the number only.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    #[test]
    fn numbers_in_a_row_and_in_steps_spread_over_a_table() {
        let hash = BuildHasherDefault::<NumberHasher>::default();
        // Cookies of other namespaces differ in their upper half only; some count in steps of the number of cores.
        for step in [1, 2, 64, 4096, 1 << 32] {
            let places: HashSet<_> = (0..4096u64)
                .map(|n| hash.hash_one(n * step) & 4095)
                .collect();
            assert!(places.len() > 2_000, "{step}: {}", places.len());
        }
    }

    #[test]
    fn a_table_finds_what_was_put_in() {
        let mut ports: Numbered<u16, u32> = Numbered::default();
        ports.extend((0..=u16::MAX).map(|port| (port, u32::from(port) + 1)));
        assert!((0..=u16::MAX).all(|port| ports.get(&port) == Some(&(u32::from(port) + 1))));
    }
}
