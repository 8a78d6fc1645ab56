//! Messages of DNS, as far as asking for addresses takes: RFC 1035 §4, RFC 3596.
//!
//! A message is a header of twelve bytes (id, flags, counts of four sections), the question, and records. A name is a
//! row of labels, each with its length before it, that ends with an empty one or with a pointer to an earlier place.
//! Pointers are stepped over, never followed: whose address a record tells is the resolver's affair.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

/// Longest answer that is read: what fits a datagram without options, and what resolvers send at most by custom.
pub(super) const ANSWER_LIMIT_BYTES: usize = 4_096;
/// Most addresses taken from an answer.
const ADDRESSES_LIMIT: usize = 64;
const NAME_LIMIT_BYTES: usize = 253;
const LABEL_LIMIT_BYTES: usize = 63;
const HEADER_BYTES: usize = 12;
/// In the flags: that it is a response, and that it was cut short.
const RESPONSE: u16 = 0x8000;
const CUT_SHORT: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const CLASS_IN: u16 = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Record {
    /// Addresses of version 4.
    A,
    /// Addresses of version 6.
    #[serde(rename = "AAAA")]
    Aaaa,
}

impl Record {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

/// A question, in the form in which it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    record: Record,
    /// Name, type and class.
    bytes: Vec<u8>,
}

/// What a resolver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Response code: 0 is no error.
    pub code: u8,
    /// Addresses of the kind that was asked for. May be empty.
    pub addresses: Vec<IpAddr>,
}

/// A message that ends too early, or says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Question {
    /// `None` for what is no name of a host. A full stop at its end says nothing more.
    pub fn new(name: &str, record: Record) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut bytes = Vec::with_capacity(name.len() + 6);
        for label in name.split('.') {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            let length = u8::try_from(label.len()).ok()?;
            if !(1..=LABEL_LIMIT_BYTES).contains(&label.len()) || !label.bytes().all(allowed) {
                return None;
            }
            bytes.push(length);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(record.number().to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        (name.len() <= NAME_LIMIT_BYTES).then_some(Self { record, bytes })
    }

    /// The message that asks it.
    pub fn query(&self, id: u16) -> Vec<u8> {
        let header = [id, RECURSION_DESIRED, 1, 0, 0, 0];
        let mut message: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
        message.extend_from_slice(&self.bytes);
        message
    }

    /// What a message answers; `None` when it is not the answer to this question with this id.
    pub(super) fn answer(&self, id: u16, message: &[u8]) -> Result<Option<Answer>, Malformed> {
        let mut rest = Cursor(message);
        let Ok(header) = rest.take(HEADER_BYTES) else {
            return Ok(None);
        };
        let word = |at: usize| u16::from_be_bytes([header[2 * at], header[2 * at + 1]]);
        let (flags, answers) = (word(1), word(3));
        if word(0) != id || flags & RESPONSE == 0 {
            return Ok(None);
        }
        let code = (flags & 0xf) as u8;
        // Some say of an error no more than that.
        if word(2) == 0 && code != 0 {
            return Ok(Some(Answer {
                code,
                addresses: Vec::new(),
            }));
        }
        let ours = |asked: &[u8]| asked.eq_ignore_ascii_case(&self.bytes);
        if word(2) != 1 || !rest.take(self.bytes.len()).is_ok_and(ours) {
            return Ok(None);
        }
        let mut addresses = Vec::new();
        for _ in 0..answers {
            match rest.record(self.record) {
                Ok(found) => addresses.extend(found),
                Err(Malformed) if flags & CUT_SHORT != 0 => break,
                Err(Malformed) => return Err(Malformed),
            }
        }
        addresses.truncate(ADDRESSES_LIMIT);
        Ok(Some(Answer { code, addresses }))
    }
}

/// What is left of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn skip_name(&mut self) -> Result<(), Malformed> {
        loop {
            let length = self.take(1)?[0];
            match length >> 6 {
                0 if length == 0 => return Ok(()),
                0 => self.take(usize::from(length))?,
                3 => return self.take(1).map(|_| ()),
                _ => return Err(Malformed),
            };
        }
    }

    /// Steps over one record. Its address, if it is of the kind that is wanted.
    fn record(&mut self, wanted: Record) -> Result<Option<IpAddr>, Malformed> {
        self.skip_name()?;
        let (kind, class) = (self.word()?, self.word()?);
        let _time_to_live = self.take(4)?;
        let length = usize::from(self.word()?);
        let content = self.take(length)?;
        if (kind, class) != (wanted.number(), CLASS_IN) {
            return Ok(None);
        }
        let address = match wanted {
            Record::A => <[u8; 4]>::try_from(content).map(|b| Ipv4Addr::from(b).into()),
            Record::Aaaa => <[u8; 16]>::try_from(content).map(|b| Ipv6Addr::from(b).into()),
        };
        address.map(Some).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests;
