//! Forms of stamps. Each parser reads from the beginning of a text and takes what it can.

use firstlook_model::Timestamp;

/// What a stamp's time is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Seconds east of Greenwich.
    Known(i64),
    /// The stamp does not say.
    Unknown,
}

/// A date and time of day as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Microseconds since the epoch, as if the zone were UTC.
    pub(super) micros: i64,
    pub(super) zone: Zone,
    /// It has parts of a second.
    pub(super) fraction: bool,
}

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
const DAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];

/// The stamp that the text begins with. `arrival` gives the year to those that have none.
pub(super) fn stamp(text: &[u8], arrival: Timestamp) -> Option<Stamp> {
    match text.first()? {
        b'0'..=b'9' => numeric(Cursor(text)).or_else(|| day_first(Cursor(text))),
        b'I' | b'W' | b'E' | b'F' if text.get(1).is_some_and(u8::is_ascii_digit) => {
            klog(Cursor(&text[1..]), arrival)
        }
        b'A'..=b'Z' => month_first(Cursor(text), arrival),
        _ => None,
    }
}

/// A number of seconds, milli-, micro- or nanoseconds since the epoch, by its size.
pub(super) fn epoch(text: &[u8]) -> Option<Stamp> {
    let mut cursor = Cursor(text);
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = cursor.number(length)?;
    let (micros, fraction) = match length {
        9..=11 => {
            let (micros, fraction) = cursor.fraction();
            (whole.checked_mul(1_000_000)?.checked_add(micros)?, fraction)
        }
        12..=14 => (whole.checked_mul(1_000)?, true),
        15..=17 => (whole, true),
        18..=19 => (whole / 1_000, true),
        _ => return None,
    };
    let zone = Zone::Known(0);
    Some(Stamp {
        micros,
        zone,
        fraction,
    })
}

/// `2026-01-02T03:04:05`, `2026/01/02 03:04:05`, `26/01/02 03:04:05`.
fn numeric(mut cursor: Cursor<'_>) -> Option<Stamp> {
    let digits = cursor.digits();
    let year = match digits {
        4 => cursor.number(4)?,
        2 => 2_000 + cursor.number(2)?,
        _ => return None,
    };
    let sign = cursor.one_of(if digits == 4 { b"-/." } else { b"/" })?;
    let month = cursor.number(2)?;
    cursor.eat(sign)?;
    let day = cursor.number(2)?;
    cursor.one_of(b"T t_")?;
    cursor.time(year, month, day)
}

/// `10/Oct/2000:13:55:36 -0700`, `02 Jan 2026 03:04:05.678`, `02-Jan-2026 03:04:05`.
fn day_first(mut cursor: Cursor<'_>) -> Option<Stamp> {
    let day = cursor.number(cursor.digits().clamp(1, 2))?;
    let sign = cursor.one_of(b"/ -")?;
    let month = cursor.month()?;
    cursor.eat(sign)?;
    let year = cursor.number(4)?;
    cursor.one_of(b": ")?;
    cursor.time(year, month, day)
}

/// `Jan  2 03:04:05`, `Jan  2 2026 03:04:05`, `Sun Dec 04 04:47:44.123 2005`.
fn month_first(mut cursor: Cursor<'_>, arrival: Timestamp) -> Option<Stamp> {
    if cursor.name(&DAYS).is_some() {
        let _ = cursor.eat(b',');
        cursor.eat(b' ')?;
        if cursor.0.first()?.is_ascii_digit() {
            return day_first(cursor);
        }
    }
    let month = cursor.month()?;
    cursor.eat(b' ')?;
    let _ = cursor.eat(b' ');
    let day = cursor.number(cursor.digits().clamp(1, 2))?;
    cursor.eat(b' ')?;
    if cursor.digits() == 4 {
        let year = cursor.number(4)?;
        cursor.eat(b' ')?;
        return cursor.time(year, month, day);
    }
    let mut behind = cursor;
    let _ = behind.time(2_000, month, day)?;
    let _ = behind.eat(b' ');
    if behind.digits() == 4 && !behind.0.get(4).is_some_and(u8::is_ascii_alphanumeric) {
        return cursor.time(behind.number(4)?, month, day);
    }
    cursor.nearest_year(month, day, arrival)
}

/// `0102 03:04:05.678901`.
fn klog(mut cursor: Cursor<'_>, arrival: Timestamp) -> Option<Stamp> {
    let (month, day) = (cursor.number(2)?, cursor.number(2)?);
    cursor.eat(b' ')?;
    cursor.nearest_year(month, day, arrival)
}

/// What is left of a text.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// How many digits come next, at most 10.
    fn digits(&self) -> usize {
        self.0
            .iter()
            .take(10)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    }

    /// A number of exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.0 = rest;
        number[0].is_ascii_digit().then_some(value)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.one_of(&[byte]).map(|_| ())
    }

    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        bytes.contains(first).then(|| self.0 = rest)?;
        Some(*first)
    }

    /// The place of a three-letter name in its list.
    fn name(&mut self, names: &[&[u8]]) -> Option<usize> {
        let (name, rest) = self.0.split_at_checked(3)?;
        let place = names
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known))?;
        self.0 = rest;
        Some(place)
    }

    fn month(&mut self) -> Option<i64> {
        Some(self.name(&MONTHS)? as i64 + 1)
    }

    /// The time of day, and the zone behind it.
    fn time(&mut self, year: i64, month: i64, day: i64) -> Option<Stamp> {
        let hour = self.number(2)?;
        self.eat(b':')?;
        let minute = self.number(2)?;
        self.eat(b':')?;
        let second = self.number(2)?;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (micros, fraction) = self.fraction();
        let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Stamp {
            micros: seconds * 1_000_000 + micros,
            zone: self.zone(),
            fraction,
        })
    }

    /// Microseconds behind a point or comma, and whether there are any.
    fn fraction(&mut self) -> (i64, bool) {
        let mut behind = *self;
        if behind.one_of(b".,").is_none() || behind.digits() == 0 {
            return (0, false);
        }
        let (mut micros, mut place) = (0, 100_000);
        for digit in behind.0.iter().take_while(|byte| byte.is_ascii_digit()) {
            micros += i64::from(digit - b'0') * place;
            place /= 10;
        }
        let length = behind
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.0 = &behind.0[length..];
        (micros, true)
    }

    /// `Z`, ` UTC`, ` GMT`, `+01:00`, ` -0700`.
    fn zone(&mut self) -> Zone {
        let mut behind = *self;
        let spaced = behind.eat(b' ').is_some();
        if !spaced && behind.one_of(b"Zz").is_some() || behind.name(&[b"utc", b"gmt"]).is_some() {
            self.0 = behind.0;
            return Zone::Known(0);
        }
        let mut offset = || {
            let east = behind.one_of(b"+-")? == b'+';
            let hours = behind.number(2)?;
            let minutes = match behind.eat(b':') {
                Some(()) => behind.number(2)?,
                None if behind.digits() == 2 => behind.number(2)?,
                None if spaced => return None,
                None => 0,
            };
            let seconds = hours * 3_600 + minutes * 60;
            (hours <= 14 && minutes < 60).then_some(if east { seconds } else { -seconds })
        };
        let Some(offset) = offset() else {
            return Zone::Unknown;
        };
        self.0 = behind.0;
        Zone::Known(offset)
    }

    /// The time of day in the year that brings it nearest to `arrival`.
    fn nearest_year(self, month: i64, day: i64, arrival: Timestamp) -> Option<Stamp> {
        let year = 1_970 + arrival.as_micros().div_euclid(31_556_952_000_000);
        let stamps = (year - 1..=year + 1).filter_map(|year| {
            let mut cursor = self;
            cursor.time(year, month, day)
        });
        stamps.min_by_key(|stamp| stamp.micros.abs_diff(arrival.as_micros()))
    }
}

/// Days since the epoch of a date of the Gregorian calendar; `None` for what is no date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1_970..=2_200).contains(&year) || !(1..=last).contains(&day) {
        return None;
    }
    // Years that begin in March put the odd day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}
