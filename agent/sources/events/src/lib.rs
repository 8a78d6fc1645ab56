//! What happens on a host, as its agent sees it: unit states, the kernel's log, systemd's journal,
//! plain log files, and changes to packages, unit files, configuration and programs.
//!
//! Nothing here forks: facts come from D-Bus, `/dev/kmsg` and files. [`run`] drives every source at once;
//! a source that cannot see says so in [`BlindSpots`], tries again later, and never stops the others.
//!
//! Two ways lead out, both of [`EventSink`]. Facts are offered and may be refused when the pipeline is
//! full. Log lines are delivered: the reader waits, and its position in the log travels with the lines,
//! so that lines and position become durable in one write. After a crash each reader goes on from the
//! last durable position: no line is lost, none comes twice.

mod changes;
mod clock;
mod config;
mod drive;
mod files;
mod join;
mod journald;
mod kmsg;
mod logins;
mod services;
mod sink;
mod units;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;

pub use config::{EventsConfig, TailedFiles};
pub use files::{KeptFile, kept as kept_files};
pub use journald::reread::{Unread, journal as reread_journal};
pub use sink::{BlindSpots, Checkpoints, EventSink};

use services::Services;

/// Watches the host until `stop`, then returns once every source has handed over what it was holding.
///
/// # Cancel safety
/// Dropping the future stops every source. Lines under way are read again from their checkpoint.
pub async fn run(
    config: EventsConfig,
    sink: Arc<dyn EventSink>,
    checkpoints: Arc<dyn Checkpoints>,
    blind: BlindSpots,
    stop: CancellationToken,
) {
    let config = Arc::new(config);
    let source = Source {
        config,
        sink,
        checkpoints,
        blind,
        services: Services::default(),
        kernel_read: Arc::default(),
        stop,
    };
    // Boxed: the D-Bus connection's state would make this future large.
    tokio::join!(
        Box::pin(units::run(source.clone())),
        Box::pin(kmsg::run(source.clone())),
        Box::pin(journald::run(source.clone())),
        Box::pin(files::run(source.clone())),
        Box::pin(changes::run(source)),
    );
}

/// What every source is given.
#[derive(Clone)]
struct Source {
    config: Arc<EventsConfig>,
    sink: Arc<dyn EventSink>,
    checkpoints: Arc<dyn Checkpoints>,
    blind: BlindSpots,
    services: Services,
    /// Whether the kernel's ring buffer is being read.
    kernel_read: Arc<AtomicBool>,
    stop: CancellationToken,
}

#[cfg(test)]
fn test_source(
    config: EventsConfig,
    checkpoints: Arc<dyn Checkpoints>,
    blind: BlindSpots,
) -> Source {
    struct Nowhere;
    impl EventSink for Nowhere {
        fn offer(&self, _: &'static str, _: firstlook_model::Observation) {}
        fn deliver<'a>(
            &'a self,
            _: firstlook_model::Lines,
        ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            Box::pin(std::future::ready(()))
        }
    }
    Source {
        config: Arc::new(config),
        sink: Arc::new(Nowhere),
        checkpoints,
        blind,
        services: Services::default(),
        kernel_read: Arc::default(),
        stop: CancellationToken::new(),
    }
}
