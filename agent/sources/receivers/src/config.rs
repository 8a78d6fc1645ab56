//! What an operator may ask to be received, and the checks of it.

use std::collections::BTreeSet;
use std::time::Duration;

use firstlook_model::{ComponentId, ComponentKind, HostId};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::otlp::Otlp;
use crate::statsd::Statsd;

/// Most endpoints of one agent: each is a task.
pub const ENDPOINTS_LIMIT: usize = 16;
/// Most series of all parts together: they are columns of each frame of the host.
pub const SERIES_BUDGET_LIMIT: usize = 4_000;
/// Most series of one of them.
const PART_BUDGET_LIMIT: usize = 2_000;
/// Longest an endpoint may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// `[[scrape]]`: an endpoint that tells metrics as Prometheus reads them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// Where it is, as `http://127.0.0.1:9100/metrics`: an address or `localhost`, no other name. No two of one address, port and
    /// path.
    pub url: Endpoint,
    /// Time between two scrapes, in seconds: 1 to 3600. Default 10.
    #[serde(default = "interval_s")]
    pub interval_s: u64,
    /// Unit that the numbers are about, as `nginx.service`. Default: the one that listens there, where that is on this
    /// host and known, else the host itself.
    pub service: Option<String>,
    /// Most series kept of it: 1 to 2000, and 4000 for all together. Default 500.
    #[serde(default = "series_budget")]
    pub series_budget: usize,
}

fn interval_s() -> u64 {
    10
}

fn series_budget() -> usize {
    500
}

/// What is wrong with a list. Only the operator can mend it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// Beyond [`ENDPOINTS_LIMIT`].
    #[error("{0} endpoints are scraped: at most {ENDPOINTS_LIMIT} are allowed")]
    TooMany(usize),
    /// Beyond [`SERIES_BUDGET_LIMIT`].
    #[error("series_budget: {0} series in all, at most {SERIES_BUDGET_LIMIT} are allowed")]
    Budgets(usize),
    /// Two of one address and path.
    #[error("scrape {0} is there twice")]
    Twice(String),
    /// A value outside its range.
    #[error("scrape {url}: {wrong}")]
    Value {
        /// Its address.
        url: String,
        /// The key, and what it allows.
        wrong: &'static str,
    },
    /// A value of `[statsd]` outside its range.
    #[error("statsd: {0}")]
    Statsd(&'static str),
    /// A value of `[otlp]` outside its range.
    #[error("otlp: {0}")]
    Otlp(&'static str),
}

/// All that is to be received.
#[derive(Clone, Debug, Default)]
pub struct Receivers {
    /// `[[scrape]]`
    pub scrapes: Vec<Scrape>,
    /// `[statsd]`
    pub statsd: Option<Statsd>,
    /// `[otlp]`
    pub otlp: Option<Otlp>,
}

/// Checks all that is to be received.
///
/// # Errors
/// The first fault found.
pub fn check(receivers: &Receivers) -> Result<(), Fault> {
    let Receivers {
        scrapes,
        statsd,
        otlp,
    } = receivers;
    if scrapes.len() > ENDPOINTS_LIMIT {
        return Err(Fault::TooMany(scrapes.len()));
    }
    let mut urls = BTreeSet::new();
    for scrape in scrapes {
        let url = scrape.url.to_string();
        if let Some(wrong) = scrape.wrong() {
            return Err(Fault::Value { url, wrong });
        }
        if !urls.insert(url.clone()) {
            return Err(Fault::Twice(url));
        }
    }
    if let Some(statsd) = statsd {
        let wrong = limits(statsd.series_budget, statsd.service.as_deref());
        let no_port = (statsd.listen.port() == 0).then_some("listen: a port is needed");
        wrong
            .or(no_port)
            .map_or(Ok(()), |w| Err(Fault::Statsd(w)))?;
    }
    if let Some(otlp) = otlp {
        let wrong = limits(otlp.series_budget, otlp.service.as_deref()).or(otlp.wrong());
        wrong.map_or(Ok(()), |w| Err(Fault::Otlp(w)))?;
    }
    let scraped: usize = scrapes.iter().map(|scrape| scrape.series_budget).sum();
    let statsd = statsd.as_ref().map_or(0, |statsd| statsd.series_budget);
    let otlp = otlp.as_ref().map_or(0, |otlp| otlp.series_budget);
    match scraped + statsd + otlp {
        0..=SERIES_BUDGET_LIMIT => Ok(()),
        over => Err(Fault::Budgets(over)),
    }
}

/// What is told is about on `host`, where a unit is named or none.
pub(crate) fn about(service: Option<&str>, host: &HostId) -> ComponentId {
    let service = service
        .and_then(|name| ComponentId::on_host(ComponentKind::Service, host.clone(), name).ok());
    service.unwrap_or_else(|| ComponentId::host(host.clone()))
}

impl Scrape {
    /// Time between two scrapes.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_s.max(1))
    }

    /// How long a scrape may take: its interval, at most five seconds.
    pub(crate) fn deadline(&self) -> Duration {
        self.interval().min(DEADLINE)
    }

    /// The service that it was said to be about; `None` when none was, or its name cannot be one, which [`check`] refuses.
    pub fn named(&self, host: &HostId) -> Option<ComponentId> {
        let name = self.service.as_deref()?;
        ComponentId::on_host(ComponentKind::Service, host.clone(), name).ok()
    }

    fn wrong(&self) -> Option<&'static str> {
        if !(1..=3600).contains(&self.interval_s) {
            return Some("interval_s: 1 to 3600 is allowed");
        }
        limits(self.series_budget, self.service.as_deref())
    }
}

/// Whether this cannot be the name of a unit.
pub(crate) fn no_unit(name: &str) -> bool {
    name.is_empty() || name.len() > 255 || name.chars().any(char::is_control)
}

fn limits(series_budget: usize, service: Option<&str>) -> Option<&'static str> {
    if !(1..=PART_BUDGET_LIMIT).contains(&series_budget) {
        return Some("series_budget: 1 to 2000 is allowed");
    }
    service
        .is_some_and(no_unit)
        .then_some("service: the name of a unit is needed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        scrape: Vec<Scrape>,
        statsd: Option<Statsd>,
        otlp: Option<Otlp>,
    }

    fn receivers(file: &File) -> Receivers {
        Receivers {
            scrapes: file.scrape.clone(),
            statsd: file.statsd.clone(),
            otlp: file.otlp.clone(),
        }
    }

    fn with(line: &str) -> Result<(), Fault> {
        let text = format!("[[scrape]]\nurl = \"http://[::1]:1\"\n{line}");
        let file: File = toml::from_str(&text).unwrap();
        check(&receivers(&file))
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(with("interval_s = 5\nservice = \"a.service\""), Ok(()));
        assert_eq!(with("[statsd]\n[otlp]"), Ok(()));
        for (line, named) in [
            ("interval_s = 0", "interval_s"),
            ("interval_s = 3601", "interval_s"),
            ("series_budget = 0", "series_budget"),
            ("service = \"\"", "service"),
            ("service = \"a\\nb\"", "service"),
            ("[[scrape]]\nurl = \"http://[::1]:1/metrics\"", "twice"),
            (
                "series_budget = 2000\n[[scrape]]\nurl = \"http://[::1]:2\"\nseries_budget = 2000\n\
                 [[scrape]]\nurl = \"http://[::1]:3\"",
                "4500",
            ),
            (
                "series_budget = 2000\n[[scrape]]\nurl = \"http://[::1]:2\"\nseries_budget = 1800\n[statsd]",
                "4300",
            ),
            ("series_budget = 2001", "series_budget"),
            ("[statsd]\nseries_budget = 0", "statsd: series_budget"),
            ("[statsd]\nservice = \"\"", "statsd: service"),
            ("[statsd]\nlisten = \"127.0.0.1:0\"", "statsd: listen"),
            ("[otlp]\nseries_budget = 2001", "otlp: series_budget"),
            ("[otlp]\nservice = \"\"", "otlp: service"),
            ("[otlp]\nrelays = [\"\"]", "otlp: relays"),
            ("[otlp]\nhttp_listen = \"127.0.0.1:0\"", "otlp: http_listen"),
            ("[otlp]\ngrpc_listen = \"127.0.0.1:0\"", "otlp: grpc_listen"),
            ("[otlp]\ngrpc_listen = \"127.0.0.1:4318\"", "two ports"),
        ] {
            let error = with(line).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let one: Scrape = toml::from_str("url = \"http://[::1]:1\"").unwrap();
        let many = Receivers {
            scrapes: vec![one; 17],
            ..Receivers::default()
        };
        assert_eq!(check(&many), Err(Fault::TooMany(17)));
        assert!(toml::from_str::<Scrape>("url = \"http://[::1]:1\"\nlabels = 1").is_err());
    }

    #[test]
    fn the_example_of_the_documentation_is_valid_and_gives_the_defaults() {
        let page = include_str!("../../../../docs/receivers.md");
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let file: File = toml::from_str(example).unwrap();
        assert_eq!(check(&receivers(&file)), Ok(()));
        assert_eq!(file.scrape[0].series_budget, series_budget());
        assert_eq!(file.scrape[0].interval_s, interval_s());
        let shown = Statsd {
            service: None,
            ..file.statsd.unwrap()
        };
        assert_eq!(shown, Statsd::default());
        let shown = Otlp {
            service: None,
            relays: Vec::new(),
            ..file.otlp.unwrap()
        };
        assert_eq!(shown, Otlp::default());
    }
}
