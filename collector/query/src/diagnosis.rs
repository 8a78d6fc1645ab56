//! The gRPC face of theories and the catalogue.

use firstlook_model::{ComponentId, Incident, IncidentState};
use firstlook_proto::wire;
use firstlook_proto::wire::diagnosis_server::Diagnosis;
use tonic::{Request, Response, Status};

use crate::about::About;
use crate::diagnosis_office::{DiagnosisOffice, FaultRow, RemarkRow, TheoryRow};
use crate::heard;
use crate::office::Office;
use crate::service::{QueryService, Replies};
use crate::telemetry;

/// Longest name of a kind of fault that is looked for, in bytes.
const FAULT_LIMIT_BYTES: usize = 64;
/// Most files that are checked at once.
const FILES_LIMIT: usize = 256;

#[tonic::async_trait]
impl<O: Office + DiagnosisOffice> Diagnosis for QueryService<O> {
    async fn add_theory(
        &self,
        request: Request<wire::AddTheoryRequest>,
    ) -> Result<Response<wire::AddTheoryReply>, Status> {
        let by = self.responder(&request)?;
        let request = request.into_inner();
        let incident = self.of_theory(request.incident).await?;
        if incident.state == IncidentState::Closed {
            return Err(Status::failed_precondition(format!(
                "{} is closed: theories are weighed by what is seen now",
                incident.id
            )));
        }
        let component = self.suspected(&request.component).await?;
        let fault = fault(request.fault)?;
        let of = incident.clone();
        let (theory, known) = self
            .ask(move |office| office.add_theory(&of, &component, fault.as_deref(), &by))
            .await?;
        Ok(Response::new(wire::AddTheoryReply {
            incident: incident.id.to_string(),
            place: place(&incident, &theory),
            theory: Some(theory_view(&theory)),
            known,
        }))
    }

    async fn list_theories(
        &self,
        request: Request<wire::ListTheoriesRequest>,
    ) -> Result<Response<wire::ListTheoriesReply>, Status> {
        self.responder(&request)?;
        let incident = self.of_theory(request.into_inner().incident).await?;
        let fresh = incident.state == IncidentState::Open;
        let id = incident.id.to_string();
        let theories = self.ask(move |office| office.theories(&incident)).await?;
        Ok(Response::new(wire::ListTheoriesReply {
            incident: id,
            theories: theories.iter().map(theory_view).collect(),
            fresh,
        }))
    }

    async fn explain_fault(
        &self,
        request: Request<wire::ExplainFaultRequest>,
    ) -> Result<Response<wire::ExplainFaultReply>, Status> {
        self.responder(&request)?;
        let fault = fault(request.into_inner().fault)?
            .ok_or_else(|| Status::invalid_argument("say which kind of fault"))?;
        let text = self.ask(move |office| office.explain_fault(&fault)).await?;
        Ok(Response::new(wire::ExplainFaultReply { text }))
    }

    async fn list_faults(
        &self,
        request: Request<wire::ListFaultsRequest>,
    ) -> Result<Response<wire::ListFaultsReply>, Status> {
        self.responder(&request)?;
        let faults = self.ask(|office| Ok(office.faults())).await?;
        Ok(Response::new(wire::ListFaultsReply {
            faults: faults.into_iter().map(fault_view).collect(),
        }))
    }

    type HeardStream = Replies<wire::HeardReply>;
    async fn heard(
        &self,
        request: Request<wire::HeardRequest>,
    ) -> Result<Response<Self::HeardStream>, Status> {
        self.responder(&request)?;
        let request = request.into_inner();
        let range = telemetry::range(request.range)?;
        let hosts = heard::hosts(request.hosts)?;
        let announced = self
            .ask(move |office| office.announced(heard::announced_in(range)))
            .await?;
        let records = heard::records(self.store.clone(), range, hosts, announced);
        Ok(Response::new(Box::pin(records)))
    }

    async fn check_catalogue(
        &self,
        request: Request<wire::CheckCatalogueRequest>,
    ) -> Result<Response<wire::CheckCatalogueReply>, Status> {
        self.responder(&request)?;
        let files = request.into_inner().files;
        if files.len() > FILES_LIMIT {
            return Err(Status::invalid_argument(format!(
                "{} files: {FILES_LIMIT} are allowed",
                files.len()
            )));
        }
        let files: Vec<_> = files.into_iter().map(|f| (f.name, f.text)).collect();
        let (remarks, faults) = self
            .ask(move |office| Ok(office.check_catalogue(&files)))
            .await?;
        Ok(Response::new(wire::CheckCatalogueReply {
            remarks: remarks.into_iter().map(remark_view).collect(),
            faults: u32::try_from(faults).unwrap_or(u32::MAX),
        }))
    }
}

impl<O: Office + DiagnosisOffice> QueryService<O> {
    /// The incident that is meant; the worst open one unless told.
    async fn of_theory(&self, incident: String) -> Result<Incident, Status> {
        let is_number = incident.parse::<firstlook_model::IncidentId>().is_ok();
        match is_number || incident.is_empty() {
            true => self.find(incident).await,
            false => Err(Status::invalid_argument(
                "say which incident, as INC-0042: `firstlook status` lists those that are open",
            )),
        }
    }

    /// The component that is meant. One that nobody has heard of is a slip of the pen rather than a theory.
    async fn suspected(&self, text: &str) -> Result<ComponentId, Status> {
        let component = match self.about(text).await? {
            About::Component(component) => component,
            About::Host(host) => ComponentId::host(host),
            About::All => {
                return Err(Status::invalid_argument(
                    "say what is suspected: a component, as service:app1/shop.service, or a host",
                ));
            }
        };
        let view = self.view();
        let situation = view.situation.as_ref().ok_or_else(|| {
            Status::unavailable("the collector has analysed nothing yet: ask again")
        })?;
        let mut ends = situation.edges.iter().flat_map(|e| [&e.caller, &e.callee]);
        match situation.components.contains(&component) || ends.any(|end| *end == component) {
            true => Ok(component),
            false => Err(Status::not_found(format!(
                "nothing is seen of {component}: `firstlook map --all` lists components"
            ))),
        }
    }
}

fn fault(text: String) -> Result<Option<String>, Status> {
    match text.len() {
        0 => Ok(None),
        1..=FAULT_LIMIT_BYTES => Ok(Some(text)),
        bytes => Err(Status::invalid_argument(format!(
            "the kind of fault has {bytes} bytes: {FAULT_LIMIT_BYTES} are allowed"
        ))),
    }
}

/// Its place among the suspects of the verdict, from 1; 0: none.
fn place(incident: &Incident, theory: &TheoryRow) -> u32 {
    let mut suspects = (1u32..).zip(&incident.verdict.suspects);
    let same = suspects.find(|(_, suspect)| {
        suspect.component == theory.suspect.component && suspect.fault == theory.suspect.fault
    });
    same.map_or(0, |(place, _)| place)
}

fn theory_view(theory: &TheoryRow) -> wire::Theory {
    wire::Theory {
        suspect: Some((&theory.suspect).into()),
        added: theory.added.as_micros(),
        added_by: theory.added_by.clone(),
    }
}

fn fault_view(row: FaultRow) -> wire::FaultKind {
    wire::FaultKind {
        fault: row.fault,
        components: row.components,
        summary: row.summary,
        file: row.file.unwrap_or_default(),
    }
}

fn remark_view(row: RemarkRow) -> wire::CatalogueRemark {
    let line = row.line.map(|line| u32::try_from(line).unwrap_or(u32::MAX));
    wire::CatalogueRemark {
        file: row.file,
        line: line.unwrap_or_default(),
        wrong: row.wrong,
        text: row.text,
    }
}
