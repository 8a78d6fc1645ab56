//! Names to addresses, and connections.

use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};

use firstlook_model::probe::Failure;
use tokio::net::TcpStream;

use crate::apart::{Apart, Threads};
use crate::config::Target;

/// Most addresses of one name that are tried.
const ADDRESSES_LIMIT: usize = 4;

/// Finds the addresses of one probe's target. A resolver that hangs holds one thread, never more.
pub(super) struct Names(Apart<Vec<SocketAddr>>);

impl Names {
    pub fn new(threads: &Threads) -> Self {
        Self(Apart::on(threads))
    }

    pub fn hang(&self) -> bool {
        self.0.hangs()
    }

    /// A connection to the first address that takes one. Names are looked up anew each time, as clients do.
    pub async fn connect(&mut self, target: &Target) -> Result<TcpStream, Failure> {
        let mut failed = Failure::NameUnknown;
        for address in self.addresses(target).await {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = failure(&error),
            }
        }
        Err(failed)
    }

    async fn addresses(&mut self, target: &Target) -> Vec<SocketAddr> {
        if let Some(address) = target.address() {
            return vec![(address, target.port()).into()];
        }
        let name = (target.host().to_owned(), target.port());
        let found = self.0.run(move || {
            let found = name.to_socket_addrs();
            found.map_or_else(|_| Vec::new(), |all| all.take(ADDRESSES_LIMIT).collect())
        });
        found.await.unwrap_or_default()
    }
}

/// What an error of the network means.
pub(super) fn failure(error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::NoAnswer,
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            Failure::Unreadable
        }
        _ => Failure::Unreachable,
    }
}
