//! `firstlook change`: what somebody tells of changes.

use std::io::Read;
use std::path::Path;

use firstlook_model::{Change, Timestamp};
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
        let what = match reply.known {
            true => "was announced before",
            false => "is announced",
        };
        format!(
            "{} of {} {what}: {}\n",
            escape(&change.id),
            escape(&change.component.label()),
            escape(&change.text)
        )
    };
    Ok(Answer::done(text))
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
    }
}
