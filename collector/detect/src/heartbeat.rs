//! Silence: which hosts are not heard, and what their peers' kernels say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::HostClock;
use crate::config::DetectConfig;
use crate::draft::{Draft, Finding, Health, Source};
use crate::graph::Link;
use crate::host::Host;
use crate::watch::Span;
use crate::words;

/// What a peer saw counts for this long.
const FRESH: Duration = Duration::from_secs(25);
/// The host may have lived for an interval of reporting after it was last heard: what peers received by
/// then is no sign of life.
const SETTLE: Duration = Duration::from_secs(3);
/// When nobody at all is heard for this long, it is said of each host, though without gate.
const ALL_SILENT: Duration = Duration::from_secs(60);

/// When hosts were heard, by the collector's clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Presence {
    last_any: Option<Timestamp>,
    /// Until when hosts may take their time to come back, after nobody was heard.
    grace_until: Option<Timestamp>,
}

impl Presence {
    pub fn heard(&mut self, received: Timestamp, config: &DetectConfig) {
        if let Some(last) = self.last_any
            && received.since(last) >= config.silent_after
        {
            self.grace_until = Some(received.plus(config.reconnect_grace));
        }
        self.last_any = self.last_any.max(Some(received));
    }

    /// When anybody was heard last.
    pub fn last_heard(&self) -> Option<Timestamp> {
        self.last_any
    }

    /// What was known before a restart.
    pub fn resume(&mut self, before: Self) {
        self.last_any = self.last_any.max(before.last_any);
        self.grace_until = self.grace_until.max(before.grace_until);
    }

    /// The collector was away until `now`: hosts need a while to find it again.
    pub fn back(&mut self, now: Timestamp, config: &DetectConfig) {
        self.grace_until = self.grace_until.max(Some(now.plus(config.reconnect_grace)));
    }

    /// Whether silences mean the hosts: somebody is heard, and not only just again.
    fn is_trusted(&self, now: Timestamp, config: &DetectConfig) -> bool {
        let heard = self
            .last_any
            .is_some_and(|last| now.since(last) < config.silent_after);
        heard && self.grace_until.is_none_or(|until| now >= until)
    }

    /// Whether nobody was heard for long.
    fn is_deaf(&self, now: Timestamp) -> bool {
        self.last_any
            .is_some_and(|last| now.since(last) >= ALL_SILENT)
    }
}

/// What peers say of one silent host.
#[derive(Debug, Default)]
struct PeersSay<'a> {
    reach: BTreeMap<&'a ComponentId, Timestamp>,
    cut: BTreeMap<&'a ComponentId, Timestamp>,
}

/// Hosts that are silent now, and since when each was last heard.
pub(crate) fn silent<'a>(
    hosts: &'a BTreeMap<HostId, Host>,
    now: Timestamp,
    config: &DetectConfig,
) -> BTreeMap<&'a HostId, Timestamp> {
    let heard = hosts
        .iter()
        .filter_map(|(id, host)| Some((id, host.contact?)));
    heard
        .filter(|(_, last)| now.since(*last) >= config.silent_after)
        .collect()
}

/// Symptoms of silence, what peers say, and attestations of presence.
pub(crate) fn judge(
    draft: &mut Draft,
    hosts: &BTreeMap<HostId, Host>,
    silent: &BTreeMap<&HostId, Timestamp>,
    links: &[Link<'_>],
    presence: &Presence,
    now: Timestamp,
    config: &DetectConfig,
) {
    let trusted = presence.is_trusted(now, config);
    let collector = HostClock::default();
    for (id, host) in hosts {
        let Some(contact) = host.contact else {
            continue;
        };
        if !silent.contains_key(id) {
            attest(draft, &collector, id, contact, now, config);
            continue;
        }
        draft.blind(
            ComponentId::host(id.clone()),
            format!(
                "its agent has been silent for {}: nothing on it is seen",
                words::span(now.since(contact))
            ),
        );
        if trusted || presence.is_deaf(now) {
            let gate = trusted && now.since(contact) >= config.silence_gates_after;
            draft.symptom(&collector, true, silence(id, contact, now, gate));
        }
    }
    if !trusted {
        return;
    }
    let names: BTreeSet<&HostId> = silent.keys().copied().collect();
    for (id, contact) in silent {
        let say = peers(id, *contact, links, &names, now);
        draft_peers(draft, &collector, id, *contact, &say);
    }
}

fn silence(id: &HostId, contact: Timestamp, now: Timestamp, gate: bool) -> Finding {
    Finding {
        component: ComponentId::host(id.clone()),
        peer: None,
        kind: kinds::AGENT_SILENT,
        family: families::HEARTBEAT,
        span: Span {
            after: Some(contact),
            first: contact.plus(Duration::from_secs(2)).min(now),
            last: now,
        },
        severity: if gate { 1.0 } else { 0.5 },
        gate,
        text: format!(
            "its agent has been silent for {}",
            words::span(now.since(contact))
        ),
        source: Source::Heartbeat,
    }
}

/// Peers that exchanged bytes with the host since it fell silent, and those that got no answer.
fn peers<'a>(
    id: &HostId,
    contact: Timestamp,
    links: &'a [Link<'a>],
    silent: &BTreeSet<&HostId>,
    now: Timestamp,
) -> PeersSay<'a> {
    let since = contact.plus(SETTLE);
    let mut say = PeersSay::default();
    let towards = links
        .iter()
        .filter(|link| link.far == Some(id) && link.host.id != *id);
    for link in towards.filter(|link| !silent.contains(&link.host.id)) {
        let clock = &link.host.clock;
        let fresh = |at: Timestamp| at >= since && now.since(at) <= FRESH;
        let witness = if link.is_outbound() {
            &link.caller
        } else {
            &link.callee
        };
        let heard = link
            .track
            .heard
            .map(|(at, interval)| (clock.corrected(at), interval));
        let heard = heard
            .filter(|(at, interval)| fresh(at.minus(*interval)))
            .map(|(at, _)| at);
        let failing = link
            .track
            .failing
            .map(|at| clock.corrected(at))
            .filter(|at| fresh(*at));
        // The later word of one edge is the true one: it may have been cut after it was heard.
        match (heard, failing) {
            (Some(heard), failing) if failing.is_none_or(|at| at <= heard) => {
                say.reach.insert(witness, heard);
            }
            (_, Some(at)) => {
                say.cut.insert(witness, at);
            }
            _ => {}
        }
    }
    say
}

fn draft_peers(
    draft: &mut Draft,
    collector: &HostClock,
    id: &HostId,
    contact: Timestamp,
    say: &PeersSay<'_>,
) {
    let (kind, witnesses, verb) = if say.reach.is_empty() {
        (kinds::PEERS_CUT, &say.cut, "get no answer from it")
    } else {
        (kinds::PEERS_REACH, &say.reach, "still receive data from it")
    };
    let Some(last) = witnesses.values().max() else {
        return;
    };
    let named: Vec<String> = witnesses.keys().take(3).map(|w| w.label()).collect();
    let more = witnesses.len().saturating_sub(named.len());
    let finding = Finding {
        component: ComponentId::host(id.clone()),
        peer: None,
        kind,
        family: families::HEARTBEAT,
        span: Span {
            after: Some(contact),
            first: witnesses.values().min().copied().unwrap_or(*last),
            last: *last,
        },
        severity: if witnesses.len() > 1 { 1.0 } else { 0.8 },
        gate: false,
        text: format!(
            "{}{} {verb}",
            named.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            }
        ),
        source: Source::Heartbeat,
    };
    draft.symptom(collector, true, finding);
}

fn attest(
    draft: &mut Draft,
    collector: &HostClock,
    id: &HostId,
    contact: Timestamp,
    now: Timestamp,
    config: &DetectConfig,
) {
    for component in [
        ComponentId::host(id.clone()),
        ComponentId::agent(id.clone()),
    ] {
        let text = format!(
            "heard {} ago, would have shown {} of silence",
            words::span(now.since(contact)),
            words::span(config.silent_after)
        );
        let health = Health {
            component,
            family: families::HEARTBEAT,
            coverage: 1.0,
            last: contact,
            text,
            source: Source::Heartbeat,
        };
        draft.attest(collector, health);
    }
}
