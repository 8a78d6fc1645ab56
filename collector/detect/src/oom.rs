//! Kills for want of memory: whom the kernel killed, by the witnesses that name a service.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, ComponentKind, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Watch};
use crate::window::Meter;
use crate::words;

pub(crate) const HOST_SIGNALS: [&str; 1] = [names::OOM_KILLS];
const KILLS: usize = 0;

/// A kill is an event: it counts at once, and for as long as its consequences usually take.
const KILL: Rule = Rule::new(1, 0, 120);
/// Most services remembered as killed.
const SERVICES_LIMIT: usize = 256;

/// Who says that a service was killed, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Witness {
    /// A kernel line with the service's control group somewhere below an unknown one.
    Line,
    /// A kernel line with the service's own control group, the cgroup's counter or the service manager.
    Sure,
}

#[derive(Debug, Serialize, Deserialize)]
struct Killed {
    watch: Watch,
    witness: Witness,
    text: String,
    source: Source,
}

/// Kills on one host.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Oom {
    kills: Meter,
    host: Watch,
    services: BTreeMap<ComponentId, Killed>,
    /// Services named by kernel lines, with the path that named them.
    paths: BTreeMap<ComponentId, String>,
}

impl Oom {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>) {
        if let Some((kills, _)) = self.kills.step(at, row.get(KILLS)) {
            let reading = Reading::of(kills > 0.0, kills <= 0.0);
            self.host.take(at, reading, kills, 0.0, KILL);
        }
    }

    /// A witness says that this service was killed.
    pub fn killed(
        &mut self,
        service: &ComponentId,
        at: Timestamp,
        witness: Witness,
        text: String,
        source: Source,
    ) {
        if self.services.len() >= SERVICES_LIMIT && !self.services.contains_key(service) {
            return;
        }
        let killed = self
            .services
            .entry(service.clone())
            .or_insert_with(|| Killed {
                watch: Watch::default(),
                witness,
                text: text.clone(),
                source: source.clone(),
            });
        let fresh = killed.watch.live(at, KILL).is_none();
        if fresh || witness >= killed.witness {
            (killed.witness, killed.text, killed.source) = (witness, text, source);
        }
        killed.watch.take(at, Reading::Bad, 1.0, 0.0, KILL);
    }

    /// A line of the kernel's log. On machines that share a kernel every host reads every line: the
    /// control group's path says whose it is.
    pub fn line(&mut self, host: &HostId, at: Timestamp, text: &str) {
        let Some(path) = victim(text) else { return };
        let unit = path
            .rsplit('/')
            .find(|segment| segment.ends_with(".service"));
        let service = unit
            .and_then(|unit| ComponentId::on_host(ComponentKind::Service, host.clone(), unit).ok());
        let Some(service) = service else { return };
        let own = path.starts_with("/system.slice/") || path.split('/').any(|s| s == host.as_str());
        let witness = if own { Witness::Sure } else { Witness::Line };
        if self.paths.len() < SERVICES_LIMIT {
            self.paths.insert(service.clone(), path.to_owned());
        }
        let text = format!(
            "the kernel killed it for want of memory: {}",
            words::clip(text, 160)
        );
        self.killed(
            &service,
            at,
            witness,
            text,
            Source::Metric(names::SERVICE_OOM_KILLS),
        );
    }

    /// Symptoms, of services that `known` names only.
    pub fn findings(
        &self,
        host: &HostId,
        now: Timestamp,
        hosts: &BTreeSet<HostId>,
        known: impl Fn(&ComponentId) -> bool,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        for (service, killed) in &self.services {
            let Some(run) = killed.watch.live(now, KILL) else {
                continue;
            };
            let elsewhere = self.paths.get(service).is_some_and(|path| {
                let mut segments = path.split('/').filter(|s| *s != host.as_str());
                segments.any(|s| HostId::new(s).is_ok_and(|other| hosts.contains(&other)))
            });
            let sure = killed.witness == Witness::Sure;
            if !known(service) || (elsewhere && !sure) {
                continue;
            }
            found.push(Finding {
                component: service.clone(),
                peer: None,
                kind: kinds::OOM_KILLED,
                family: families::MEMORY,
                span: run.span,
                severity: if sure { 1.0 } else { 0.5 },
                gate: sure,
                text: killed.text.clone(),
                source: killed.source.clone(),
            });
        }
        if let Some(run) = self.host.live(now, KILL)
            && found.is_empty()
        {
            found.push(Finding {
                component: ComponentId::host(host.clone()),
                peer: None,
                kind: kinds::OOM_KILLED,
                family: families::MEMORY,
                span: run.span,
                severity: 0.3,
                gate: false,
                text: "the kernel killed for want of memory; none of the services is named"
                    .to_owned(),
                source: Source::Metric(names::OOM_KILLS),
            });
        }
        found
    }

    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}

/// The control group of the process that was killed: `…,task_memcg=/system.slice/app.service,task=…`.
fn victim(text: &str) -> Option<&str> {
    let start = text.find("task_memcg=")? + "task_memcg=".len();
    let rest = text.get(start..)?;
    let end = rest.find([',', ' ']).unwrap_or(rest.len());
    rest.get(..end).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
        oom_memcg=/system.slice/app.service,task_memcg=/system.slice/app.service,task=python3,pid=42,uid=0";

    #[test]
    fn the_kernel_names_the_victim_by_its_control_group() {
        assert_eq!(victim(LINE), Some("/system.slice/app.service"));
        assert_eq!(victim("task_memcg="), None);
        assert_eq!(victim("Out of memory: Killed process 1 (x)"), None);
    }

    #[test]
    fn a_line_of_a_neighbour_that_shares_the_kernel_is_not_ours() {
        let at = Timestamp::from_secs(100);
        let host = |name: &str| HostId::new(name).unwrap();
        let line = LINE.replace("task_memcg=", "task_memcg=/machines/app1");
        let hosts: BTreeSet<HostId> = [host("app1"), host("app2")].into();
        for (name, expected) in [("app1", 1), ("app2", 0)] {
            let mut oom = Oom::default();
            oom.line(&host(name), at, &line);
            let found = oom.findings(&host(name), at, &hosts, |_| true);
            assert_eq!(found.len(), expected, "{name}");
        }
    }
}
