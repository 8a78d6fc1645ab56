//! Reading catalogue files: TOML, checked, with errors that name file and line.
//!
//! A file holds a `[fault]` with its `[fault.question]`, `[[predict]]`, `[[forbid]]` and `[change]`, or
//! `[[symptom]]` entries, or both.

use firstlook_model::{ChangeKind, ComponentKind};
use serde::Deserialize;
use toml::Spanned;

use super::{
    BASE_RATE_FLOOR, Catalogue, ChangeRate, Fault, Forbidden, Level, NeededChange, Prediction,
    Question, Relation, SymptomKind,
};

/// Longest catalogue file that is read.
pub const CATALOGUE_FILE_LIMIT_BYTES: usize = 256 * 1024;

/// A catalogue file that cannot be used. A retry does not help: the file must be mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, or not of the catalogue's shape.
    #[error("catalogue file {file}, line {line}: {what}")]
    Malformed {
        /// Which file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Longer than [`CATALOGUE_FILE_LIMIT_BYTES`].
    #[error(
        "catalogue file {file} has {bytes} bytes, at most {CATALOGUE_FILE_LIMIT_BYTES} are read"
    )]
    TooLong {
        /// Which file.
        file: String,
        /// Its length.
        bytes: usize,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    fault: Option<FaultText>,
    #[serde(default)]
    predict: Vec<PredictText>,
    #[serde(default)]
    forbid: Vec<ForbidText>,
    change: Option<ChangeText>,
    #[serde(default)]
    symptom: Vec<SymptomText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    kind: Spanned<String>,
    components: Spanned<Vec<ComponentKind>>,
    #[serde(default)]
    otherwise: Vec<ComponentKind>,
    summary: String,
    prior_db: Spanned<f64>,
    trouble: Spanned<f64>,
    #[serde(default)]
    needs_sign: bool,
    #[serde(default)]
    well: Vec<String>,
    looks_when_fixed: String,
    #[serde(default)]
    tags: Vec<String>,
    question: Question,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictText {
    any: Spanned<Vec<String>>,
    at: Spanned<Vec<Relation>>,
    #[serde(default)]
    any_place: bool,
    #[serde(default)]
    of: Vec<ComponentKind>,
    level: Level,
    p: Option<Spanned<f64>>,
    p_each: Option<Spanned<f64>>,
    lag_s: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForbidText {
    any: Spanned<Vec<String>>,
    at: Spanned<Vec<Relation>>,
    weight_db: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeText {
    #[serde(default = "yes")]
    required: bool,
    window_s: Spanned<f64>,
    decay_s: Spanned<f64>,
    kinds: Spanned<Vec<ChangeRate>>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SymptomText {
    kind: Spanned<String>,
    family: String,
    base_rate: Spanned<f64>,
    victim_rate: Spanned<f64>,
    words: String,
    witness: Option<String>,
    #[serde(default)]
    edge: bool,
    #[serde(default)]
    outward: bool,
    #[serde(default)]
    shared: bool,
}

/// Reads all files: kinds of symptoms first, so that a fault may use those of a later file.
pub(super) fn files(files: &[(&str, &str)]) -> Result<Catalogue, CatalogueError> {
    let (catalogue, errors) = usable(files);
    errors.into_iter().next().map_or(Ok(catalogue), Err)
}

/// What can be used of the files, and the first error of each that cannot.
pub(super) fn usable(files: &[(&str, &str)]) -> (Catalogue, Vec<CatalogueError>) {
    let mut catalogue = Catalogue {
        faults: Default::default(),
        symptoms: Default::default(),
        files: Default::default(),
    };
    let mut errors = Vec::new();
    let mut read = Vec::with_capacity(files.len());
    for &(name, text) in files {
        let source = Source { name, text };
        match source.file() {
            Ok((file, symptoms)) => {
                catalogue.symptoms.extend(symptoms);
                read.push((source, file));
            }
            Err(error) => errors.push(error),
        }
    }
    for (source, file) in read {
        match source.fault(file, &catalogue) {
            Ok(Some(fault)) => {
                let kind = fault.kind.clone();
                catalogue.files.insert(kind.clone(), source.name.to_owned());
                catalogue.faults.insert(kind, fault);
            }
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    (catalogue, errors)
}

struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl CatalogueError {
    /// Which file.
    pub fn file(&self) -> &str {
        match self {
            Self::Malformed { file, .. } | Self::TooLong { file, .. } => file,
        }
    }

    /// What is wrong, without where.
    pub fn what(&self) -> String {
        match self {
            Self::Malformed { what, .. } => what.clone(),
            Self::TooLong { bytes, .. } => {
                format!("{bytes} bytes, at most {CATALOGUE_FILE_LIMIT_BYTES} are read")
            }
        }
    }

    /// The line, from 1, where one is at fault.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Malformed { line, .. } => Some(*line),
            Self::TooLong { .. } => None,
        }
    }
}

impl Source<'_> {
    /// The file, without its kinds of symptoms; and these.
    fn file(&self) -> Result<(FileText, Vec<(String, SymptomKind)>), CatalogueError> {
        let mut file = self.parse()?;
        let entries = std::mem::take(&mut file.symptom);
        let symptoms = entries.into_iter().map(|entry| self.symptom(entry));
        Ok((file, symptoms.collect::<Result<_, _>>()?))
    }

    fn parse(&self) -> Result<FileText, CatalogueError> {
        if self.text.len() > CATALOGUE_FILE_LIMIT_BYTES {
            return Err(CatalogueError::TooLong {
                file: self.name.to_owned(),
                bytes: self.text.len(),
            });
        }
        toml::from_str(self.text)
            .map_err(|error| self.wrong(error.span().map_or(0, |span| span.start), error.message()))
    }

    fn wrong(&self, offset: usize, what: impl Into<String>) -> CatalogueError {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        CatalogueError::Malformed {
            file: self.name.to_owned(),
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            what: what.into(),
        }
    }

    fn symptom(&self, entry: SymptomText) -> Result<(String, SymptomKind), CatalogueError> {
        let known = SymptomKind {
            family: entry.family,
            base_rate: self
                .within(&entry.base_rate, "base_rate", 0.0, 0.9)?
                .max(BASE_RATE_FLOOR),
            victim_rate: self.within(&entry.victim_rate, "victim_rate", 0.0, 0.99)?,
            words: entry.words,
            witness: entry.witness,
            edge: entry.edge,
            outward: entry.outward,
            shared: entry.shared,
        };
        Ok((self.id(entry.kind)?, known))
    }

    fn fault(&self, file: FileText, known: &Catalogue) -> Result<Option<Fault>, CatalogueError> {
        let Some(fault) = file.fault else {
            let orphan = file.predict.first().map(|p| p.any.span().start);
            let orphan = orphan.or(file.forbid.first().map(|f| f.any.span().start));
            let orphan = orphan.or(file.change.map(|c| c.window_s.span().start));
            return match orphan {
                Some(offset) => Err(self.wrong(offset, "an entry of a fault, but no [fault]")),
                None => Ok(None),
            };
        };
        if fault.components.get_ref().is_empty() {
            return Err(self.wrong(fault.components.span().start, "components is empty"));
        }
        if file.predict.is_empty() {
            let what = "a fault predicts something: no [[predict]]";
            return Err(self.wrong(fault.kind.span().start, what));
        }
        if fault.needs_sign && !file.predict.iter().any(|p| p.level == Level::Must) {
            let what = "needs_sign, but no [[predict]] has the level must";
            return Err(self.wrong(fault.kind.span().start, what));
        }
        let predicts = file.predict.into_iter().map(|p| self.prediction(p, known));
        let forbids = file.forbid.into_iter().map(|f| self.forbidden(f, known));
        Ok(Some(Fault {
            prior_db: self.within(&fault.prior_db, "prior_db", -100.0, 0.0)?,
            trouble: self.within(&fault.trouble, "trouble", 0.0, 0.99)?,
            kind: self.id(fault.kind)?,
            components: fault.components.into_inner(),
            otherwise: fault.otherwise,
            summary: fault.summary,
            needs_sign: fault.needs_sign,
            well: fault.well,
            looks_when_fixed: fault.looks_when_fixed,
            tags: fault.tags,
            question: fault.question,
            predicts: predicts.collect::<Result<_, _>>()?,
            forbids: forbids.collect::<Result<_, _>>()?,
            change: file.change.map(|c| self.change(c)).transpose()?,
        }))
    }

    fn prediction(
        &self,
        text: PredictText,
        known: &Catalogue,
    ) -> Result<Prediction, CatalogueError> {
        let p = match &text.p {
            Some(p) => self.within(p, "p", 0.0, 0.999)?,
            None => text.level.usual_p(),
        };
        let p_each = match &text.p_each {
            Some(p) => self.within(p, "p_each", 0.0, 0.999)?,
            None => p,
        };
        let lag_s = match &text.lag_s {
            Some(lag) => self.within(lag, "lag_s", 0.0, 86_400.0)?,
            None => 0.0,
        };
        Ok(Prediction {
            any: self.kinds(text.any, known)?,
            at: self.relations(text.at)?,
            any_place: text.any_place,
            of: text.of,
            level: text.level,
            p,
            p_each,
            lag_s,
        })
    }

    fn forbidden(&self, text: ForbidText, known: &Catalogue) -> Result<Forbidden, CatalogueError> {
        Ok(Forbidden {
            weight_db: self.within(&text.weight_db, "weight_db", -30.0, 0.0)?,
            any: self.kinds(text.any, known)?,
            at: self.relations(text.at)?,
        })
    }

    fn change(&self, text: ChangeText) -> Result<NeededChange, CatalogueError> {
        let offset = text.kinds.span().start;
        let kinds = text.kinds.into_inner();
        let sound = |rate: &ChangeRate| {
            (0.0..=0.99).contains(&rate.p) && rate.per_hour > 0.0 && rate.per_hour <= 3_600.0
        };
        if kinds.is_empty() || !kinds.iter().all(sound) {
            let what = "kinds: at least one, with p in 0 to 0.99 and per_hour in 0 to 3600";
            return Err(self.wrong(offset, what));
        }
        if kinds.iter().any(|rate| rate.kind == ChangeKind::Accepted) {
            let what = "kinds: \"accepted\" is somebody's word, and the cause of nothing";
            return Err(self.wrong(offset, what));
        }
        Ok(NeededChange {
            required: text.required,
            window_s: self.within(&text.window_s, "window_s", 1.0, 86_400.0)?,
            decay_s: self.within(&text.decay_s, "decay_s", 1.0, 86_400.0)?,
            kinds,
        })
    }

    fn kinds(
        &self,
        any: Spanned<Vec<String>>,
        known: &Catalogue,
    ) -> Result<Vec<String>, CatalogueError> {
        let offset = any.span().start;
        let kinds = any.into_inner();
        if kinds.is_empty() {
            return Err(self.wrong(offset, "any is empty"));
        }
        // A team's own log phrases need no entry of their own.
        let unknown = kinds.iter().find(|kind| {
            *kind != "*" && !kind.starts_with("log.") && !known.symptoms.contains_key(*kind)
        });
        match unknown {
            Some(kind) => Err(self.wrong(offset, format!("no [[symptom]] has kind {kind:?}"))),
            None => Ok(kinds),
        }
    }

    fn relations(&self, at: Spanned<Vec<Relation>>) -> Result<Vec<Relation>, CatalogueError> {
        if at.get_ref().is_empty() {
            return Err(self.wrong(at.span().start, "at is empty"));
        }
        Ok(at.into_inner())
    }

    fn id(&self, kind: Spanned<String>) -> Result<String, CatalogueError> {
        let fits = !kind.get_ref().is_empty()
            && kind.get_ref().len() <= 64
            && kind
                .get_ref()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if fits {
            Ok(kind.into_inner())
        } else {
            Err(self.wrong(kind.span().start, "kind is 1 to 64 of a-z, 0-9, '-', '.'"))
        }
    }

    fn within(
        &self,
        number: &Spanned<f64>,
        name: &str,
        low: f64,
        high: f64,
    ) -> Result<f64, CatalogueError> {
        let value = *number.get_ref();
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            let what = format!("{name} is {value}, must lie in {low} to {high}");
            Err(self.wrong(number.span().start, what))
        }
    }
}
