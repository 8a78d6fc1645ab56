//! The sum of the connections of one edge. Pure.

use firstlook_model::{Direction, EdgeStats};

use super::message::{Counted, Socket, TcpInfo, state};

/// A caller that sent and got no answer for longer than this does not wait for one.
const NOBODY_WAITS_MS: u32 = 300_000;
/// What is sent sooner after data arrived belongs to that data: acknowledgements of protocols above TCP.
const AT_ONCE_MS: u32 = 100;

/// What the connections of an edge add up to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    stats: EdgeStats,
    rtt_sum: u64,
    moved: u64,
}

impl Sum {
    /// Adds what a connection shows at this moment.
    pub(crate) fn add_state(&mut self, socket: &Socket, direction: Direction) {
        let stats = &mut self.stats;
        match socket.state {
            state::ESTABLISHED => stats.established += 1,
            state::SYN_SENT => stats.syn_sent += 1,
            state::CLOSE_WAIT => stats.close_wait += 1,
            _ => stats.closing += 1,
        }
        stats.send_queue_bytes += u64::from(socket.send_queue);
        stats.receive_queue_bytes += u64::from(socket.receive_queue);
        if let Some(tcp) = &socket.tcp {
            let backs_off = tcp.backoff > 0;
            let known = tcp.segment_bytes > 0 && tcp.resent > 0;
            let full = known && socket.send_queue >= u32::from(tcp.segment_bytes);
            stats.backing_off += u32::from(backs_off);
            stats.full_backing_off += u32::from(backs_off && full);
            stats.stalled_ms = stats.stalled_ms.max(stalled_ms(socket, tcp, direction));
        }
    }

    /// Counts a connection that is new in the interval.
    pub(crate) fn opened(&mut self, fresh: bool) {
        self.stats.opened += u32::from(fresh);
    }

    /// Adds what a connection counted beyond `last`. The kernel counts a FIN as a byte.
    pub(crate) fn add_counts(&mut self, socket: &Socket, direction: Direction, last: Counted) {
        let Some(tcp) = socket.tcp else {
            return;
        };
        let stats = &mut self.stats;
        let last = last.unless_begun_anew(&tcp);
        let acknowledged = tcp
            .bytes_acknowledged
            .saturating_sub(last.bytes_acknowledged);
        let received = tcp.bytes_received.saturating_sub(last.bytes_received);
        // So it does a caller's SYN.
        let syn = last.bytes_acknowledged == 0 && direction == Direction::Outbound;
        stats.bytes_sent += acknowledged.saturating_sub(u64::from(syn));
        stats.bytes_received += received;
        // A 32-bit counter of the kernel wraps on a busy connection.
        let segments = tcp.data_segments_sent.wrapping_sub(last.data_segments_sent);
        stats.segments_sent += u64::from(segments);
        stats.retransmits += u64::from(tcp.retransmits.saturating_sub(last.retransmits));
        if acknowledged > 0 || received > 0 {
            self.rtt_sum += u64::from(tcp.rtt_us);
            self.moved += 1;
        }
    }

    /// The whole.
    pub(crate) fn finish(mut self) -> EdgeStats {
        let mean = self.rtt_sum.checked_div(self.moved);
        self.stats.rtt_us = mean.and_then(|mean| u32::try_from(mean).ok());
        self.stats
    }
}

/// How long a connection has been waiting for something: for its program to read what arrived, for its peer's
/// kernel to acknowledge what was sent, or, at the caller, for an answer to what it sent last.
fn stalled_ms(socket: &Socket, tcp: &TcpInfo, direction: Direction) -> u64 {
    let mut longest = 0;
    if socket.state == state::SYN_SENT {
        return 0;
    }
    if socket.receive_queue > 0 {
        longest = longest.max(tcp.last_received_ms);
    }
    if socket.send_queue > 0 {
        longest = longest.max(tcp.last_acknowledged_ms);
    }
    let asked = direction == Direction::Outbound
        && socket.state == state::ESTABLISHED
        && tcp.bytes_received > 0
        && tcp.last_received_ms >= tcp.last_sent_ms.saturating_add(AT_ONCE_MS)
        && tcp.last_sent_ms <= NOBODY_WAITS_MS;
    if asked {
        longest = longest.max(tcp.last_sent_ms);
    }
    u64::from(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::message::End;

    fn connection(tcp: TcpInfo) -> Socket {
        let end = |port| End {
            address: [10, 0, 0, 1].into(),
            port,
        };
        Socket {
            state: state::ESTABLISHED,
            local: end(1),
            remote: end(2),
            cookie: 1,
            inode: 1,
            receive_queue: 0,
            send_queue: 0,
            cgroup: None,
            tcp: Some(tcp),
            elsewhere: false,
            called: None,
        }
    }

    #[test]
    fn what_begins_anew_counts_from_nothing() {
        let counted = |tcp: TcpInfo, last: TcpInfo| {
            let mut sum = Sum::default();
            sum.add_counts(&connection(tcp), Direction::Inbound, last.into());
            let stats = sum.finish();
            (stats.retransmits, stats.segments_sent, stats.bytes_sent)
        };
        let asked = TcpInfo {
            retransmits: 3,
            data_segments_sent: 1,
            ..TcpInfo::default()
        };
        // Who gives up a call that nobody answered leaves a socket with all counts at 0.
        assert_eq!(counted(TcpInfo::default(), asked), (0, 0, 0));
        // And may call again with it.
        let again = TcpInfo {
            retransmits: 1,
            data_segments_sent: 2,
            bytes_acknowledged: 7,
            ..TcpInfo::default()
        };
        assert_eq!(counted(again, asked), (1, 2, 7));
        // A busy one wraps.
        let busy = |data_segments_sent, bytes_acknowledged| TcpInfo {
            data_segments_sent,
            bytes_acknowledged,
            ..asked
        };
        let wrapped = counted(
            busy(4, 9_000_000_000_100),
            busy(u32::MAX - 5, 9_000_000_000_000),
        );
        assert_eq!(wrapped, (0, 10, 100));
    }

    #[test]
    fn who_backs_off_with_a_full_segment_is_told_from_who_waits_for_a_small_one() {
        let backing_off = |send_queue, segment_bytes, backoff, resent| {
            let mut waits = connection(TcpInfo {
                backoff,
                segment_bytes,
                resent,
                ..TcpInfo::default()
            });
            waits.send_queue = send_queue;
            let mut sum = Sum::default();
            sum.add_state(&waits, Direction::Outbound);
            let stats = sum.finish();
            (stats.backing_off, stats.full_backing_off)
        };
        assert_eq!(backing_off(1_448, 1_448, 3, 3), (1, 1));
        assert_eq!(backing_off(200, 1_448, 3, 3), (1, 0));
        assert_eq!(backing_off(9_000, 1_448, 0, 0), (0, 0));
        // A peer that does not read is asked ever more seldom whether it does now.
        assert_eq!(backing_off(9_000, 1_448, 3, 0), (1, 0));
        // A kernel that does not say how large its segments are.
        assert_eq!(backing_off(9_000, 0, 3, 3), (1, 0));
    }

    #[test]
    fn waiting_is_told_from_idling() {
        let tcp = TcpInfo {
            bytes_received: 10,
            last_sent_ms: 4_000,
            last_received_ms: 9_000,
            last_acknowledged_ms: 3_900,
            ..TcpInfo::default()
        };
        let waits =
            |socket: Socket, direction| stalled_ms(&socket, &socket.tcp.unwrap(), direction);
        use Direction::{Inbound, Outbound};
        // Asked four seconds ago, and no answer since.
        assert_eq!(waits(connection(tcp), Outbound), 4_000);
        // Whoever answered last waits for nothing.
        assert_eq!(waits(connection(tcp), Inbound), 0);
        // An acknowledgement of the protocol above, sent as the answer arrived.
        let answered = TcpInfo {
            last_sent_ms: 8_996,
            ..tcp
        };
        assert_eq!(waits(connection(answered), Outbound), 0);
        // The program does not read.
        let mut unread = connection(tcp);
        unread.receive_queue = 1;
        assert_eq!(waits(unread, Inbound), 9_000);
        // The peer's kernel does not acknowledge.
        let mut cut = connection(tcp);
        cut.send_queue = 1;
        assert_eq!(waits(cut, Inbound), 3_900);
        // Nobody waits for hours.
        let idle = TcpInfo {
            last_sent_ms: 400_000,
            last_received_ms: 900_000,
            ..tcp
        };
        assert_eq!(waits(connection(idle), Outbound), 0);
    }
}
