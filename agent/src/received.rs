//! What is declared to be received and shown, for `check`: nothing is asked and nothing listens.

use firstlook_model::{HostId, Inventory};
use serde::Serialize;

use crate::config::Config;
use crate::listeners::Listeners;

/// All of it.
#[derive(Serialize)]
pub struct Received {
    scrapes: Vec<Endpoint>,
    statsd: Option<Port>,
    otlp: Option<Otlp>,
    /// Where the agent shows what it samples.
    metrics: Option<String>,
}

#[derive(Serialize)]
struct Endpoint {
    url: String,
    /// The service that it is said to be about, or that listens there; else the host.
    about: String,
    interval_s: u64,
    series_budget: usize,
}

#[derive(Serialize)]
struct Port {
    listen: String,
    about: String,
    series_budget: usize,
}

#[derive(Serialize)]
struct Otlp {
    http_listen: String,
    grpc_listen: String,
    /// Where nothing that is told names a service of this host.
    otherwise_about: String,
    series_budget: usize,
}

impl Received {
    /// What `settings` declare on `host`, whose inventory says who listens where.
    pub fn declared(host: &HostId, inventory: Option<&Inventory>, settings: &Config) -> Self {
        let listeners = Listeners::default();
        inventory.into_iter().for_each(|i| listeners.note(i));
        let scrapes = settings.scrapes.iter().map(|scrape| {
            let owner = || listeners.owner(scrape.url.address());
            let about = scrape.named(host).or_else(owner);
            Endpoint {
                url: scrape.url.to_string(),
                about: about.map_or_else(|| host.to_string(), |component| component.label()),
                interval_s: scrape.interval_s,
                series_budget: scrape.series_budget,
            }
        });
        let statsd = settings.statsd.as_ref().map(|statsd| Port {
            listen: statsd.listen.to_string(),
            about: statsd.about(host).label(),
            series_budget: statsd.series_budget,
        });
        let otlp = settings.otlp.as_ref().map(|otlp| Otlp {
            http_listen: otlp.http_listen.to_string(),
            grpc_listen: otlp.grpc_listen.to_string(),
            otherwise_about: otlp.about(host).label(),
            series_budget: otlp.series_budget,
        });
        Self {
            scrapes: scrapes.collect(),
            statsd,
            otlp,
            metrics: settings.metrics.listen.map(|listen| listen.to_string()),
        }
    }

    /// For people, one line each. Empty when nothing is declared.
    pub fn lines(&self) -> Vec<String> {
        let scrape = |scrape: &Endpoint| {
            let Endpoint {
                url,
                about,
                interval_s,
                series_budget,
            } = scrape;
            format!(
                "scrape {url}, every {interval_s} s, at most {series_budget} series, about {about}"
            )
        };
        let statsd = |port: &Port| {
            let Port {
                listen,
                about,
                series_budget,
            } = port;
            format!("statsd udp {listen}, at most {series_budget} series, about {about}")
        };
        let otlp = |otlp: &Otlp| {
            let Otlp {
                http_listen,
                grpc_listen,
                otherwise_about,
                series_budget,
            } = otlp;
            format!(
                "otlp http {http_listen}, grpc {grpc_listen}, at most {series_budget} series, else about {otherwise_about}"
            )
        };
        let metrics = |listen: &String| format!("metrics shown at http://{listen}/metrics");
        let scrapes = self.scrapes.iter().map(scrape);
        let statsd = self.statsd.iter().map(statsd);
        scrapes
            .chain(statsd)
            .chain(self.otlp.iter().map(otlp))
            .chain(self.metrics.iter().map(metrics))
            .collect()
    }
}
