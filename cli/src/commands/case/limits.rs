//! What `firstlook-collector replay` reads of a case at most: nothing larger is written.

/// Bytes of one file.
pub const FILE_BYTES: usize = 64 << 20;
/// Columns of a recording, that of the times among them.
pub const COLUMNS: usize = 4_096;
/// Rows of a recording.
pub const ROWS: usize = 200_000;
/// Calls of a graph.
pub const CALLS: usize = 100_000;
/// Lines of a file of lines.
pub const LINES: usize = 1_000_000;
/// Bytes of one line's text that are read.
pub const TEXT_BYTES: usize = 16 << 10;
