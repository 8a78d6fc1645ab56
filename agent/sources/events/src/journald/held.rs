//! Entries that were read and not yet released: what a program prints comes as one entry for each line, and the
//! lines of one message are joined.

use firstlook_model::{RawLine, Timestamp};

use crate::join::{self, Piece};

/// An entry, with what a position needs.
#[derive(Debug)]
pub(super) struct Entry {
    /// Which directory's follower read it.
    pub(super) follower: usize,
    pub(super) file_id: u128,
    pub(super) seqnum: u64,
    pub(super) realtime: u64,
    pub(super) pid: u32,
    /// A line of a program's output.
    pub(super) joins: bool,
    pub(super) seen: Timestamp,
    /// `None`: the entry makes no line.
    pub(super) line: Option<RawLine>,
}

/// Entries in order of reading.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Entry>);

impl Held {
    pub(super) fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// The lines that need not wait, joined, in order of their first lines. `reach` is told of every
    /// entry that they cover, in order.
    pub(super) fn release(&mut self, now: Timestamp, reach: impl FnMut(&Entry)) -> Vec<RawLine> {
        let pieces: Vec<_> = self.0.iter().map(piece).collect();
        let plan = join::plan(&pieces, now, false);
        let lines = plan.groups.iter().filter_map(|group| self.joined(group));
        let lines = lines.collect();
        self.0[..plan.released].iter().for_each(reach);
        self.0.drain(..plan.released);
        lines
    }

    /// The first line with the text of all and the gravity of the gravest.
    fn joined(&self, group: &[usize]) -> Option<RawLine> {
        let first = self.0[*group.first()?].line.as_ref()?;
        let severities = group
            .iter()
            .filter_map(|index| self.0[*index].line.as_ref()?.severity);
        Some(RawLine {
            severity: severities.max(),
            text: join::text(group, |index| text(&self.0[index])),
            ..first.clone()
        })
    }
}

fn piece(entry: &Entry) -> Piece<'_> {
    // What makes no line joins nothing, and nothing is joined to it.
    let silent = entry.line.is_none();
    let writer = (entry.follower as u64) << 32 | u64::from(entry.pid);
    Piece {
        writer: if silent { u64::MAX } else { writer },
        text: text(entry),
        seen: entry.seen,
        joins: entry.joins && !silent && entry.pid != 0,
    }
}

fn text(entry: &Entry) -> &str {
    entry.line.as_ref().map_or("", |line| &line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ComponentId, HostId, LogSource, Severity};

    fn entry(seqnum: u64, pid: u32, text: Option<&str>) -> Entry {
        let line = |text: &str| RawLine {
            time: Timestamp::from_secs(seqnum as i64),
            component: ComponentId::host(HostId::new("app1").unwrap()),
            severity: Some(if pid == 7 {
                Severity::Info
            } else {
                Severity::Error
            }),
            source: LogSource::Journald,
            text: text.to_owned(),
        };
        Entry {
            follower: 0,
            file_id: 1,
            seqnum,
            realtime: seqnum,
            pid,
            joins: true,
            seen: Timestamp::from_secs(1_000),
            line: text.map(line),
        }
    }

    fn release(held: &mut Held, millis: i64) -> (Vec<String>, Vec<u64>) {
        let mut reached = Vec::new();
        let now = Timestamp::from_millis(1_000_000 + millis);
        let lines = held.release(now, |entry| reached.push(entry.seqnum));
        (lines.into_iter().map(|line| line.text).collect(), reached)
    }

    #[test]
    fn a_position_never_passes_a_line_that_is_held() {
        let mut held = Held::default();
        for entry in [
            entry(1, 7, Some("plain")),
            entry(2, 8, Some("Traceback (most recent call last):")),
            entry(3, 0, None),
            entry(4, 7, Some("\tno part of it")),
            entry(5, 8, Some("KeyError: 1")),
        ] {
            held.push(entry);
        }
        // The tab goes on with the plain line, which began before the traceback that may go on.
        assert_eq!(release(&mut held, 0), (vec![], vec![]));
        let (lines, reached) = release(&mut held, 250);
        assert_eq!(
            lines,
            [
                "plain\n\tno part of it",
                "Traceback (most recent call last):\nKeyError: 1"
            ]
        );
        assert_eq!(reached, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn messages_that_came_whole_are_left_alone() {
        let mut held = Held::default();
        for seqnum in 1..=2 {
            let mut entry = entry(seqnum, 7, Some("\tx"));
            entry.joins = false;
            held.push(entry);
        }
        assert_eq!(release(&mut held, 0).0.len(), 2);
    }
}
