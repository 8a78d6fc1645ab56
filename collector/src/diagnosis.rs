//! The office of theories and the catalogue: weighs what people suspect by what the analysis saw last.

use std::collections::BTreeSet;

use firstlook_desk::{AuditOutcome, DeskError, Theory};
use firstlook_diagnose::{Catalogue, Fault, IncidentScope, TheoryError, symptom_gate, theory};
use firstlook_model::{ComponentId, Incident, IncidentState, Situation, Suspect};
use firstlook_query::{DiagnosisOffice, FaultRow, OfficeError, RemarkRow, TheoryRow};
use firstlook_runtime::clock;

use crate::office::DeskOffice;

/// Whose symptoms an incident is about now: those of the groups that it has a part in, and its own as last seen.
fn scope(incident: &Incident, situation: &Situation) -> IncidentScope {
    let own: BTreeSet<&ComponentId> = incident.symptoms.iter().map(|s| &s.component).collect();
    let groups = symptom_gate(situation)
        .into_iter()
        .map(|group| group.scope());
    let touched = groups.filter(|scope| scope.components.iter().any(|c| own.contains(c)));
    let mut components: BTreeSet<ComponentId> =
        touched.flat_map(|scope| scope.components).collect();
    components.extend(own.into_iter().cloned());
    IncidentScope { components }
}

fn refusal(error: TheoryError) -> OfficeError {
    match error {
        TheoryError::NoSuchFault { fault, .. } => no_fault(&fault),
        TheoryError::NotOfThatKind { .. } => OfficeError::Invalid(error.to_string()),
    }
}

fn no_fault(fault: &str) -> OfficeError {
    OfficeError::NotFound(format!(
        "no kind of fault is named {fault:?}: `firstlook catalogue list` lists them"
    ))
}

fn failure(error: DeskError) -> OfficeError {
    match error {
        DeskError::TooMany { .. } => OfficeError::Invalid(error.to_string()),
        other => OfficeError::Failed(other.to_string()),
    }
}

fn fault_row(catalogue: &Catalogue, fault: &Fault) -> FaultRow {
    let kinds = fault.components.iter().chain(&fault.otherwise);
    FaultRow {
        fault: fault.kind.clone(),
        components: kinds.map(|kind| kind.as_str().to_owned()).collect(),
        summary: catalogue.plain_summary(fault),
        file: catalogue.file(&fault.kind).map(str::to_owned),
    }
}

impl DeskOffice {
    fn weigh(
        &self,
        incident: &Incident,
        component: &ComponentId,
        fault: Option<&str>,
    ) -> Result<Suspect, OfficeError> {
        let view = self.views.borrow().clone();
        let situation = view.situation.as_ref().ok_or_else(|| {
            OfficeError::Unreachable("the collector has analysed nothing yet: ask again".to_owned())
        })?;
        let scope = scope(incident, situation);
        theory(&self.catalogue, situation, Some(&scope), component, fault).map_err(refusal)
    }
}

impl DiagnosisOffice for DeskOffice {
    fn add_theory(
        &self,
        incident: &Incident,
        component: &ComponentId,
        fault: Option<&str>,
        by: &str,
    ) -> Result<(TheoryRow, bool), OfficeError> {
        let suspect = self.weigh(incident, component, fault)?;
        let detail = format!("{}: {} of {component}", incident.id, suspect.fault);
        let new = Theory {
            incident: incident.id,
            suspect,
            added: clock::now(),
            added_by: by.to_owned(),
        };
        let known = self.desk.theories().add(&new).map_err(failure)?;
        self.note(by, "theory.add", AuditOutcome::Done, detail);
        let first = known.as_ref().unwrap_or(&new);
        let row = TheoryRow {
            added: first.added,
            added_by: first.added_by.clone(),
            suspect: new.suspect,
        };
        Ok((row, known.is_some()))
    }

    fn theories(&self, incident: &Incident) -> Result<Vec<TheoryRow>, OfficeError> {
        let kept = self.desk.theories().list(incident.id).map_err(failure)?;
        let mut rows = Vec::with_capacity(kept.len());
        for theory in kept {
            let Theory {
                suspect: last,
                added,
                added_by,
                ..
            } = theory;
            let suspect = match incident.state {
                // A fault that the catalogue has lost since keeps its last weight.
                IncidentState::Open => self
                    .weigh(incident, &last.component, Some(&last.fault))
                    .or_else(|error| match error {
                        OfficeError::NotFound(_) | OfficeError::Invalid(_) => Ok(last),
                        other => Err(other),
                    })?,
                IncidentState::Closed => last,
            };
            rows.push(TheoryRow {
                suspect,
                added,
                added_by,
            });
        }
        rows.sort_by(|a, b| {
            let more = b.suspect.probability.total_cmp(&a.suspect.probability);
            more.then(a.added.cmp(&b.added))
        });
        Ok(rows)
    }

    fn explain_fault(&self, fault: &str) -> Result<String, OfficeError> {
        self.catalogue.explain(fault).ok_or_else(|| no_fault(fault))
    }

    fn faults(&self) -> Vec<FaultRow> {
        let faults = self.catalogue.faults();
        faults
            .map(|fault| fault_row(&self.catalogue, fault))
            .collect()
    }

    fn check_catalogue(&self, files: &[(String, String)]) -> (Vec<RemarkRow>, usize) {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .collect();
        let (remarks, faults) = Catalogue::lint(&files);
        let row = |remark: firstlook_diagnose::Remark| RemarkRow {
            file: remark.file,
            line: remark.line,
            wrong: remark.wrong,
            text: remark.text,
        };
        (remarks.into_iter().map(row).collect(), faults)
    }
}
