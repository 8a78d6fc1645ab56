//! A resolver: whether it knows the addresses of a name.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use firstlook_model::probe::{Failure, Part};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::net::failure;
use crate::apart::{Apart, Threads};
use crate::config::DnsProbe;
use crate::found::Found;

mod message;

pub(crate) use message::Question;
pub use message::Record;
use message::{ANSWER_LIMIT_BYTES, Answer};

const RESOLVERS: &str = "/etc/resolv.conf";
const RESOLVERS_LIMIT_BYTES: u64 = 64 * 1024;
const PORT: u16 = 53;

/// Finds the resolver of the system.
pub(super) struct Resolvers(Apart<SocketAddr>);

impl Resolvers {
    pub fn new(threads: &Threads) -> Self {
        Self(Apart::on(threads))
    }

    pub fn hang(&self) -> bool {
        self.0.hangs()
    }

    async fn first(&mut self) -> Result<SocketAddr, Failure> {
        let read = self.0.run(|| {
            let mut text = String::new();
            if let Ok(file) = std::fs::File::open(RESOLVERS) {
                // What cannot be read names no resolver.
                let _ = file.take(RESOLVERS_LIMIT_BYTES).read_to_string(&mut text);
            }
            first(&text)
        });
        read.await.ok_or(Failure::Unreachable)
    }
}

/// The first resolver that a resolv.conf(5) names; this host, where it names none.
fn first(text: &str) -> SocketAddr {
    let named = text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next()? == "nameserver";
        words.next().filter(|_| keyword)?.parse().ok()
    });
    (named.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), PORT).into()
}

/// Asks over UDP, and once more when half the deadline has passed: a datagram may get lost.
pub(super) async fn look(
    dns: &DnsProbe,
    resolvers: &mut Resolvers,
    deadline: Duration,
) -> Result<Found, Failure> {
    let resolver = match dns.resolver {
        Some(resolver) => resolver,
        None => resolvers.first().await?,
    };
    // A list that was checked has such names only.
    let question = Question::new(&dns.name, dns.record()).ok_or(Failure::Unreadable)?;
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(|e| failure(&e))?;
    socket.connect(resolver).await.map_err(|e| failure(&e))?;
    let id = random();
    send(&socket, &question, id).await?;
    let answer = match timeout(deadline / 2, receive(&socket, &question, id)).await {
        Ok(answer) => answer?,
        Err(_) => {
            send(&socket, &question, id).await?;
            receive(&socket, &question, id).await?
        }
    };
    let status = f64::from(answer.code);
    Ok(Found::of(wrong(dns, &answer)).with(Part::Status, status))
}

/// A number that others cannot foresee: std's hash keys are random.
fn random() -> u16 {
    (RandomState::new().build_hasher().finish() & 0xffff) as u16
}

async fn send(socket: &UdpSocket, question: &Question, id: u16) -> Result<(), Failure> {
    let sent = socket.send(&question.query(id)).await;
    sent.map(|_| ()).map_err(|e| failure(&e))
}

/// The answer to this question. Datagrams that answer another one are not for us.
async fn receive(socket: &UdpSocket, question: &Question, id: u16) -> Result<Answer, Failure> {
    let mut datagram = vec![0; ANSWER_LIMIT_BYTES];
    loop {
        let length = socket.recv(&mut datagram).await.map_err(|e| failure(&e))?;
        match question.answer(id, &datagram[..length]) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(message::Malformed) => return Err(Failure::Unreadable),
        }
    }
}

fn wrong(dns: &DnsProbe, answer: &Answer) -> Option<Failure> {
    if answer.code != 0 {
        return Some(Failure::ResolverError);
    }
    if answer.addresses.is_empty() {
        return Some(Failure::NoAddress);
    }
    let expected = dns.expect.is_none_or(|a| answer.addresses.contains(&a));
    (!expected).then_some(Failure::OtherAddress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_resolver_named_is_asked() {
        for (text, resolver) in [
            ("", "127.0.0.1:53"),
            (
                "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n",
                "192.0.2.1:53",
            ),
            ("nameserver\nnameserver x\nnameserver ::1", "[::1]:53"),
        ] {
            assert_eq!(first(text).to_string(), resolver, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_file_names_a_resolver(text in "(nameserver|#|[0-9a-f.:]|[ \\t\\r\\n]|\\PC){0,40}") {
            prop_assert_eq!(first(&text).port(), PORT);
        }
    }
}
