//! One look at a target.

pub(crate) mod dns;
mod file;
mod http;
mod net;
pub(crate) mod tls;

use firstlook_model::probe::{Failure, Part};
use tokio::time::{Instant, timeout};

use crate::apart::Threads;
use crate::config::{Probe, UnitProbe};
use crate::found::Found;
use crate::units::{Standing, Units};

/// What all probes of an agent share.
#[derive(Default)]
pub(crate) struct Shared {
    pub units: Units,
    pub threads: Threads,
    pub authorities: tls::Authorities,
}

/// Looks again and again at one probe's target.
pub(crate) struct Looker {
    probe: Probe,
    units: Units,
    threads: Threads,
    names: net::Names,
    file: file::Looker,
    trust: tls::Trust,
    resolvers: dns::Resolvers,
}

impl Looker {
    pub fn new(probe: Probe, shared: &Shared) -> Self {
        let threads = &shared.threads;
        Self {
            probe,
            units: shared.units.clone(),
            threads: threads.clone(),
            names: net::Names::new(threads),
            file: file::Looker::new(threads),
            trust: tls::Trust::new(shared.authorities.clone(), threads),
            resolvers: dns::Resolvers::new(threads),
        }
    }

    /// One look, within the deadline; `None` when nobody can tell. What does not answer is not up.
    pub async fn look(&mut self) -> Option<Found> {
        if let Some(unit) = &self.probe.unit {
            return stands(unit, &self.units);
        }
        // What holds the threads are others' targets: of this one nothing is known.
        if self.threads.are_taken() && self.needs_thread() && !self.hangs() {
            return None;
        }
        let begun = Instant::now();
        let deadline = self.probe.deadline();
        let found = timeout(deadline, self.asked()).await;
        let found = found.unwrap_or(Found::down(Failure::NoAnswer));
        let answered = self.probe.file.is_none() && found.is_answer();
        Some(match answered {
            true => found.with(Part::Duration, begun.elapsed().as_secs_f64()),
            false => found,
        })
    }

    /// Whether anything of a look may block: names, files, lists of certificates or resolvers.
    fn needs_thread(&self) -> bool {
        let probe = &self.probe;
        let tcp = probe.tcp.as_ref().map(|tcp| &tcp.address);
        let http = probe.http.as_ref();
        let plain = http.filter(|http| !http.tls).map(|http| &http.address);
        let dns = probe.dns.as_ref();
        match tcp.or(plain) {
            Some(target) => target.address().is_none(),
            None => dns.is_none_or(|dns| dns.resolver.is_none()),
        }
    }

    fn hangs(&self) -> bool {
        let (names, trust) = (self.names.hang(), self.trust.hangs());
        names || trust || self.file.hangs() || self.resolvers.hang()
    }

    async fn asked(&mut self) -> Found {
        let probe = &self.probe;
        let found = if let Some(file) = &probe.file {
            Ok(self.file.look(file).await)
        } else if let Some(dns) = &probe.dns {
            dns::look(dns, &mut self.resolvers, probe.deadline()).await
        } else if let Some(tls) = &probe.tls {
            tls::look(tls, &mut self.names, &mut self.trust).await
        } else if let Some(http) = &probe.http {
            http::look(http, &mut self.names, &mut self.trust).await
        } else if let Some(tcp) = &probe.tcp {
            let connected = self.names.connect(&tcp.address).await;
            connected.map(|_| Found::up())
        } else {
            // Not so: a list that was checked has one of them.
            Err(Failure::Unreachable)
        };
        found.unwrap_or_else(Found::down)
    }
}

fn stands(unit: &UnitProbe, units: &Units) -> Option<Found> {
    units.standing(&unit.name).map(|standing| match standing {
        Standing::Active => Found::up(),
        Standing::Inactive => Found::down(Failure::UnitInactive),
        Standing::NotLoaded => Found::down(Failure::UnitUnknown),
    })
}

#[cfg(test)]
mod tests;
