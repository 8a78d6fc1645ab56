//! `firstlook case`: an incident as a folder that `firstlook-collector replay` reads, so that it can become a test.
//! `docs/replay.md` is its form.

mod about;
mod ask;
mod folder;
mod heard;
mod limits;
mod lines;
mod names;
mod near;
mod recording;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlook_model::{
    Change, ComponentId, ComponentKind, Incident, IncidentId, LogEntry, TimeRange, Timestamp,
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::folder::Folder;
use self::heard::Kept;
use self::lines::Lines;
use self::near::Near;
use self::recording::{Listed, Recording, Written};
use super::Context;
use crate::Answer;
use crate::args::Case;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::{counted, escape, wrap};

type Calls = BTreeSet<(ComponentId, ComponentId)>;

/// What is to be written, and of what.
struct Asked {
    incident: Incident,
    range: TimeRange,
    calls: Calls,
    truth: Option<ComponentId>,
    fault: Option<String>,
}

/// How much was written.
struct Sizes {
    written: Written,
    calls: usize,
    log_lines: usize,
    changes: usize,
    heard: Option<Kept>,
}

pub async fn run(context: Context, command: Case) -> Result<Answer, Failure> {
    match command {
        Case::Export {
            incident,
            out,
            before,
            truth,
            fault,
        } => {
            let truth = (truth, fault);
            let exported = export(context, &incident, out, before, truth);
            until_stopped(exported, stopped()).await
        }
    }
}

/// Does what is to be done unless it is stopped: then what it holds is let go, and no half of a case stays behind.
async fn until_stopped(
    exported: impl Future<Output = Result<Answer, Failure>>,
    stopped: impl Future<Output = ()>,
) -> Result<Answer, Failure> {
    tokio::select! {
        done = exported => done,
        () = stopped => Err(Failure::failed("stopped: nothing was written")),
    }
}

/// Waits for Ctrl-C or a request to end. Who cannot be told of them is ended by them, as ever.
async fn stopped() {
    let told = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = told else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn export(
    mut context: Context,
    incident: &str,
    out: Option<PathBuf>,
    before: u32,
    (truth, fault): (Option<String>, Option<String>),
) -> Result<Answer, Failure> {
    let id: IncidentId = incident.parse().map_err(|_| {
        Failure::usage(format!(
            "{incident:?} is no incident's number: `firstlook status` lists them, as INC-0042"
        ))
    })?;
    let Context {
        client, diagnosis, ..
    } = &mut context;
    let incident = ask::incident(client, id.to_string()).await?;
    let place = out.unwrap_or_else(|| PathBuf::from(id.to_string()));
    let folder = Folder::prepare(&place)?;
    let before = Duration::from_secs(60 * u64::from(before));
    let now = ask::reference_time(client).await?;
    let (range, cut) = about::window(&incident, before, now);
    let calls = ask::calls(client, range).await?;
    let mut notes = Vec::new();
    if cut {
        notes.push(format!(
            "the case ends at {}, before the incident did: a recording may have {} rows",
            range.to,
            limits::ROWS
        ));
    }
    let listed = listed(client, range).await?;
    let truth = truth
        .map(|text| settled(&text, &listed, &calls))
        .transpose()?;
    let asked = Asked {
        incident,
        range,
        calls,
        truth,
        fault,
    };
    let mut sizes = write(client, &folder, &asked, listed, &mut notes).await?;
    let near = Near::new(&asked.incident, asked.truth.as_ref(), &asked.calls);
    sizes.heard = heard::write((client, diagnosis), &folder, range, &near, &mut notes).await?;
    folder.finish()?;
    let text = match context.json {
        true => json::document("case", document(&asked, &place, &sizes, &notes))?,
        false => screen(&asked, &place, &sizes),
    };
    Ok(Answer::with_notes(text, notes))
}

/// Every series of every host in the range.
async fn listed(client: &mut Client, range: TimeRange) -> Result<Vec<Listed>, Failure> {
    let mut all = Vec::new();
    for host in ask::hosts(client).await? {
        all.extend(ask::series(client, &host, range).await?);
    }
    Ok(all)
}

/// The component that a text means: an id, or a label of one that is seen in the range.
fn settled(text: &str, listed: &[Listed], calls: &Calls) -> Result<ComponentId, Failure> {
    if let Ok(component) = text.parse() {
        return Ok(component);
    }
    let ends = calls.iter().flat_map(|(caller, callee)| [caller, callee]);
    let seen: BTreeSet<&ComponentId> = listed.iter().map(|l| &l.component).chain(ends).collect();
    let means = |component: &&&ComponentId| {
        let label = component.label();
        component.kind() != ComponentKind::Agent
            && (label == text || label.strip_suffix(".service") == Some(text))
    };
    let meant: Vec<_> = seen.iter().filter(means).collect();
    match meant[..] {
        [one] => Ok((**one).clone()),
        [one, other, ..] => Err(Failure::usage(format!(
            "--truth {text} may mean {one} or {other}: say which"
        ))),
        [] => Err(Failure {
            exit: Exit::NotFound,
            message: format!(
                "--truth: no component was seen then that is named {text:?}: `firstlook map --all` lists them"
            ),
        }),
    }
}

async fn write(
    client: &mut Client,
    folder: &Folder,
    asked: &Asked,
    listed: Vec<Listed>,
    notes: &mut Vec<String>,
) -> Result<Sizes, Failure> {
    let range = asked.range;
    let near = Near::new(&asked.incident, asked.truth.as_ref(), &asked.calls);
    let (written, without_room) = recorded(client, range, listed, &near).await?;
    left_out(notes, without_room, "series", "metrics.csv");

    let mut logs = Lines::new();
    let take = |entry: LogEntry| {
        logs.push(
            near.steps(&entry.component),
            entry.time,
            &lines::of_log(&entry),
        );
    };
    if ask::logs(client, range, take).await? {
        notes.push("logs.ndjson: more lines were written in a second than can be asked for; the older ones of it are left out".to_owned());
    }
    left_out(notes, logs.left_out, "lines", "logs.ndjson");

    if written.seconds.is_none() && logs.count() == 0 {
        return Err(Failure {
            exit: Exit::NotFound,
            message: format!(
                "nothing is kept of the time from {} to {}, neither samples nor log lines: {} is older than what the collector keeps (its --retention-days and --retention-gib), or its hosts sent none",
                range.from, range.to, asked.incident.id
            ),
        });
    }
    note_gaps(notes, asked, &written);

    let mut changes = Lines::new();
    for change in changed(client, asked).await? {
        changes.push(
            near.steps(&change.component),
            change.time,
            &lines::of_change(&change),
        );
    }
    left_out(notes, changes.left_out, "changes", "changes.ndjson");

    let (edges, calls, calls_left_out) = graph(&asked.calls, &near);
    left_out(notes, calls_left_out, "calls", "edges.csv");

    let normal_from = written.seconds.map(|(first, _)| first);
    let truth = asked
        .truth
        .as_ref()
        .map(|component| (component, asked.fault.as_deref()));
    let about = about::document(&asked.incident, range, normal_from, truth);
    let about = serde_json::to_string_pretty(&about);
    let about = about.map_err(|error| Failure::failed(error.to_string()))? + "\n";
    let (log_lines, changed) = (logs.count(), changes.count());
    folder.write("case.json", &about)?;
    folder.write("metrics.csv", &written.text)?;
    folder.write("edges.csv", &edges)?;
    folder.write("logs.ndjson", &logs.text())?;
    folder.write("changes.ndjson", &changes.text())?;
    Ok(Sizes {
        written,
        calls,
        log_lines,
        changes: changed,
        heard: None,
    })
}

/// The recording, and how many series had no room in it.
async fn recorded(
    client: &mut Client,
    range: TimeRange,
    listed: Vec<Listed>,
    near: &Near,
) -> Result<(Written, usize), Failure> {
    let (mut recording, without_room) = Recording::new(listed, near, range);
    for host in recording.hosts() {
        ask::samples(client, &host, range, &mut recording).await?;
    }
    let written = recording.written();
    let without_room = without_room + written.left_out;
    Ok((written, without_room))
}

/// Changes in the range, and those that the verdict weighs, however old.
async fn changed(client: &mut Client, asked: &Asked) -> Result<Vec<Change>, Failure> {
    let mut all = ask::changes(client, asked.range).await?;
    let weighed = asked.incident.verdict.changes.iter().map(|c| &c.change);
    for change in weighed {
        let known = all
            .iter()
            .any(|c| c.id == change.id && c.component == change.component);
        if !known && change.time < asked.range.to {
            all.push(change.clone());
        }
    }
    all.sort_by_key(|change| change.time);
    Ok(all)
}

/// `edges.csv`, how many calls it has, and how many have no room: the farthest from the incident.
fn graph(calls: &Calls, near: &Near) -> (String, usize, usize) {
    let mut sorted: Vec<_> = calls.iter().collect();
    sorted.sort_by_key(|(caller, callee)| near.steps(caller).min(near.steps(callee)));
    let mut bytes = "caller,callee\n".len();
    let mut rows = BTreeSet::new();
    for (caller, callee) in sorted.into_iter().take(limits::CALLS) {
        let row = format!(
            "{},{}\n",
            names::component(caller),
            names::component(callee)
        );
        bytes += row.len();
        if bytes > limits::FILE_BYTES {
            break;
        }
        rows.insert(row);
    }
    let mut text = "caller,callee\n".to_owned();
    text.extend(rows.iter().map(String::as_str));
    (text, rows.len(), calls.len() - rows.len())
}

fn left_out(notes: &mut Vec<String>, count: usize, what: &str, file: &str) {
    if count > 0 {
        notes.push(format!(
            "{file}: {count} {what} are left out, those farthest from the incident: `firstlook-collector replay` reads no more"
        ));
    }
}

fn note_gaps(notes: &mut Vec<String>, asked: &Asked, written: &Written) {
    let Some((first, _)) = written.seconds else {
        notes.push("no series was reported then: replay will rank nobody".to_owned());
        return;
    };
    let began = Timestamp::from_secs(first);
    if began > asked.incident.began {
        notes.push(format!(
            "nothing is kept of before {began}, which is after the incident began: replay has nothing to compare with"
        ));
    }
    if let Some(truth) = &asked.truth
        && !written.components.contains(&names::component(truth))
    {
        notes.push(format!(
            "--truth {truth}: no series of it was reported then, so replay cannot rank it"
        ));
    }
}

fn document(asked: &Asked, place: &Path, sizes: &Sizes, notes: &[String]) -> serde_json::Value {
    json!({
        "incident": asked.incident.id.to_string(),
        "folder": place,
        "range": asked.range,
        "series": sizes.written.columns,
        "rows": rows(&sizes.written),
        "edges": sizes.calls,
        "log_lines": sizes.log_lines,
        "changes": sizes.changes,
        "records": sizes.heard.map(|kept| kept.records),
        "notes": notes,
    })
}

fn rows(written: &Written) -> u64 {
    let rows = |(first, last): (i64, i64)| last.abs_diff(first) + 1;
    written.seconds.map_or(0, rows)
}

fn screen(asked: &Asked, place: &Path, sizes: &Sizes) -> String {
    let folder = escape(&place.display().to_string());
    let holds = format!(
        "{} in {folder}: {} series over {}, {}, {}, {}",
        asked.incident.id,
        sizes.written.columns,
        counted(rows(&sizes.written), "second"),
        counted(sizes.calls as u64, "call"),
        counted(sizes.log_lines as u64, "log line"),
        counted(sizes.changes as u64, "change"),
    );
    let holds = match sizes.heard {
        Some(kept) => format!(
            "{holds}, {} as they were heard of {}",
            counted(kept.records, "record"),
            counted(kept.hosts as u64, "host"),
        ),
        None => holds,
    };
    format!(
        "{}\nreplay it: firstlook-collector replay {folder}\n",
        wrap(&holds, 2)
    )
}

#[cfg(test)]
mod tests;
