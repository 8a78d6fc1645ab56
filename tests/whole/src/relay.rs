//! A stretch of network that can be cut: connections to a port of its own go on to another.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes on until it is dropped.
pub struct Relay {
    port: u16,
    cut: watch::Sender<()>,
    _runtime: Runtime,
}

impl Relay {
    /// Passes connections on to `port` of loopback.
    pub fn to(port: u16) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let bound = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = bound.expect("a port is free");
        let own = listener.local_addr().expect("it is bound").port();
        let cut = watch::Sender::new(());
        runtime.handle().spawn(accept(listener, port, cut.clone()));
        Self {
            port: own,
            cut,
            _runtime: runtime,
        }
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Cuts every connection that is open, midway.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }
}

async fn accept(listener: TcpListener, port: u16, cut: watch::Sender<()>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(pass(near, port, cut.subscribe()));
    }
}

async fn pass(mut near: TcpStream, port: u16, mut cut: watch::Receiver<()>) {
    let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    tokio::select! {
        _ = cut.changed() => {}
        _ = copy_bidirectional(&mut near, &mut far) => {}
    }
}
