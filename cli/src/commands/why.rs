//! `firstlook why`: the verdict.

use firstlook_model::{Incident, IncidentState};
use firstlook_proto::wire;

use super::{Context, open};
use crate::Answer;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::incident::{openable, screen};

pub async fn run(
    mut context: Context,
    about: Option<String>,
    open_number: Option<usize>,
    check: bool,
) -> Result<Answer, Failure> {
    let request = wire::WhyRequest {
        about: about.unwrap_or_default(),
    };
    let reply = context.client.why(request).await?.into_inner();
    let incident = reply
        .incident
        .ok_or_else(|| Failure::failed("the answer holds no incident"))?;
    let incident = Incident::try_from(incident)?;
    if let Some(number) = open_number {
        let facts = openable(&incident.verdict);
        let fact = number
            .checked_sub(1)
            .and_then(|index| facts.get(index))
            .ok_or_else(|| {
                let message = format!(
                    "{} has no fact [{number}]: it has {}",
                    incident.id,
                    facts.len()
                );
                Failure {
                    exit: Exit::NotFound,
                    message,
                }
            })?;
        let fact = (*fact).clone();
        let Answer { text, .. } = open::run(context, fact).await?;
        return Ok(Answer::with_exit(text, exit(&incident, check)));
    }
    let text = if context.json {
        json::document("why", json::incident(&incident))?
    } else {
        screen(&incident, context.now, context.style)
    };
    Ok(Answer::with_exit(text, exit(&incident, check)))
}

fn exit(incident: &Incident, check: bool) -> Exit {
    match check && incident.state == IncidentState::Open {
        true => Exit::Findings,
        false => Exit::Done,
    }
}
