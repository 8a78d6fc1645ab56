//! What chronyd says of the clock: its command protocol, version 6, over loopback. Anybody may ask; the
//! question is as long as the answer, as the service demands.
//!
//! Numbers are big-endian. A question is: version, 1, two bytes of nothing, the command (33: tracking), the
//! attempt, a sequence number, nothing up to the length of the answer. An answer is: version, 2, two bytes of
//! nothing, the command, the kind of reply (5: tracking), the status, six bytes of nothing, the sequence number,
//! eight bytes of nothing; then the reference (4), its address (20), stratum (2), leap status (2), the time of the
//! last update as seconds (high and low, 4 each) and nanoseconds (4), and nine numbers of which the first is the
//! correction that is still to be made. A number has a signed exponent of 7 bits and a signed coefficient of 25.

use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Synchronization;

/// Where chronyd answers by default.
pub(super) const ADDRESS: (&str, u16) = ("127.0.0.1", 323);
const LENGTH: usize = 104;
const VERSION: u8 = 6;
const TRACKING: u16 = 33;
const TRACKING_REPLY: u16 = 5;
/// Where the fields of an answer are.
const REFERENCE: usize = 28;
const LEAP: usize = 54;
const UPDATED: usize = 56;
const CORRECTION: usize = 68;
/// The leap status of a clock that follows nothing, and the reference of one that follows itself.
const UNSYNCHRONIZED: u16 = 3;
const ITSELF: u32 = 0x7f7f_0101;
/// Without an answer, so many questions are left out.
const QUIET: u32 = 4;

/// A question.
fn request(sequence: u32) -> [u8; LENGTH] {
    let mut request = [0; LENGTH];
    request[..2].copy_from_slice(&[VERSION, 1]);
    request[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    request[8..12].copy_from_slice(&sequence.to_be_bytes());
    request
}

/// The answer to the question with this number, as of `now`; `None` for anything else.
fn parse(bytes: &[u8], sequence: u32, now: SystemTime) -> Option<Synchronization> {
    let short = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let ours = bytes.get(..2)? == [VERSION, 2]
        && short(4)? == TRACKING
        && short(6)? == TRACKING_REPLY
        && short(8)? == 0
        && long(16)? == sequence;
    if !ours {
        return None;
    }
    let offset = float(long(CORRECTION)?).abs();
    let seconds = u64::from(long(UPDATED)?) << 32 | u64::from(long(UPDATED + 4)?);
    let updated = Duration::from_secs(seconds)
        .checked_add(Duration::from_nanos(u64::from(long(UPDATED + 8)?)))?;
    let updated = (seconds != 0)
        .then(|| UNIX_EPOCH.checked_add(updated))
        .flatten();
    let age = updated.map(|at| now.duration_since(at).unwrap_or_default());
    let reference = long(REFERENCE)?;
    Some(Synchronization {
        offset,
        synchronized: short(LEAP)? != UNSYNCHRONIZED && reference != 0 && reference != ITSELF,
        age: age.map_or(f64::NAN, |age| age.as_secs_f64()),
    })
}

/// A number in the protocol's own form.
fn float(bits: u32) -> f64 {
    let exponent = bits.cast_signed() >> 25;
    let coefficient = (bits << 7).cast_signed() >> 7;
    f64::from(coefficient) * f64::powi(2.0, exponent - 25)
}

/// Asks chronyd, without ever waiting for it.
#[derive(Debug)]
pub(super) struct Chrony {
    address: (&'static str, u16),
    socket: Option<UdpSocket>,
    sequence: u32,
    answered: bool,
    quiet: u32,
}

impl Chrony {
    pub(super) fn new(address: (&'static str, u16)) -> Self {
        Self {
            address,
            socket: None,
            sequence: 0,
            answered: false,
            quiet: 0,
        }
    }

    /// Asks. Where nobody answered the last time, only now and then.
    pub(super) fn ask(&mut self) {
        if self.quiet > 0 {
            self.quiet -= 1;
            return;
        }
        if self.socket.is_some() {
            // Not answered since the last question.
            self.gone();
            return;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let sent = self.send();
        match sent {
            Ok(socket) => self.socket = Some(socket),
            Err(_) => self.gone(),
        }
    }

    fn send(&self) -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        socket.connect(self.address)?;
        socket.send(&request(self.sequence))?;
        Ok(socket)
    }

    fn gone(&mut self) {
        self.socket = None;
        self.answered = false;
        self.quiet = QUIET;
    }

    /// The answer, if it has come. Each is given once.
    pub(super) fn answer(&mut self, now: SystemTime) -> Option<Synchronization> {
        let socket = self.socket.as_ref()?;
        let mut buffer = [0; LENGTH];
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            // Nobody listens there.
            Err(_) => {
                self.gone();
                return None;
            }
        };
        let found = parse(buffer.get(..length)?, self.sequence, now)?;
        self.socket = None;
        self.answered = true;
        Some(found)
    }

    /// Whether it answered the last question that is not still open.
    pub(super) fn is_there(&self) -> bool {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From chronyd 4.3 with a source on the same machine, 3 s after the last update; the client beside it
    /// said: 0.000001290 seconds fast.
    const ANSWER: &[u8] = include_bytes!("../../fixtures/chrony_tracking");
    const SEQUENCE: u32 = 0x1234;

    fn asked() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_431_648)
    }

    #[test]
    fn reads_a_real_answer() {
        let found = parse(ANSWER, SEQUENCE, asked()).unwrap();
        assert!((found.offset - 1.29e-6).abs() < 1e-8, "{}", found.offset);
        assert!(found.synchronized);
        assert!((0.0..4.0).contains(&found.age), "{}", found.age);
    }

    #[test]
    fn a_clock_that_follows_nothing_or_itself_is_not_synchronized() {
        for (at, bytes) in [
            (LEAP, &[0, 3][..]),
            (REFERENCE, &ITSELF.to_be_bytes()),
            (REFERENCE, &[0; 4]),
        ] {
            let mut answer = ANSWER.to_vec();
            answer[at..at + bytes.len()].copy_from_slice(bytes);
            assert!(!parse(&answer, SEQUENCE, asked()).unwrap().synchronized);
        }
        let mut never = ANSWER.to_vec();
        never[UPDATED..CORRECTION].fill(0);
        assert!(parse(&never, SEQUENCE, asked()).unwrap().age.is_nan());
    }

    #[test]
    fn what_is_no_answer_to_us_is_refused() {
        assert_eq!(parse(&ANSWER[..70], SEQUENCE, asked()), None);
        assert_eq!(parse(ANSWER, SEQUENCE + 1, asked()), None);
        for at in [0, 1, 5, 7, 9] {
            let mut other = ANSWER.to_vec();
            other[at] ^= 0x40;
            assert_eq!(parse(&other, SEQUENCE, asked()), None, "byte {at}");
        }
    }

    #[test]
    fn numbers_have_signs_in_both_their_parts() {
        for (bits, number) in [
            (0, 0.0),
            (25 << 25 | 3, 3.0),
            (25 << 25 | 0x01ff_ffff, -1.0),
            (0x7f << 25 | 1 << 24, -(2.0f64.powi(-2))),
        ] {
            assert_eq!(float(bits), number, "{bits:#x}");
        }
    }

    #[test]
    fn a_service_that_answers_is_there_and_one_that_went_is_asked_less() {
        let service = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let mut chrony = Chrony::new(("127.0.0.1", port));
        chrony.ask();
        let mut question = [0; 200];
        let (length, from) = service.recv_from(&mut question).unwrap();
        assert_eq!(length, ANSWER.len(), "as long as the answer");
        let mut answer = ANSWER.to_vec();
        answer[16..20].copy_from_slice(&question[8..12]);
        service.send_to(&answer, from).unwrap();
        assert!(chrony.answer(asked()).unwrap().synchronized);
        assert!(chrony.is_there());

        drop(service);
        chrony.ask();
        assert_eq!(chrony.answer(asked()), None);
        assert!(!chrony.is_there() && chrony.quiet == QUIET);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes, SEQUENCE, asked());
        }

        #[test]
        fn hostile_fields_never_panic(fields in proptest::collection::vec(any::<u8>(), 76)) {
            let mut answer = ANSWER[..REFERENCE].to_vec();
            answer.extend(fields);
            let found = parse(&answer, SEQUENCE, asked());
            prop_assert!(found.is_none_or(|found| found.offset.is_finite() && (found.age.is_nan() || found.age >= 0.0)));
        }
    }
}
