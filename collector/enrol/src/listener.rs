//! Accepting connections: TLS with a deadline, caps before and after authentication, and who it is.
//!
//! tonic's own acceptor keeps silent sockets for ever, so the handshake is done here: at most
//! [`ListenerLimits::handshakes`] at a time, each within [`ListenerLimits::handshake_timeout`]; connections
//! without a client certificate have a cap and a lifetime of their own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use firstlook_model::Peer;
use firstlook_runtime::clock;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::identity::peer_of;
use crate::lapsed::{Lenient, dated};

/// Caps and deadlines of a listening port.
#[derive(Clone, Copy, Debug)]
pub struct ListenerLimits {
    /// Handshakes under way at once; more wait in the kernel's accept queue.
    pub handshakes: usize,
    /// A handshake takes no longer.
    pub handshake_timeout: Duration,
    /// Connections with a client certificate.
    pub authenticated: usize,
    /// Connections without one, or with one that has ended.
    pub anonymous: usize,
    /// How long a connection without one may live.
    pub anonymous_lifetime: Duration,
    /// A connection with one that says nothing for this long is over. The server pings only once HTTP/2 has begun;
    /// from then on whoever lives answers more often than this.
    pub silence: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            authenticated: 20_000,
            anonymous: 64,
            anonymous_lifetime: Duration::from_secs(30),
            silence: Duration::from_secs(30),
        }
    }
}

/// What was turned away, since the start.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Handshakes that failed: foreign or expired certificate, no TLS, nothing in time.
    pub handshakes_failed: AtomicU64,
    /// Connections over a cap.
    pub over_cap: AtomicU64,
    /// Certificates that name no one.
    pub nameless: AtomicU64,
    /// Hosts let in to renew a certificate that had ended.
    pub lapsed: AtomicU64,
}

impl ListenerCounters {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// TLS settings of a port that asks for, and checks, a client certificate but does not insist on one. A host whose
/// certificate ended no longer than `lapsed` ago is let in as [`Peer::Lapsed`]; with zero nobody is.
///
/// The chain sent holds the authority's certificate too, so that a joining agent can compare its hash.
///
/// # Errors
/// When a PEM text is not what it should be.
pub fn server_config(
    certificate_pem: &str,
    key_pem: &str,
    authority_pem: &str,
    lapsed: Duration,
) -> io::Result<Arc<ServerConfig>> {
    let invalid = |e: &dyn std::fmt::Display| io::Error::other(e.to_string());
    let certificate =
        CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|e| invalid(&e))?;
    let authority =
        CertificateDer::from_pem_slice(authority_pem.as_bytes()).map_err(|e| invalid(&e))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| invalid(&e))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone()).map_err(|e| invalid(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|e| invalid(&e))?;
    let verifier = match lapsed.is_zero() {
        true => verifier,
        false => Arc::new(Lenient::new(verifier, lapsed)),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| invalid(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate, authority], key)
        .map_err(|e| invalid(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No resumption: a revoked or expired certificate must not live on in a ticket.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Accepts until the returned stream is dropped. `name` is for the log.
///
/// The accept loop lives in `driver`, which the caller runs; it ends when the stream is dropped.
pub fn incoming(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    limits: ListenerLimits,
    counters: Arc<ListenerCounters>,
) -> (
    impl Future<Output = ()> + Send,
    impl Stream<Item = io::Result<Authenticated>>,
) {
    // Room for every handshake that may end at once.
    let (ready, stream) = mpsc::channel(limits.handshakes);
    let gate = Arc::new(Gate {
        acceptor: TlsAcceptor::from(config),
        limits,
        counters,
        authenticated: Arc::new(Semaphore::new(limits.authenticated)),
        anonymous: Arc::new(Semaphore::new(limits.anonymous)),
    });
    (
        accept_loop(listener, gate, ready),
        ReceiverStream::new(stream),
    )
}

struct Gate {
    acceptor: TlsAcceptor,
    limits: ListenerLimits,
    counters: Arc<ListenerCounters>,
    authenticated: Arc<Semaphore>,
    anonymous: Arc<Semaphore>,
}

async fn accept_loop(
    listener: TcpListener,
    gate: Arc<Gate>,
    ready: mpsc::Sender<io::Result<Authenticated>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        // Each arm is cancel-safe: accept loses no connection, join_next only reaps.
        tokio::select! {
            () = ready.closed() => return,
            Some(_) = handshakes.join_next() => {}
            accepted = listener.accept(), if handshakes.len() < gate.limits.handshakes => {
                match accepted {
                    Ok((socket, _)) => {
                        handshakes.spawn(admit(socket, Arc::clone(&gate), ready.clone()));
                    }
                    Err(error) => {
                        // Out of descriptors, mostly: breathe, then go on.
                        tracing::warn!(%error, "connection not accepted");
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    }
}

async fn admit(socket: TcpStream, gate: Arc<Gate>, ready: mpsc::Sender<io::Result<Authenticated>>) {
    let _ = socket.set_nodelay(true);
    let handshake = gate.acceptor.accept(socket);
    let stream = match timeout(gate.limits.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            ListenerCounters::count(&gate.counters.handshakes_failed);
            return tracing::debug!(%error, "handshake failed");
        }
        Err(_) => return ListenerCounters::count(&gate.counters.handshakes_failed),
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let known = certificate.map(|der| peer_of(der).map(|peer| dated(peer, clock::now())));
    let peer = match known {
        None => Peer::Anonymous,
        Some(Ok(peer)) => peer,
        Some(Err(error)) => {
            ListenerCounters::count(&gate.counters.nameless);
            return tracing::warn!(%error, "certificate refused");
        }
    };
    let (cap, lifetime, silence) = match peer {
        Peer::Anonymous => (&gate.anonymous, gate.limits.anonymous_lifetime, None),
        // One question, as of somebody who joins.
        Peer::Lapsed { .. } => {
            ListenerCounters::count(&gate.counters.lapsed);
            (&gate.anonymous, gate.limits.anonymous_lifetime, None)
        }
        _ => (
            &gate.authenticated,
            gate.limits.silence,
            Some(gate.limits.silence),
        ),
    };
    let deadline = Box::pin(sleep(lifetime));
    let Ok(permit) = Arc::clone(cap).try_acquire_owned() else {
        return ListenerCounters::count(&gate.counters.over_cap);
    };
    let _ = ready
        .send(Ok(Authenticated {
            stream,
            peer,
            deadline,
            silence,
            _permit: permit,
        }))
        .await;
}

/// A connection after its handshake; carries [`Peer`] as its connection information.
pub struct Authenticated {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    deadline: Pin<Box<Sleep>>,
    /// By how much every byte moves the deadline; `None`: it stands.
    silence: Option<Duration>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Authenticated {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Authenticated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(silence) = self.silence
            && buf.filled().len() > before
        {
            self.deadline.as_mut().reset(Instant::now() + silence);
        }
        read
    }
}

impl AsyncWrite for Authenticated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
