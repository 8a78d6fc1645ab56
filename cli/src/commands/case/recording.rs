//! `metrics.csv`: a row for every second, a column for every series; counters as their rates per second.
//!
//! A recording is asked for twice: first which series there are, then their samples. So what there is no room for is never
//! held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use firstlook_model::{ComponentId, HostId, TimeRange, Timestamp};

use super::limits;
use super::names;
use super::near::Near;

/// Values held at most, which bounds memory. A file at its limit has fewer, save where nearly all are 0.
const MOST_CELLS: usize = 16 << 20;
/// Two samples of a counter that are further apart give no rate: no series is sampled less often, and what happened between
/// is not known.
const LONGEST_GAP_SECONDS: f64 = 3_600.0;
/// Digits of a rate: more would only tell of the jitter of the clock.
const RATE_DIGITS: usize = 6;

/// A series as a host reports it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Who reports it.
    pub host: HostId,
    /// Of what.
    pub component: ComponentId,
    /// Its name.
    pub signal: String,
    /// Whether it only rises.
    pub counter: bool,
}

#[derive(Debug)]
struct Column {
    listed: Listed,
    name: String,
    /// A counter's latest sample.
    last: Option<(Timestamp, f64)>,
    /// One per row; NaN: no observation.
    cells: Vec<f64>,
}

/// Series by second.
#[derive(Debug)]
pub struct Recording {
    /// Second of the first row.
    from: i64,
    rows: usize,
    /// The nearest to the incident first.
    columns: Vec<Column>,
    places: BTreeMap<String, usize>,
}

/// The file, and what became of the series.
#[derive(Debug)]
pub struct Written {
    /// The file.
    pub text: String,
    /// First and last second of an observation; `None`: there is none.
    pub seconds: Option<(i64, i64)>,
    /// Components with a column, as the file names them.
    pub components: BTreeSet<String>,
    /// Columns but for that of the times.
    pub columns: usize,
    /// Columns that would have made the file too large.
    pub left_out: usize,
}

impl Recording {
    /// Room for the series in `range`: rows for all of its seconds, at most as many as are read, and columns for those
    /// nearest to the incident. Gives how many have none. One that two hosts report alike is taken of the first.
    pub fn new(listed: Vec<Listed>, near: &Near, range: TimeRange) -> (Self, usize) {
        let from = second(range.from);
        let rows = usize::try_from(second(range.to) - from).unwrap_or(0) + 1;
        let rows = rows.min(limits::ROWS);
        let mut columns: BTreeMap<String, Listed> = BTreeMap::new();
        for one in listed {
            let name = names::column(&one.component, &one.signal);
            columns.entry(name).or_insert(one);
        }
        let mut columns: Vec<(String, Listed)> = columns.into_iter().collect();
        columns.sort_by_cached_key(|(name, one)| (near.steps(&one.component), name.clone()));
        let room = (limits::COLUMNS - 1).min(MOST_CELLS / rows);
        let left_out = columns.len().saturating_sub(room);
        columns.truncate(room);
        let empty = |(name, listed)| Column {
            listed,
            name,
            last: None,
            cells: vec![f64::NAN; rows],
        };
        let columns: Vec<Column> = columns.into_iter().map(empty).collect();
        let numbered = columns.iter().enumerate();
        let places = numbered.map(|(at, c)| (c.name.clone(), at)).collect();
        let recording = Self {
            from,
            rows,
            columns,
            places,
        };
        (recording, left_out)
    }

    /// Hosts of whose series there are columns.
    pub fn hosts(&self) -> BTreeSet<HostId> {
        let hosts = self.columns.iter().map(|c| c.listed.host.clone());
        hosts.collect()
    }

    /// Takes samples of a series, later than those taken before. One without a column is passed over.
    pub fn take(&mut self, series: &Listed, samples: impl Iterator<Item = (Timestamp, f64)>) {
        let name = names::column(&series.component, &series.signal);
        let place = self.places.get(&name).copied();
        let Some(column) = place.and_then(|place| self.columns.get_mut(place)) else {
            return;
        };
        let own = column.listed.host == series.host && column.listed.counter == series.counter;
        for (time, value) in samples.filter(|(_, value)| own && value.is_finite()) {
            let shown = match series.counter {
                true => rate(column.last.replace((time, value)), (time, value)),
                false => Some(value),
            };
            let row = usize::try_from(second(time) - self.from).ok();
            if let (Some(shown), Some(row)) = (shown, row)
                && let Some(cell) = column.cells.get_mut(row)
            {
                *cell = shown;
            }
        }
    }

    /// The file: from the first second with an observation to the last, in columns sorted by name. Columns without an
    /// observation are none.
    pub fn written(self) -> Written {
        self.written_within(limits::FILE_BYTES)
    }

    fn written_within(self, most_bytes: usize) -> Written {
        let seen = |row: &usize| self.columns.iter().any(|c| !c.cells[*row].is_nan());
        let rows = (0..self.rows).find(seen).map_or(0..0, |first| {
            let last = (first..self.rows).rev().find(seen).unwrap_or(first);
            first..last + 1
        });
        let time = |row: usize| self.from + row as i64;
        let mut bytes: usize = rows
            .clone()
            .map(|row| time(row).to_string().len() + 1)
            .sum();
        bytes += "time\n".len();
        let all = self.columns.iter();
        let mut columns: Vec<&Column> = all
            .filter(|c| c.cells.iter().any(|v| !v.is_nan()))
            .collect();
        let found = columns.len();
        // The nearest come first: with the first that does not fit, farther ones are not tried.
        let fits = |column: &&&Column| {
            let cells = column.cells[rows.clone()].iter();
            bytes += column.name.len() + 1 + cells.map(|v| cell(*v).len() + 1).sum::<usize>();
            bytes <= most_bytes
        };
        let fitting = columns.iter().take_while(fits).count();
        columns.truncate(fitting);
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        let mut text = String::from("time");
        for column in &columns {
            text.push(',');
            text.push_str(&column.name);
        }
        text.push('\n');
        for row in rows.clone() {
            // Never fails: a text takes everything.
            let _ = write!(text, "{}", time(row));
            for column in &columns {
                text.push(',');
                text.push_str(&cell(column.cells[row]));
            }
            text.push('\n');
        }
        let component = |c: &&Column| names::component(&c.listed.component);
        Written {
            seconds: (!rows.is_empty()).then(|| (time(rows.start), time(rows.end - 1))),
            components: columns.iter().map(component).collect(),
            columns: columns.len(),
            left_out: found - fitting,
            text,
        }
    }
}

/// The second that a moment lies in.
pub fn second(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

/// The rise per second between two samples. None: there is no sample before, it is too old, or the counter fell, which is
/// a reset: how much it had risen until then nobody knows.
fn rate(last: Option<(Timestamp, f64)>, now: (Timestamp, f64)) -> Option<f64> {
    let last = last?;
    let seconds = now.0.seconds_from(last.0);
    let rise = now.1 - last.1;
    let told = seconds > 0.0 && seconds <= LONGEST_GAP_SECONDS && rise >= 0.0;
    let rate = format!("{:.*e}", RATE_DIGITS - 1, rise / seconds);
    rate.parse()
        .ok()
        .filter(|rate: &f64| told && rate.is_finite())
}

/// A value as the reader reads it back to the bit; nothing where there was no observation.
fn cell(value: f64) -> String {
    if value.is_nan() {
        return String::new();
    }
    let (plain, short) = (value.to_string(), format!("{value:e}"));
    if plain.len() <= short.len() {
        plain
    } else {
        short
    }
}

#[cfg(test)]
mod tests;
