//! The catalogue: ways to fail, and what each predicts. Declarative; read from text, never from disk.

use std::collections::BTreeMap;

use firstlook_model::{ChangeKind, ComponentKind};
use serde::Deserialize;

mod builtin;
mod explain;
mod lint;
mod read;

pub use lint::Remark;
pub use read::{CATALOGUE_FILE_LIMIT_BYTES, CatalogueError};

/// The catch-all fault kind: a component is named although the manner is new.
pub const UNKNOWN_FAULT: &str = "unknown-fault";

/// Smallest base rate: below it a symptom would decide alone.
pub(crate) const BASE_RATE_FLOOR: f64 = 0.001;

/// Every fault kind known, and what each kind of symptom is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    faults: BTreeMap<String, Fault>,
    symptoms: BTreeMap<String, SymptomKind>,
    /// The file that each fault kind is from.
    files: BTreeMap<String, String>,
}

impl Catalogue {
    /// The catalogue that Firstlook ships.
    pub fn builtin() -> Self {
        Self::parse(builtin::FILES).expect("the shipped catalogue reads: a test says so")
    }

    /// The shipped catalogue with a team's files over it: an entry of the same kind replaces ours.
    ///
    /// # Errors
    /// The first file that cannot be read, with its line.
    pub fn builtin_with(files: &[(&str, &str)]) -> Result<Self, CatalogueError> {
        let all: Vec<_> = builtin::FILES.iter().chain(files).copied().collect();
        Self::parse(&all)
    }

    /// Reads files given as (name, text), later ones replacing earlier entries of the same kind.
    ///
    /// # Errors
    /// The first file that cannot be read, with its line.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, CatalogueError> {
        read::files(files)
    }

    /// A fault kind by its id.
    pub fn fault(&self, kind: &str) -> Option<&Fault> {
        self.faults.get(kind)
    }

    /// The team's file that a fault kind is from; `None` where it is our own.
    pub fn file(&self, kind: &str) -> Option<&str> {
        let file = self.files.get(kind)?;
        let ours = builtin::FILES.iter().any(|(name, _)| name == file);
        (!ours).then_some(file)
    }

    /// Every fault kind, by id.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.faults.values()
    }

    /// What is known of a kind of symptom; a cautious guess for a kind that the catalogue lacks.
    pub(crate) fn symptom(&self, kind: &str) -> &SymptomKind {
        self.symptoms.get(kind).unwrap_or_else(|| {
            if kind.starts_with("log.") {
                &NEW_LOG_PHRASE
            } else {
                &NEW_KIND
            }
        })
    }
}

/// A way to fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Id, as `disk-full`.
    pub kind: String,
    /// Kinds of components that can have it.
    pub components: Vec<ComponentKind>,
    /// Kinds that stand in on a host where none of `components` is known.
    pub otherwise: Vec<ComponentKind>,
    /// The fault in words, with `{component}`, `{name}`, `{host}`, `{symptom|words}`, `{change|words}`.
    pub summary: String,
    /// Prior weight of one component having it once an incident is open, in decibans.
    pub prior_db: f64,
    /// Probability that whoever depends on the component is hurt.
    pub trouble: f64,
    /// Whether it is thought of only where each of its [`Level::Must`] predictions is fulfilled. What says itself
    /// what it is is not guessed at: its silence is no room for it. A person's theory is weighed all the same.
    pub needs_sign: bool,
    /// Families that must have been attested at the component after the fault began: a fault between others leaves it
    /// well, and somebody must have looked. Empty: none.
    pub well: Vec<String>,
    /// What one sees when it is repaired.
    pub looks_when_fixed: String,
    /// Tags of runbook pages.
    pub tags: Vec<String>,
    /// The read-only question that confirms it.
    pub question: Question,
    /// What one expects to see. Not empty.
    pub predicts: Vec<Prediction>,
    /// What speaks strongly against it.
    pub forbids: Vec<Forbidden>,
    /// The change that it needs, or that speaks for it.
    pub change: Option<NeededChange>,
}

/// A read-only question and the command that answers it, with `{component}`, `{name}`, `{host}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// For people.
    pub text: String,
    /// For a shell; what is put in is quoted.
    pub command: String,
}

/// One expectation: at least one of some symptoms at some relation.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Kinds that satisfy it; the first one's family tells whether it was measured.
    pub any: Vec<String>,
    /// Where. With several relations one place is enough; with one, every place there is asked.
    pub at: Vec<Relation>,
    /// Whether one place is enough with one relation, too.
    pub any_place: bool,
    /// Kinds of components for which it holds. Empty: all that can have the fault.
    pub of: Vec<ComponentKind>,
    /// How firmly.
    pub level: Level,
    /// P(at least one seen | fault).
    pub p: f64,
    /// P(a given one of them seen | fault).
    pub p_each: f64,
    /// Seconds after which its absence counts.
    pub lag_s: f64,
}

impl Prediction {
    /// Whether one of its places suffices.
    pub(crate) fn one_is_enough(&self) -> bool {
        self.any_place || self.at.len() > 1
    }

    /// Whether it holds for components of this kind.
    pub(crate) fn holds_for(&self, kind: ComponentKind) -> bool {
        self.of.is_empty() || self.of.contains(&kind)
    }
}

/// What speaks against a fault when seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Forbidden {
    /// Kinds.
    pub any: Vec<String>,
    /// Where.
    pub at: Vec<Relation>,
    /// Weight, negative.
    pub weight_db: f64,
}

/// The change that a fault needs before its onset, or that speaks for it where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct NeededChange {
    /// Whether there is no such fault without a change on record.
    pub required: bool,
    /// How long before the onset it may have been, in seconds.
    pub window_s: f64,
    /// Time in which the chance that a change shows its effect falls to a third, in seconds.
    pub decay_s: f64,
    /// Which kinds, how likely given the fault, and how usual otherwise.
    pub kinds: Vec<ChangeRate>,
}

/// How likely a kind of change is, given the fault and given none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRate {
    /// Which.
    pub kind: ChangeKind,
    /// P(change of this kind | fault).
    pub p: f64,
    /// Changes of this kind per hour on one component on an ordinary day.
    pub per_hour: f64,
}

/// How firmly a symptom is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Its absence, while measured, all but clears.
    Must,
    /// Its absence, while measured, counts against.
    Should,
    /// Its absence says nothing.
    May,
}

impl Level {
    const fn usual_p(self) -> f64 {
        match self {
            Self::Must => 0.95,
            Self::Should => 0.7,
            Self::May => 0.3,
        }
    }
}

/// Where a symptom stands, seen from the faulty component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The component itself.
    #[serde(rename = "self")]
    Itself,
    /// The host that it lives on.
    ItsHost,
    /// The filesystems that a service uses.
    ItsFilesystem,
    /// The interfaces of its host.
    Interface,
    /// Services on the host, interface or filesystem.
    ServicesOnIt,
    /// Filesystems on the host of a disk: which of them lie on it is not known.
    FilesystemsOnIt,
    /// Services that use a filesystem.
    Users,
    /// Whoever calls it, or the services on it.
    Callers,
    /// Whomever it, or the services on it, calls.
    Callees,
    /// Every edge that touches it or the services on it, at either end.
    Edges,
    /// Other services on its host.
    Neighbours,
    /// The same service on other hosts.
    Peers,
    /// Hosts and interfaces at the other ends of its edges.
    RemoteHosts,
}

impl Relation {
    /// The word for it in catalogue files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::ItsHost => "its-host",
            Self::ItsFilesystem => "its-filesystem",
            Self::Interface => "interface",
            Self::ServicesOnIt => "services-on-it",
            Self::FilesystemsOnIt => "filesystems-on-it",
            Self::Users => "users",
            Self::Callers => "callers",
            Self::Callees => "callees",
            Self::Edges => "edges",
            Self::Neighbours => "neighbours",
            Self::Peers => "peers",
            Self::RemoteHosts => "remote-hosts",
        }
    }
}

/// What a kind of symptom is worth by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SymptomKind {
    /// Evidence family whose attestation shows its absence.
    pub family: String,
    /// P(seen near an incident | caused by something else).
    pub base_rate: f64,
    /// P(seen | it depends on something that fails).
    pub victim_rate: f64,
    /// What it is, after "no sign of".
    pub words: String,
    /// Symptoms of one component and one witness say the same thing; `None`: by the family.
    pub witness: Option<String>,
    /// Whether it is about one edge.
    pub edge: bool,
    /// Whether it speaks of others than the component.
    pub outward: bool,
    /// Whether hosts show it together where they share what is beneath them.
    pub shared: bool,
}

/// A kind of symptom that the catalogue lacks: a cautious guess.
static NEW_KIND: SymptomKind = SymptomKind {
    family: String::new(),
    base_rate: 0.02,
    victim_rate: 0.03,
    words: String::new(),
    witness: None,
    edge: false,
    outward: false,
    shared: false,
};

/// A log phrase that the catalogue lacks.
static NEW_LOG_PHRASE: SymptomKind = SymptomKind {
    family: String::new(),
    base_rate: 0.03,
    victim_rate: 0.1,
    words: String::new(),
    witness: None,
    edge: false,
    outward: false,
    shared: false,
};

#[cfg(test)]
mod tests;
