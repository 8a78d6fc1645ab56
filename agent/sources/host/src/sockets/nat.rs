//! Connections whose addresses are translated on this host, as connection tracking shows them, so that an edge
//! joins those who talk and not what stands between them. `/proc/net/nf_conntrack`.
//!
//! Each tracked connection has two tuples: how its first packet came, and how the answer does. They mirror each
//! other unless an address or port was translated. Measured: 1.3 µs a line.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::message::{End, Socket};
use crate::reader::each_piece;
use crate::text::{fields, lines, number};

/// What is read of the table: some 20,000 connections.
const LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Translated connections that are kept.
const TRANSLATED_LIMIT: usize = 20_000;
/// Doors that are remembered.
const DOORS_LIMIT: usize = 1_000;
/// Where nothing is translated, so long until the table is read again: to walk it costs, even empty, a seventh of a dump of
/// connections.
const NOTHING_PAUSE: Duration = Duration::from_secs(10);
/// So long after the last translation something may be translated again at any time.
const LATELY: Duration = Duration::from_secs(600);
/// A door through which nobody came for so long is forgotten.
const DOOR_MEMORY: Duration = Duration::from_secs(600);

/// A translated connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Translated {
    /// Who called.
    caller: End,
    /// What was called.
    called: End,
    /// Who answers.
    callee: End,
    /// Who the callee believes to have called.
    believed: End,
}

/// What is translated on this host.
#[derive(Debug)]
pub(crate) struct Nat {
    table: PathBuf,
    /// By caller and called.
    calls: HashMap<(End, End), End>,
    /// By callee and the caller that it believes in.
    answers: HashMap<(End, End), (End, End)>,
    /// Ends that were called, who answers there, and when that was seen last.
    doors: HashMap<End, (End, Duration)>,
    /// When something was translated last.
    translated: Option<Duration>,
    /// When the table is to be read again.
    due: Duration,
    cut: bool,
    error: Option<String>,
}

impl Nat {
    /// Reads this table.
    pub(crate) fn new(table: PathBuf) -> Self {
        Self {
            table,
            calls: HashMap::new(),
            answers: HashMap::new(),
            doors: HashMap::new(),
            translated: None,
            due: Duration::ZERO,
            cut: false,
            error: None,
        }
    }

    /// Reads the table anew; where nothing was translated of late, every ten seconds. Where the kernel tracks nothing there
    /// is no table, and nothing is translated.
    pub(crate) fn read(&mut self, now: Duration) {
        if now >= self.due {
            self.read_table(now);
            if !self.calls.is_empty() {
                self.translated = Some(now);
            }
            let lately = |at: Duration| now.saturating_sub(at) < LATELY;
            let pause = match self.translated.is_some_and(lately) {
                true => Duration::ZERO,
                false => NOTHING_PAUSE,
            };
            self.due = now + pause;
        }
        self.doors
            .retain(|_, (_, seen)| now.saturating_sub(*seen) < DOOR_MEMORY);
    }

    fn read_table(&mut self, now: Duration) {
        (self.cut, self.error) = (false, None);
        self.calls.clear();
        self.answers.clear();
        let table = self.table.clone();
        match each_piece(&table, LIMIT_BYTES, |piece| self.take(piece, now)) {
            Ok(cut) => self.cut |= cut,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    fn take(&mut self, table: &[u8], now: Duration) {
        for translated in lines(table).filter_map(parse) {
            if self.calls.len() >= TRANSLATED_LIMIT {
                self.cut = true;
                return;
            }
            let Translated {
                caller,
                called,
                callee,
                believed,
            } = translated;
            self.calls.insert((caller, called), callee);
            self.answers.insert((callee, believed), (caller, called));
            let known = self.doors.contains_key(&called);
            if called != callee && (known || self.doors.len() < DOORS_LIMIT) {
                self.doors.insert(called, (callee, now));
            }
        }
    }

    /// Names the real other end of a connection. `here` are the host's own addresses: who calls from one of them
    /// is seen here to call the callee's own port, and who calls from afar the port that he knows.
    pub(crate) fn translate(&self, socket: &mut Socket, here: &[IpAddr]) {
        let ends = (socket.local, socket.remote);
        if let Some(callee) = self.calls.get(&ends) {
            socket.remote = *callee;
        } else if let Some((caller, called)) = self.answers.get(&ends) {
            socket.remote = *caller;
            let afar = !here.contains(&caller.address);
            socket.called = afar.then_some(called.port);
        }
    }

    /// Ends of this host that stand for another end of it: `(called, callee)`.
    pub(crate) fn doors(&self) -> impl Iterator<Item = (End, End)> {
        self.doors
            .iter()
            .map(|(called, (callee, _))| (*called, *callee))
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        let cut = self.cut.then(|| {
            "translated addresses: not all are seen: too many connections are tracked".to_owned()
        });
        let failed = self.error.as_ref().map(|why| {
            format!(
                "translated addresses: they cannot be seen: that takes CAP_DAC_READ_SEARCH ({why})"
            )
        });
        cut.into_iter().chain(failed)
    }
}

/// A TCP connection of which something is translated; `None` for all others and what cannot be read.
fn parse(line: &[u8]) -> Option<Translated> {
    let mut words = fields(line);
    // Family, its number, protocol.
    if words.nth(2)? != b"tcp" {
        return None;
    }
    let caller_address = valued(&mut words, b"src=")?;
    let (called_address, caller_port) =
        (valued(&mut words, b"dst=")?, valued(&mut words, b"sport=")?);
    let called_port = valued(&mut words, b"dport=")?;
    let callee_address = valued(&mut words, b"src=")?;
    let (believed_address, callee_port) =
        (valued(&mut words, b"dst=")?, valued(&mut words, b"sport=")?);
    let believed_port = valued(&mut words, b"dport=")?;
    // As they stand in the line: most are not translated, and need not be read.
    let mirrored = caller_address == believed_address
        && caller_port == believed_port
        && called_address == callee_address
        && called_port == callee_port;
    if mirrored {
        return None;
    }
    Some(Translated {
        caller: end(caller_address, caller_port)?,
        called: end(called_address, called_port)?,
        callee: end(callee_address, callee_port)?,
        believed: end(believed_address, believed_port)?,
    })
}

/// What follows `key` in the first word that begins with it. Words between are of no concern.
fn valued<'a>(words: &mut impl Iterator<Item = &'a [u8]>, key: &[u8]) -> Option<&'a [u8]> {
    words.find_map(|word| word.strip_prefix(key))
}

fn end(address: &[u8], port: &[u8]) -> Option<End> {
    let address: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
    Some(End {
        address: address.to_canonical(),
        port: u16::try_from(number(port)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::message::state;
    use proptest::prelude::*;

    /// Somebody from afar calls port 8080 of the host, a container answers; the container calls a database, and
    /// seems to be the host; nobody translates the last.
    const TABLE: &str = "\
        ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=10.0.0.1 sport=4000 dport=8080 packets=3 bytes=9 src=172.17.0.2 dst=10.0.0.9 sport=80 dport=4000 packets=1 bytes=2 [ASSURED] mark=0 zone=0 use=2\n\
        ipv4     2 tcp      6 100 SYN_SENT src=172.17.0.2 dst=10.0.0.5 sport=5000 dport=5432 [UNREPLIED] src=10.0.0.5 dst=10.0.0.1 sport=5432 dport=61000 mark=0 use=1\n\
        ipv4     2 udp      17 20 src=172.17.0.2 dst=10.0.0.5 sport=53 dport=53 src=10.0.0.5 dst=10.0.0.1 sport=53 dport=53 use=1\n\
        ipv6     10 tcp      6 9 ESTABLISHED src=2001:db8::1 dst=2001:db8::2 sport=1 dport=2 src=2001:db8::2 dst=2001:db8::1 sport=2 dport=1 use=1\n";

    fn at(address: &str, port: u16) -> End {
        End {
            address: address.parse().unwrap(),
            port,
        }
    }

    fn socket(local: End, remote: End) -> Socket {
        Socket {
            state: state::ESTABLISHED,
            local,
            remote,
            cookie: 1,
            inode: 1,
            receive_queue: 0,
            send_queue: 0,
            cgroup: None,
            tcp: None,
            elsewhere: true,
            called: None,
        }
    }

    fn nat() -> (tempfile::TempDir, Nat) {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("nf_conntrack");
        std::fs::write(&table, TABLE).unwrap();
        let mut nat = Nat::new(table);
        nat.read(Duration::ZERO);
        (folder, nat)
    }

    #[test]
    fn both_ends_of_a_translated_connection_name_each_other() {
        let (_folder, nat) = nat();
        let (client, container) = (at("10.0.0.9", 4000), at("172.17.0.2", 80));
        let host = [IpAddr::from([10, 0, 0, 1])];
        // The callee keeps its port, and is known by the one that was called.
        let mut callee = socket(container, client);
        nat.translate(&mut callee, &host);
        assert_eq!((callee.remote, callee.called), (client, Some(8080)));
        // Were the caller on this host, he would be seen to call the container itself.
        let mut near = socket(container, client);
        nat.translate(&mut near, &[client.address]);
        assert_eq!((near.remote, near.called), (client, None));
        let mut caller = socket(client, at("10.0.0.1", 8080));
        nat.translate(&mut caller, &host);
        assert_eq!(caller.remote, container);
        let mut other = socket(client, at("10.0.0.1", 22));
        nat.translate(&mut other, &host);
        assert_eq!(other.remote, at("10.0.0.1", 22));
        let doors: Vec<_> = nat.doors().collect();
        assert_eq!(
            doors,
            [(at("10.0.0.1", 8080), container)],
            "a hidden caller opens no door"
        );
        assert_eq!(nat.blind().count(), 0);
    }

    #[test]
    fn a_door_is_remembered_for_a_while_and_a_missing_table_is_no_fault() {
        let (folder, mut nat) = nat();
        drop(folder);
        nat.read(Duration::from_secs(599));
        assert_eq!((nat.doors().count(), nat.calls.len()), (1, 0));
        nat.read(Duration::from_secs(600));
        assert_eq!((nat.doors().count(), nat.blind().count()), (0, 0));
        let mut unreadable = Nat::new("/proc/self".into());
        unreadable.read(Duration::ZERO);
        assert!(unreadable.blind().any(|why| why.contains("cannot be seen")));
    }

    #[test]
    fn a_table_is_read_each_time_where_something_was_translated_of_late_and_else_every_ten_seconds()
    {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("nf_conntrack");
        std::fs::write(&table, "").unwrap();
        let mut nat = Nat::new(table.clone());
        nat.read(Duration::ZERO);
        std::fs::write(&table, TABLE).unwrap();
        nat.read(Duration::from_secs(9));
        assert!(nat.calls.is_empty());
        nat.read(Duration::from_secs(10));
        assert!(!nat.calls.is_empty());
        std::fs::write(&table, "").unwrap();
        nat.read(Duration::from_secs(11));
        assert!(nat.calls.is_empty(), "what has ended is forgotten at once");
        // Who comes now and then is seen whenever he comes.
        std::fs::write(&table, TABLE).unwrap();
        nat.read(Duration::from_secs(13));
        assert!(!nat.calls.is_empty());
        std::fs::write(&table, "").unwrap();
        nat.read(Duration::from_secs(613));
        std::fs::write(&table, TABLE).unwrap();
        nat.read(Duration::from_secs(615));
        assert!(nat.calls.is_empty());
    }

    proptest! {
        #[test]
        fn hostile_lines_never_panic(line in "(ipv4 +2 tcp +)?([a-z]{1,5}=[0-9.:]{0,9} ?){0,9}") {
            let _ = parse(line.as_bytes());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
