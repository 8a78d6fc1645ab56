//! `firstlook snapshot`.

use std::io::Write;
use std::path::{Path, PathBuf};

use firstlook_model::{Manifest, Timestamp};
use firstlook_proto::convert::manifest_from_wire;
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Snapshot;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::{clock, escape, table, wrap};

pub async fn run(context: Context, command: Snapshot) -> Result<Answer, Failure> {
    match command {
        Snapshot::Take { host, reason } => take(context, host, reason).await,
        Snapshot::List { host } => list(context, host).await,
        Snapshot::Show { id } => show(context, id).await,
        Snapshot::Verify { id } => verify(context, id).await,
        Snapshot::Fetch { id, output } => fetch(context, id, output).await,
    }
}

async fn take(mut context: Context, host: String, reason: String) -> Result<Answer, Failure> {
    let request = wire::TakeSnapshotRequest { host, reason };
    let reply = context.client.take_snapshot(request).await?.into_inner();
    let view = reply
        .snapshot
        .ok_or_else(|| Failure::failed("the answer holds no snapshot"))?;
    let text = match context.json {
        true => json::document("snapshot", document(&view))?,
        false => format!(
            "{}\n{} items, {} KiB, verified; {} could not be had\n\
             see: firstlook snapshot show {}\n",
            escape(&view.id),
            view.items,
            view.size_bytes.div_ceil(1_024),
            view.missing,
            escape(&view.id)
        ),
    };
    Ok(Answer::done(text))
}

async fn list(mut context: Context, host: Option<String>) -> Result<Answer, Failure> {
    let request = wire::ListSnapshotsRequest {
        host: host.unwrap_or_default(),
    };
    let reply = context.client.list_snapshots(request).await?.into_inner();
    if context.json {
        let all: Vec<Value> = reply.snapshots.iter().map(document).collect();
        return Ok(Answer::done(json::document(
            "snapshots",
            json!({ "snapshots": all }),
        )?));
    }
    if reply.snapshots.is_empty() {
        return Ok(Answer::done("no snapshots\n".to_owned()));
    }
    let mut rows = vec![
        ["ID", "TAKEN", "KIB", "REASON"]
            .iter()
            .map(|s| (*s).to_owned())
            .collect(),
    ];
    for view in &reply.snapshots {
        rows.push(vec![
            escape(&view.id),
            clock(Timestamp::from_micros(view.taken), context.now),
            view.size_bytes.div_ceil(1_024).to_string(),
            escape(&view.reason),
        ]);
    }
    Ok(Answer::done(table(&rows)))
}

fn document(view: &wire::SnapshotView) -> Value {
    json!({
        "id": view.id,
        "host": view.host,
        "taken": Timestamp::from_micros(view.taken),
        "taken_by": view.taken_by,
        "reason": view.reason,
        "size_bytes": view.size_bytes,
        "sha256": view.sha256,
        "items": view.items,
        "missing": view.missing,
    })
}

async fn show(mut context: Context, id: String) -> Result<Answer, Failure> {
    let reply = context
        .client
        .show_snapshot(wire::ShowSnapshotRequest { id })
        .await?
        .into_inner();
    let manifest = reply
        .manifest
        .ok_or_else(|| Failure::failed("the answer holds no manifest"))?;
    let manifest = manifest_from_wire(manifest)?;
    let text = match context.json {
        true => json::document(
            "manifest",
            json!({
                "snapshot": reply.snapshot.as_ref().map(document),
                "manifest": manifest,
            }),
        )?,
        false => contents(&manifest, context.now),
    };
    Ok(Answer::done(text))
}

fn contents(manifest: &Manifest, now: Timestamp) -> String {
    let mut out = format!(
        "{}  taken {} in {:.1} s\n",
        manifest.id,
        clock(manifest.began, now),
        manifest.ended.seconds_from(manifest.began)
    );
    if !manifest.reason.is_empty() {
        out.push_str(&format!("reason: {}\n", wrap(&escape(&manifest.reason), 8)));
    }
    let rows: Vec<_> = manifest
        .items
        .iter()
        .map(|item| {
            let cut = if item.truncated {
                ", cut off at its limit"
            } else {
                ""
            };
            vec![
                escape(&item.path),
                item.size_bytes.to_string(),
                format!("{}{cut}", escape(&item.what)),
            ]
        })
        .collect();
    out.push_str(&table(&rows));
    for missing in &manifest.missing {
        let text = format!("{}: {}", escape(&missing.what), escape(&missing.why));
        out.push_str(&format!("missing  {}\n", wrap(&text, 9)));
    }
    out
}

async fn verify(mut context: Context, id: String) -> Result<Answer, Failure> {
    let request = wire::VerifySnapshotRequest { id: id.clone() };
    let reply = context.client.verify_snapshot(request).await?.into_inner();
    let text = match (context.json, reply.intact) {
        (true, intact) => json::document(
            "verification",
            json!({ "id": id, "intact": intact, "problem": reply.problem, "items": reply.items }),
        )?,
        (false, true) => format!("intact: {} items match their hashes\n", reply.items),
        (false, false) => format!("DAMAGED: {}\n", wrap(&escape(&reply.problem), 9)),
    };
    let exit = if reply.intact {
        Exit::Done
    } else {
        Exit::Failed
    };
    Ok(Answer::with_exit(text, exit))
}

async fn fetch(
    mut context: Context,
    id: String,
    output: Option<PathBuf>,
) -> Result<Answer, Failure> {
    // The id is checked before it names a file.
    let name = firstlook_model::SnapshotId::new(id.clone())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let path = output.unwrap_or_else(|| PathBuf::from(format!("{name}.tar.zst")));
    let request = wire::FetchSnapshotRequest { id };
    let mut stream = context.client.fetch_snapshot(request).await?.into_inner();
    let failed =
        |e: std::io::Error| Failure::failed(format!("cannot write {}: {e}", path.display()));
    let part = part_path(&path);
    let mut file = std::fs::File::create(&part).map_err(failed)?;
    let mut size = 0usize;
    while let Some(reply) = stream.message().await? {
        size += reply.chunk.len();
        file.write_all(&reply.chunk).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    std::fs::rename(&part, &path).map_err(failed)?;
    let text = match context.json {
        true => json::document("fetched", json!({ "file": path, "size_bytes": size }))?,
        false => format!("{} ({} KiB)\n", path.display(), size.div_ceil(1_024)),
    };
    Ok(Answer::done(text))
}

/// Half a file never bears the whole one's name.
fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}
