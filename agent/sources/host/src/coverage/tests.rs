use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlook_model::{HostId, Timestamp};

use super::*;
use crate::{HostRoots, HostSampler, Limits};

fn listed() -> BTreeMap<&'static str, ComponentKind> {
    let mut listed = BTreeMap::new();
    for row in gathered() {
        for signal in row.signals {
            assert_eq!(
                listed.insert(*signal, row.of),
                None,
                "{signal} is listed twice"
            );
        }
    }
    listed
}

#[test]
fn what_sources_register_is_listed_and_nothing_else() {
    let mut registered = BTreeMap::new();
    for (of, signals) in table::registered() {
        registered.extend(signals.iter().map(|signal| (*signal, of)));
    }
    assert_eq!(listed(), registered);
}

#[test]
fn whatever_this_host_shows_is_listed() {
    let host = HostId::new("h1").unwrap();
    let mut sampler = HostSampler::new(host, HostRoots::default(), Limits::default());
    sampler.sample(Timestamp::from_secs(0), Duration::ZERO);
    let second = Duration::from_secs(10);
    let frame = sampler.sample(Timestamp::from_secs(10), second);
    let listed = listed();
    assert!(frame.schema.series().len() > 50);
    for series in frame.schema.series() {
        let of = listed.get(series.signal.as_str());
        assert_eq!(of, Some(&series.component.kind()), "{}", series.signal);
    }
}

#[test]
fn signals_serve_faults_that_there_are_and_every_fault_is_seen_or_says_why_not() {
    let kinds: BTreeSet<_> = faults().iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds.len(), faults().len(), "a fault is listed twice");
    let mut served = BTreeSet::new();
    for row in gathered() {
        assert!(!row.serves.is_empty(), "{:?} serve nothing", row.signals);
        served.extend(row.serves.iter().copied());
    }
    assert_eq!(served.difference(&kinds).next(), None, "no such fault");
    for fault in faults() {
        let seen = served.contains(fault.kind) || !fault.elsewhere.is_empty();
        assert!(
            seen || !fault.missing.is_empty(),
            "{} is not seen",
            fault.kind
        );
    }
}

#[test]
fn no_cell_breaks_its_table() {
    for line in page().lines().filter(|line| line.starts_with('|')) {
        let cells = line.matches('|').count() - 1;
        assert!(cells == 8 || cells == 4, "{line}");
    }
}

#[test]
fn the_page_is_the_one_that_is_committed() {
    let committed = include_str!("../../../../../docs/signals.md");
    assert!(
        committed == page(),
        "write docs/signals.md anew: cargo run -p firstlook-sources-host --example signals"
    );
}
