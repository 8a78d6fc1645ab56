//! Netlink: messages and attributes as pure functions over bytes, and the socket that carries them.
//! netlink(7), linux/netlink.h. Numbers are in the machine's own byte order.

mod socket;
mod subscription;

pub(crate) use socket::{Netlink, NetlinkError};
pub(crate) use subscription::{Heard, Subscription};

/// NLM_F_REQUEST.
const ONE: u16 = 0x1;
/// NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH.
const DUMP: u16 = 0x301;
/// NLM_F_DUMP_INTR: what is dumped changed meanwhile.
const INTERRUPTED: u16 = 0x10;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER_BYTES: usize = 16;

/// Bytes that are no netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed netlink: {0}")]
pub(crate) struct Malformed(pub &'static str);

/// One message of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A payload of this type.
    Payload {
        kind: u16,
        sequence: u32,
        interrupted: bool,
        body: &'a [u8],
    },
    /// The answer to this request ends.
    Done { sequence: u32 },
    /// The kernel refuses this request, with an error number.
    Refused { sequence: u32, errno: i32 },
}

/// The messages of a datagram. Ends after the first malformed one.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = message(rest);
        rest = found.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(found.map(|(message, _)| message))
    })
}

fn message(bytes: &[u8]) -> Result<(Message<'_>, &[u8]), Malformed> {
    let short = Malformed("header cut short");
    let length = usize::try_from(u32_at(bytes, 0).ok_or(short)?).map_err(|_| short)?;
    let kind = u16_at(bytes, 4).ok_or(short)?;
    let flags = u16_at(bytes, 6).ok_or(short)?;
    let sequence = u32_at(bytes, 8).ok_or(short)?;
    let body = bytes
        .get(HEADER_BYTES..length)
        .ok_or(Malformed("length beyond the datagram"))?;
    let message = match kind {
        DONE => Message::Done { sequence },
        ERROR => Message::Refused {
            sequence,
            errno: u32_at(body, 0).ok_or(short)?.cast_signed().saturating_neg(),
        },
        kind => Message::Payload {
            kind,
            sequence,
            interrupted: flags & INTERRUPTED != 0,
            body,
        },
    };
    Ok((message, after(bytes, length)))
}

/// The attributes that follow a fixed header. Ends at the first malformed one.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = after(rest, length);
        // The two upper bits say how the value is nested and written.
        Some((kind & 0x3fff, value))
    })
}

/// What follows `length` bytes, which are padded to a multiple of four.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    let padded = length.saturating_add(3) & !3;
    bytes.get(padded..).unwrap_or_default()
}

/// A request of this type.
fn request(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = HEADER_BYTES + payload.len();
    let mut request = Vec::with_capacity(length);
    request.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    request.extend(0u32.to_ne_bytes());
    request.extend(payload);
    request
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_ne_bytes(*field))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*field))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = request(kind, DUMP, sequence, body);
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_datagram_is_taken_apart() {
        let mut bytes = raw(20, 0, 7, b"abcde");
        bytes.extend(raw(20, INTERRUPTED, 7, b"x"));
        bytes.extend(raw(ERROR, 0, 7, &(-2i32).to_ne_bytes()));
        bytes.extend(raw(DONE, 0, 7, &[]));
        let payload = |interrupted, body| Message::Payload {
            kind: 20,
            sequence: 7,
            interrupted,
            body,
        };
        let found: Result<Vec<_>, _> = messages(&bytes).collect();
        let expected = [
            payload(false, &b"abcde"[..]),
            payload(true, &b"x"[..]),
            Message::Refused {
                sequence: 7,
                errno: 2,
            },
            Message::Done { sequence: 7 },
        ];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn a_message_longer_than_its_datagram_is_refused() {
        let mut bytes = raw(20, 0, 1, b"abcd");
        bytes[0] = 200;
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found, [Err(Malformed("length beyond the datagram"))]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_end_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }

        #[test]
        fn hostile_lengths_end_and_never_panic(length in any::<u32>(), kind in any::<u16>(), tail in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = raw(kind, 0, 1, &tail);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            prop_assert!(messages(&bytes).count() <= bytes.len());
        }
    }
}
