//! What ingest took in and refused since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter per outcome; they only rise.
#[derive(Debug, Default)]
pub struct IngestCounters {
    /// Records stored.
    pub records: AtomicU64,
    /// Records that did not convert, or that named another host's components, set aside.
    pub malformed_records: AtomicU64,
    /// Records out of order within a message, or over a limit.
    pub refused_messages: AtomicU64,
    /// Sessions without a host's certificate, or of a revoked host.
    pub refused_sessions: AtomicU64,
    /// Sessions ended by a newer one of the same host.
    pub displaced_sessions: AtomicU64,
    /// Sessions that said nothing valid in time.
    pub silent_sessions: AtomicU64,
    /// Pieces of snapshots that nobody asked for.
    pub stray_pieces: AtomicU64,
    /// Reports of configurations that were malformed, too many, or could not be kept.
    pub lost_config_reports: AtomicU64,
}

impl IngestCounters {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Name and value of each, for display.
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("firstlook_ingest_records_total", of(&self.records)),
            (
                "firstlook_ingest_malformed_records_total",
                of(&self.malformed_records),
            ),
            (
                "firstlook_ingest_refused_messages_total",
                of(&self.refused_messages),
            ),
            (
                "firstlook_ingest_refused_sessions_total",
                of(&self.refused_sessions),
            ),
            (
                "firstlook_ingest_displaced_sessions_total",
                of(&self.displaced_sessions),
            ),
            (
                "firstlook_ingest_silent_sessions_total",
                of(&self.silent_sessions),
            ),
            (
                "firstlook_ingest_stray_pieces_total",
                of(&self.stray_pieces),
            ),
            (
                "firstlook_ingest_lost_config_reports_total",
                of(&self.lost_config_reports),
            ),
        ]
    }
}
