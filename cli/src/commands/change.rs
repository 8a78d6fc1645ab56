//! `firstlook change`: what somebody tells of changes.

use std::io::Read;
use std::path::Path;

use firstlook_model::{Change, ChangeKind, Timestamp};
use firstlook_proto::wire;
use serde_json::json;

use super::Context;
use crate::Answer;
use crate::args::ChangeSort;
use crate::exit::Failure;
use crate::json;
use crate::render::escape;
use crate::when;

/// Longest detail, in bytes.
const DETAIL_LIMIT_BYTES: u64 = 64 * 1024;

/// What is announced.
pub struct Announced {
    pub about: String,
    pub text: String,
    pub kind: ChangeSort,
    pub id: Option<String>,
    pub at: Option<String>,
    pub detail: Option<std::path::PathBuf>,
}

pub async fn add(mut context: Context, announced: Announced) -> Result<Answer, Failure> {
    let time = announced.at.map(|at| when::instant(&at, context.now));
    let detail = announced.detail.map(|file| read(&file)).transpose()?;
    let request = wire::AddChangeRequest {
        about: announced.about,
        kind: sort(announced.kind).into(),
        text: announced.text,
        detail: detail.unwrap_or_default(),
        id: announced.id.unwrap_or_default(),
        time: time.transpose()?.map_or(0, Timestamp::as_micros),
    };
    let reply = context.client.add_change(request).await?.into_inner();
    let change = reply.change.unwrap_or_default();
    let change = Change::try_from(change)?;
    let text = if context.json {
        let document = json!({ "change": json::change(&change), "known": reply.known });
        json::document("change-added", document)?
    } else {
        told(&change, reply.known)
    };
    Ok(Answer::done(text))
}

/// What came of it. `known`: it was announced before.
fn told(change: &Change, known: bool) -> String {
    let what = match known {
        true => "was announced before",
        false => "is announced",
    };
    let component = escape(&change.component.label());
    let mut text = format!(
        "{} of {component} {what}: {}\n",
        escape(&change.id),
        escape(&change.text)
    );
    if change.kind == ChangeKind::Accepted {
        let came = match known {
            true => "What was usual was forgotten then, and is not forgotten again.".to_owned(),
            false => format!(
                "What was usual of {component} is forgotten, and learned anew from what it does now.\nFixed limits, failures, refusals and silence stay what they are."
            ),
        };
        text.push_str(&format!("{came}\n"));
    }
    text
}

/// A file's contents, or those of standard input.
fn read(file: &Path) -> Result<String, Failure> {
    let unread = |error: std::io::Error| {
        Failure::failed(format!("{} cannot be read: {error}", file.display()))
    };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(DETAIL_LIMIT_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        let opened = std::fs::File::open(file).map_err(unread)?;
        opened.take(DETAIL_LIMIT_BYTES + 1).read_to_end(&mut bytes)
    }
    .map_err(unread)?;
    if bytes.len() as u64 > DETAIL_LIMIT_BYTES {
        return Err(Failure::usage(format!(
            "{} holds more than {DETAIL_LIMIT_BYTES} bytes: cut it, or name where it can be read",
            file.display()
        )));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn sort(sort: ChangeSort) -> wire::ChangeKind {
    match sort {
        ChangeSort::Deploy => wire::ChangeKind::Deploy,
        ChangeSort::Package => wire::ChangeKind::Package,
        ChangeSort::UnitFile => wire::ChangeKind::UnitFile,
        ChangeSort::ConfigFile => wire::ChangeKind::ConfigFile,
        ChangeSort::Binary => wire::ChangeKind::Binary,
        ChangeSort::Restart => wire::ChangeKind::Restart,
        ChangeSort::Setting => wire::ChangeKind::Setting,
        ChangeSort::Schedule => wire::ChangeKind::Schedule,
        ChangeSort::Certificate => wire::ChangeKind::Certificate,
        ChangeSort::Image => wire::ChangeKind::Image,
        ChangeSort::Accepted => wire::ChangeKind::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ChangeKind) -> Change {
        Change {
            id: "announced:7".to_owned(),
            time: Timestamp::from_secs(1_700_000_000),
            component: "service:app1/shop.service".parse().unwrap(),
            kind,
            text: "twice the customers".to_owned(),
            detail: String::new(),
        }
    }

    #[test]
    fn an_acceptance_says_what_is_forgotten_and_what_is_not() {
        let line = "announced:7 of app1/shop.service is announced: twice the customers\n";
        assert_eq!(told(&change(ChangeKind::Deploy), false), line);
        let accepted = told(&change(ChangeKind::Accepted), false);
        assert_eq!(
            accepted.strip_prefix(line).unwrap(),
            "What was usual of app1/shop.service is forgotten, and learned anew from what it does now.\n\
             Fixed limits, failures, refusals and silence stay what they are.\n"
        );
        let again = told(&change(ChangeKind::Accepted), true);
        assert!(again.contains("was announced before") && again.contains("not forgotten again"));
    }

    /// What can be said at the command line is what goes over the wire, under the same name.
    #[test]
    fn every_sort_is_the_kind_of_its_name() {
        use clap::ValueEnum;
        for each in ChangeSort::value_variants() {
            let name = each.to_possible_value().unwrap().get_name().to_owned();
            let kind = ChangeKind::try_from(sort(*each)).unwrap();
            assert_eq!(json!(kind), json!(name));
        }
    }
}
