//! What holds of every verdict, whatever the situation.

use std::time::Duration;

use firstlook_diagnose::{Catalogue, diagnose, symptom_gate, theory};
use firstlook_model::symptom::kinds::*;
use firstlook_model::{ChangeKind, Situation, TimeRange, Verdict};
use proptest::prelude::*;

use crate::faults;
use crate::world::*;

const KINDS: [&str; 24] = [
    SPACE_EXHAUSTED,
    INODES_EXHAUSTED,
    CPU_SATURATED,
    CPU_HOG,
    OOM_KILLED,
    UNIT_DOWN,
    UNIT_FAILED,
    UNIT_RESTARTING,
    LISTENER_GONE,
    ACCEPT_QUEUE_FULL,
    NOT_READING,
    STOPPED,
    HOST_RETRANSMITS,
    EDGE_RETRANSMITS,
    EDGE_UNANSWERED,
    EDGE_LOST,
    EDGE_STALLED,
    LOG_ERRORS,
    LOG_NEW_ERROR,
    LOG_NO_SPACE,
    LOG_TIMEOUT,
    AGENT_SILENT,
    PEERS_CUT,
    PEERS_REACH,
];

const PLACES: [&str; 12] = [
    HAPROXY,
    APP1,
    APP2,
    DB,
    LOAD,
    DB_DISK,
    "host:db1",
    "host:app2",
    "interface:db1/host0",
    "filesystem:app1/",
    "endpoint:192.0.2.7:443",
    "agent:app2",
];

const CHANGES: [ChangeKind; 4] = [
    ChangeKind::Deploy,
    ChangeKind::Restart,
    ChangeKind::ConfigFile,
    ChangeKind::Reboot,
];

type Seen = (usize, usize, Option<usize>, f64, f64);

prop_compose! {
    fn situations()(
        seen in prop::collection::vec(
            (0..PLACES.len(), 0..KINDS.len(), prop::option::of(0..PLACES.len()), -60.0..4_000.0, -0.5..1.5),
            0..14,
        ),
        changed in prop::collection::vec((0..PLACES.len(), 0..CHANGES.len(), -60.0..4_000.0), 0..4),
        unmeasured in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        nan in any::<bool>(),
    ) -> Situation {
        situation(&seen, &changed, &unmeasured, nan)
    }
}

fn situation(
    seen: &[Seen],
    changed: &[(usize, usize, f64)],
    unmeasured: &[prop::sample::Index],
    nan: bool,
) -> Situation {
    let mut world = World::lab();
    for (place, kind, peer, began_s, severity) in seen {
        match peer.filter(|peer| peer != place) {
            Some(peer) => world.sick_edge(PLACES[*place], PLACES[peer], KINDS[*kind], *began_s),
            None => world.sick(PLACES[*place], KINDS[*kind], *began_s),
        };
        let symptom = world.0.symptoms.last_mut().expect("one was just added");
        symptom.severity = if nan { f64::NAN } else { *severity };
        // An empty range: an onset that ends before it begins must not confuse anybody.
        if *severity < 0.0 {
            symptom.onset = TimeRange::new(symptom.onset.to, symptom.onset.from);
        }
    }
    for (place, kind, ago_s) in changed {
        world.changed(PLACES[*place], CHANGES[*kind], *ago_s);
    }
    for index in unmeasured {
        let place = index.index(world.0.attestations.len());
        world.0.attestations.remove(place);
    }
    world.0
}

fn hold(verdict: &Verdict) {
    let mut last = 1.0;
    for suspect in &verdict.suspects {
        assert!((0.0..=1.0).contains(&suspect.probability), "{suspect:?}");
        assert!(suspect.probability <= last, "not ranked");
        last = suspect.probability;
        let facts = suspect.evidence_for.iter().chain(&suspect.evidence_against);
        let sum: f64 = facts.clone().map(|e| e.weight_db).sum();
        assert!((sum - suspect.decibans).abs() < 0.05, "{sum} {suspect:?}");
        assert!(
            facts
                .clone()
                .all(|e| e.weight_db.is_finite() && !e.text.is_empty())
        );
        assert!(suspect.evidence_for.iter().all(|e| e.weight_db > 0.0));
        assert!(suspect.evidence_against.iter().all(|e| e.weight_db < 0.0));
        assert!(
            verdict
                .ruled_out
                .iter()
                .all(|c| c.component != suspect.component)
        );
    }
    assert!(verdict.ruled_out.iter().all(|c| !c.cleared_by.is_empty()));
    assert!(!verdict.suspects.is_empty() || verdict.hesitation.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_verdict_is_sound(situation in situations()) {
        hold(&diagnose(&Catalogue::builtin(), &situation, None));
        for group in symptom_gate(&situation) {
            hold(&diagnose(&Catalogue::builtin(), &situation, Some(&group.scope())));
        }
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter(situation in situations(), seed in any::<u64>()) {
        let mut shuffled = situation.clone();
        shuffle(&mut shuffled.symptoms, seed);
        shuffle(&mut shuffled.attestations, seed);
        shuffle(&mut shuffled.components, seed);
        shuffle(&mut shuffled.edges, seed);
        shuffle(&mut shuffled.mounts, seed);
        shuffle(&mut shuffled.changes, seed);
        let catalogue = Catalogue::builtin();
        let told = |situation| serde_json::to_string(&diagnose(&catalogue, situation, None)).unwrap();
        prop_assert_eq!(told(&situation), told(&shuffled));
    }

    #[test]
    fn no_component_is_in_two_groups(situation in situations()) {
        let groups = symptom_gate(&situation);
        let mut seen = std::collections::BTreeSet::new();
        for group in &groups {
            for component in group.scope().components {
                prop_assert!(seen.insert(component));
            }
            prop_assert!(group.symptoms.iter().any(|s| s.gate));
        }
    }

    #[test]
    fn the_culprit_is_never_ruled_out_however_little_is_seen(
        which in any::<prop::sample::Index>(), keep in any::<u32>()
    ) {
        let staged = faults::staged();
        let (name, component, _, world) = &staged[which.index(staged.len())];
        let mut partly = World(world.0.clone());
        let mut bit = 0;
        partly.0.symptoms.retain(|_| {
            bit += 1;
            keep >> (bit - 1) & 1 == 1
        });
        let verdict = partly.verdict();
        let cleared = verdict.ruled_out.iter().any(|c| c.component == id(component));
        prop_assert!(!cleared, "{}", name);
    }

    #[test]
    fn any_theory_is_weighed_or_refused(situation in situations(), place in 0..PLACES.len()) {
        let catalogue = Catalogue::builtin();
        for fault in catalogue.faults() {
            if let Ok(suspect) = theory(&catalogue, &situation, None, &id(PLACES[place]), Some(&fault.kind)) {
                prop_assert!((0.0..=1.0).contains(&suspect.probability));
            }
        }
    }
}

#[test]
fn as_symptoms_arrive_nobody_but_the_culprit_is_named() {
    let mut wrong = Vec::new();
    for (name, component, _, world) in faults::staged() {
        let mut arriving = world.0.symptoms.clone();
        arriving.sort_by_key(|s| s.onset.from);
        for seen in 1..=arriving.len() {
            let mut early = World(world.0.clone());
            early.0.symptoms = arriving[..seen].to_vec();
            let now = arriving[seen - 1].onset.to.plus(Duration::from_secs(2));
            early.0.reference_time = now;
            early.0.changes.retain(|change| change.time <= now);
            for attestation in &mut early.0.attestations {
                attestation.last_seen = attestation.last_seen.min(now);
            }
            for edge in &mut early.0.edges {
                edge.last_seen = edge.last_seen.min(now);
            }
            let verdict = early.verdict();
            let named = verdict.suspects.iter().filter(|s| s.probability >= 0.9);
            let others: Vec<_> = named.filter(|s| s.component != id(component)).collect();
            let cleared = verdict
                .ruled_out
                .iter()
                .any(|c| c.component == id(component));
            if !others.is_empty() || cleared {
                let said = faults::brief(&verdict);
                wrong.push(format!("{name} with {seen}, cleared {cleared}:\n{said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A permutation drawn from the seed.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for place in (1..list.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        list.swap(place, (state >> 33) as usize % (place + 1));
    }
}
