//! The size of a series in the encoding of Facebook's Gorilla, as time-series databases use it, in bits.
//! Source: Pelkonen et al., "Gorilla: a fast, scalable, in-memory time series database", VLDB 2015.
//! Times are counted as one bit each, their best case.

/// Bits of a chunk of values. NaN is a value like others.
pub fn bits(values: &[f64]) -> u64 {
    let mut bits = 64;
    let (mut leading, mut trailing) = (u32::MAX, 0);
    for pair in values.windows(2) {
        let xor = pair[0].to_bits() ^ pair[1].to_bits();
        bits += 1;
        if xor == 0 {
            bits += 1;
            continue;
        }
        let (new_leading, new_trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if leading != u32::MAX && new_leading >= leading && new_trailing >= trailing {
            bits += 2 + u64::from(64 - leading - trailing);
        } else {
            (leading, trailing) = (new_leading, new_trailing);
            bits += 2 + 5 + 6 + u64::from(64 - leading - trailing);
        }
    }
    bits
}
