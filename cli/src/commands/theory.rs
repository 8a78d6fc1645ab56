//! `firstlook theory`: what people suspect, weighed by the facts.

use firstlook_model::{Suspect, Timestamp};
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Theory;
use crate::exit::Failure;
use crate::json;
use crate::render::incident::theory as screen;
use crate::render::{age, escape};

/// A theory as it came.
struct Told {
    suspect: Suspect,
    added: Timestamp,
    added_by: String,
}

impl TryFrom<wire::Theory> for Told {
    type Error = Failure;

    fn try_from(theory: wire::Theory) -> Result<Self, Failure> {
        let suspect = theory.suspect;
        let suspect = suspect.ok_or_else(|| Failure::failed("the answer holds no suspect"))?;
        Ok(Self {
            suspect: suspect.try_into()?,
            added: Timestamp::from_micros(theory.added),
            added_by: theory.added_by,
        })
    }
}

impl Told {
    fn json(&self) -> Value {
        json!({
            "suspect": json::suspect(&self.suspect),
            "added": self.added,
            "added_by": self.added_by,
        })
    }
}

pub async fn run(context: Context, command: Theory) -> Result<Answer, Failure> {
    match command {
        Theory::Add {
            incident,
            component,
            fault,
        } => add(context, incident, component, fault).await,
        Theory::List { incident } => list(context, incident).await,
    }
}

async fn add(
    mut context: Context,
    incident: String,
    component: String,
    fault: Option<String>,
) -> Result<Answer, Failure> {
    let request = wire::AddTheoryRequest {
        incident,
        component,
        fault: fault.unwrap_or_default(),
    };
    let reply = context.diagnosis.add_theory(request).await?.into_inner();
    let theory = reply.theory.unwrap_or_default();
    let theory = Told::try_from(theory)?;
    if context.json {
        let document = json!({
            "incident": reply.incident,
            "theory": theory.json(),
            "known": reply.known,
            "place": (reply.place != 0).then_some(reply.place),
        });
        return Ok(Answer::done(json::document("theory-added", document)?));
    }
    let said = match reply.known {
        true => format!("first told by {}", theory.added_by),
        false => format!("kept with {}", reply.incident),
    };
    let place = match reply.place {
        0 => "the engine does not suspect it".to_owned(),
        1 => "the engine suspects it first".to_owned(),
        place => format!("the engine lists it as suspect {place}"),
    };
    let said = format!("{said}; {place}");
    let text = screen(&theory.suspect, &said, context.now, context.style);
    Ok(Answer::done(text))
}

async fn list(mut context: Context, incident: Option<String>) -> Result<Answer, Failure> {
    let request = wire::ListTheoriesRequest {
        incident: incident.unwrap_or_default(),
    };
    let reply = context.diagnosis.list_theories(request).await?.into_inner();
    let theories = reply.theories.into_iter().map(Told::try_from);
    let theories: Vec<Told> = theories.collect::<Result<_, _>>()?;
    if context.json {
        let document = json!({
            "incident": reply.incident,
            "fresh": reply.fresh,
            "theories": theories.iter().map(Told::json).collect::<Vec<_>>(),
        });
        return Ok(Answer::done(json::document("theories", document)?));
    }
    if theories.is_empty() {
        let incident = escape(&reply.incident);
        return Ok(Answer::done(format!(
            "nobody has told a theory about {incident}: `firstlook theory add {incident} COMPONENT`\n"
        )));
    }
    let weighed = match reply.fresh {
        true => "weighed by what is seen now",
        false => "closed: as they were weighed last",
    };
    let mut out = format!("{}  {weighed}\n", escape(&reply.incident));
    for theory in &theories {
        let ago = age(theory.added, context.now);
        let said = format!("told by {} {ago} ago", theory.added_by);
        out.push('\n');
        out.push_str(&screen(&theory.suspect, &said, context.now, context.style));
    }
    Ok(Answer::done(out))
}
