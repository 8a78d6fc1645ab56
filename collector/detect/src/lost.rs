//! CPU time that a host has and does not get: kept by its hypervisor, or lost to its own heat.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 3] = [
    names::CPU_STEAL,
    names::CPU_CORES,
    names::CPU_THERMAL_THROTTLES,
];
const STEAL: usize = 0;
const CORES: usize = 1;
const THROTTLES: usize = 2;

/// Share of all its CPU time that is kept from it over ten seconds. A few percent are a shared machine's daily bread.
const STOLEN: f64 = 0.1;
const LITTLE: f64 = 0.04;
const STEALING: Rule = Rule::new(6, 6, 30);
/// Readings of the counters of heat come every ten seconds: in two of them in a row it must have been too hot.
const HEAT: Rule = Rule::new(2, 8, 60);

/// What a host does not get of its CPU.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lost {
    steal: Meter,
    stolen: Window,
    stealing: Watch,
    throttles: Meter,
    heat: Watch,
}

impl Default for Lost {
    fn default() -> Self {
        Self {
            steal: Meter::default(),
            stolen: Window::seconds(10),
            stealing: Watch::default(),
            throttles: Meter::default(),
            heat: Watch::default(),
        }
    }
}

impl Lost {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        if let Some((throttles, _)) = self.throttles.step(at, row.get(THROTTLES)) {
            let reading = Reading::of(throttles > 0.0, throttles <= 0.0);
            self.heat.take(at, reading, throttles, 0.0, HEAT);
        }
        let cores = row.get(CORES).filter(|cores| *cores >= 1.0);
        let (Some((stolen, secs)), Some(cores)) = (self.steal.step(at, row.get(STEAL)), cores)
        else {
            return;
        };
        self.stolen.push(at, stolen, secs * cores);
        let share = self.stolen.ratio().unwrap_or(0.0);
        if warm {
            let reading = Reading::of(share >= STOLEN, share < LITTLE);
            self.stealing.take(at, reading, share, 0.0, STEALING);
        } else {
            self.stealing.learn(at, share < LITTLE);
        }
    }

    /// Whether neither is seen: then the CPU may be attested.
    pub fn is_none(&self) -> bool {
        self.stealing.is_quiet() && self.heat.is_quiet()
    }

    /// Never a gate: whoever waits for the host says so.
    pub fn findings(&self, host: &HostId, now: Timestamp) -> Vec<Finding> {
        let finding = |kind, span, severity, text, signal| Finding {
            component: ComponentId::host(host.clone()),
            peer: None,
            kind,
            family: families::CPU,
            span,
            severity,
            gate: false,
            text,
            source: Source::Metric(signal),
        };
        let mut found = Vec::new();
        if let Some(run) = self.stealing.live(now, STEALING) {
            let text = format!(
                "the hypervisor gives {} of its CPU time to others over 10 s; usual under {}",
                words::percent(run.latest),
                words::percent(LITTLE),
            );
            let severity = 0.4 + run.latest;
            found.push(finding(
                kinds::CPU_STOLEN,
                run.span,
                severity,
                text,
                names::CPU_STEAL,
            ));
        }
        if let Some(run) = self.heat.live(now, HEAT) {
            let number = words::count(run.latest as u64, "time");
            let text = format!("slowed {number} since the last reading because it is too hot");
            let signal = names::CPU_THERMAL_THROTTLES;
            found.push(finding(kinds::CPU_TOO_HOT, run.span, 0.6, text, signal));
        }
        found
    }

    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}
