//! What the engine thinks of people's theories, and the catalogue it thinks by.

use firstlook_model::{ComponentId, Incident, Suspect, Timestamp};

use crate::office::OfficeError;

/// Somebody's theory about an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct TheoryRow {
    /// As the facts weigh it.
    pub suspect: Suspect,
    /// When it was added.
    pub added: Timestamp,
    /// By whom.
    pub added_by: String,
}

/// A kind of fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRow {
    /// Its name.
    pub fault: String,
    /// Kinds of components that can have it.
    pub components: Vec<String>,
    /// In words.
    pub summary: String,
    /// The team's file that it is from.
    pub file: Option<String>,
}

/// What there is to say of a team's catalogue file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemarkRow {
    /// Which file.
    pub file: String,
    /// The line, from 1, where one is meant.
    pub line: Option<usize>,
    /// Whether the file cannot be used.
    pub wrong: bool,
    /// What.
    pub text: String,
}

/// Weighs theories and knows the catalogue. Blocks.
pub trait DiagnosisOffice: Send + Sync + 'static {
    /// Weighs a theory about an open incident and keeps it; gives it with who had it first, and whether it was known.
    /// Without a fault, it is the one that explains most at the component.
    ///
    /// # Errors
    /// [`OfficeError::NotFound`] where there is no such fault, [`OfficeError::Invalid`] where such a component cannot have it.
    fn add_theory(
        &self,
        incident: &Incident,
        component: &ComponentId,
        fault: Option<&str>,
        by: &str,
    ) -> Result<(TheoryRow, bool), OfficeError>;

    /// Theories about an incident, the most probable first; of an open one as they are weighed now.
    ///
    /// # Errors
    /// When they cannot be read.
    fn theories(&self, incident: &Incident) -> Result<Vec<TheoryRow>, OfficeError>;

    /// What a kind of fault shows, in lines.
    ///
    /// # Errors
    /// [`OfficeError::NotFound`] where there is no such kind.
    fn explain_fault(&self, fault: &str) -> Result<String, OfficeError>;

    /// Every kind of fault, by its name.
    fn faults(&self) -> Vec<FaultRow>;

    /// Looks over a team's files, as (name, text); gives also how many kinds of faults can be used of them.
    fn check_catalogue(&self, files: &[(String, String)]) -> (Vec<RemarkRow>, usize);
}
