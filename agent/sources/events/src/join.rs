//! Joins the lines of one message: stack traces, backtraces and tab-indented continuations. Pure.
//!
//! A writer's lines (one file, or one process's standard output) come in order; writers may be mixed.
//! A line continues the one before it from the same writer when [`trace`] says so, up to
//! [`GROUP_LIMIT_LINES`] lines and the model's length of a line. A message that may go on is held back
//! for [`WAIT`] after its last line, and with it everything that came after its first: what is released
//! is always a prefix of what was read, so that one position describes it. No line is ever dropped here.

mod trace;

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::Timestamp;
use firstlook_model::log::LINE_LIMIT_BYTES;

use trace::Trace;

/// Most lines of one message; what follows begins the next.
pub(crate) const GROUP_LIMIT_LINES: usize = 256;
/// How long a message waits for more. A trace is written at one go, within milliseconds.
pub(crate) const WAIT: Duration = Duration::from_millis(250);
/// How long the oldest line may be held, however busy the writers are.
const HELD_LIMIT: Duration = Duration::from_secs(2);
/// Most lines held.
const HELD_LIMIT_LINES: usize = 4_000;

/// A line that was read and not yet released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// Who wrote it: only lines of one writer are joined.
    pub(crate) writer: u64,
    pub(crate) text: &'a str,
    /// When it was read.
    pub(crate) seen: Timestamp,
    /// Whether it may be joined at all: a source that keeps messages whole is left alone.
    pub(crate) joins: bool,
}

/// What to release.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many pieces are released: always the first ones.
    pub(crate) released: usize,
    /// The messages among them, by their first line: indices, rising and never empty. Each released
    /// piece is in exactly one.
    pub(crate) groups: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Group {
    pieces: Vec<usize>,
    bytes: usize,
    trace: Trace,
}

/// Decides which of the lines read so far are released, and joined how. `drain`: nothing more can come.
pub(crate) fn plan(pieces: &[Piece<'_>], now: Timestamp, drain: bool) -> Plan {
    let (groups, last_of) = group(pieces);
    let overdue = |since: Timestamp, limit| now < since || now.since(since) >= limit;
    let released = if drain
        || pieces.len() >= HELD_LIMIT_LINES
        || pieces.first().is_none_or(|p| overdue(p.seen, HELD_LIMIT))
    {
        pieces.len()
    } else {
        let waits = last_of.values().filter_map(|&at| {
            let group = &groups[at];
            let last = &pieces[*group.pieces.last()?];
            let waits = last.joins && group.trace.may_go_on(last.text) && !overdue(last.seen, WAIT);
            waits.then(|| group.pieces[0])
        });
        whole_prefix(&groups, waits.min().unwrap_or(pieces.len()))
    };
    let groups = groups.into_iter().map(|group| group.pieces);
    Plan {
        released,
        groups: groups.take_while(|group| group[0] < released).collect(),
    }
}

/// Every piece in one group, in order of first lines; and each writer's last group.
fn group(pieces: &[Piece<'_>]) -> (Vec<Group>, HashMap<u64, usize>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut last_of: HashMap<u64, usize> = HashMap::new();
    for (index, piece) in pieces.iter().enumerate() {
        let mut trace = Trace::of(piece.text);
        if let Some(open) = last_of
            .get(&piece.writer)
            .map(|at| &mut groups[*at])
            .filter(|_| piece.joins)
        {
            let last = open.pieces.last().map_or("", |last| pieces[*last].text);
            if let Some(next) = open.trace.next(last, piece.text) {
                let bytes = open.bytes + 1 + piece.text.len();
                if open.pieces.len() < GROUP_LIMIT_LINES && bytes <= LINE_LIMIT_BYTES {
                    open.pieces.push(index);
                    (open.bytes, open.trace) = (bytes, next);
                    continue;
                }
                // Too long: the rest is a message of its own, and still the same trace.
                trace = next;
            }
        }
        last_of.insert(piece.writer, groups.len());
        groups.push(Group {
            pieces: vec![index],
            bytes: piece.text.len(),
            trace,
        });
    }
    (groups, last_of)
}

/// The longest prefix of at most `end` pieces that cuts no group.
fn whole_prefix(groups: &[Group], mut end: usize) -> usize {
    loop {
        let cut = groups
            .iter()
            .filter(|group| group.pieces.last().is_some_and(|last| *last >= end))
            .map(|group| group.pieces[0])
            .min();
        match cut {
            Some(first) if first < end => end = first,
            _ => return end,
        }
    }
}

/// The text of a message: its lines, one below the other.
pub(crate) fn text<'a>(group: &[usize], line: impl Fn(usize) -> &'a str) -> String {
    let lines: Vec<&str> = group.iter().map(|index| line(*index)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
