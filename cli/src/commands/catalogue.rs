//! `firstlook catalogue`: kinds of faults, ours and the team's.

use std::path::{Path, PathBuf};

use firstlook_proto::wire;
use serde_json::json;

use super::Context;
use crate::Answer;
use crate::args::Catalogue;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::{counted, escape, table, wrap};

/// Most of all files together, in bytes: what the collector takes, less what names and lengths need.
const FILES_LIMIT_BYTES: usize = 960 * 1024;

pub async fn run(context: Context, command: Catalogue) -> Result<Answer, Failure> {
    match command {
        Catalogue::List => list(context).await,
        Catalogue::Explain { fault } => explain(context, fault).await,
        Catalogue::Lint { files } => lint(context, &files).await,
    }
}

async fn list(mut context: Context) -> Result<Answer, Failure> {
    let request = wire::ListFaultsRequest {};
    let reply = context.diagnosis.list_faults(request).await?.into_inner();
    if context.json {
        let fault = |fault: &wire::FaultKind| {
            json!({
                "fault": fault.fault,
                "components": fault.components,
                "summary": fault.summary,
                "file": (!fault.file.is_empty()).then_some(&fault.file),
            })
        };
        let document = json!({ "faults": reply.faults.iter().map(fault).collect::<Vec<_>>() });
        return Ok(Answer::done(json::document("faults", document)?));
    }
    let mut rows = vec![["FAULT", "SAYS"].map(str::to_owned).to_vec()];
    for fault in &reply.faults {
        let summary = match fault.file.is_empty() {
            true => fault.summary.clone(),
            false => format!("{} ({})", fault.summary, fault.file),
        };
        rows.push(vec![escape(&fault.fault), escape(&summary)]);
    }
    Ok(Answer::done(table(&rows)))
}

async fn explain(mut context: Context, fault: String) -> Result<Answer, Failure> {
    let request = wire::ExplainFaultRequest {
        fault: fault.clone(),
    };
    let reply = context.diagnosis.explain_fault(request).await?.into_inner();
    if context.json {
        let document = json!({ "fault": fault, "text": reply.text });
        return Ok(Answer::done(json::document("fault", document)?));
    }
    Ok(Answer::done(page(&reply.text)))
}

/// Wrapped lines; the command after the question stays whole, to be copied.
fn page(text: &str) -> String {
    let mut out = String::new();
    let mut is_command = false;
    for line in text.lines() {
        let said = line.trim_start();
        let indent = line.len() - said.len();
        let shown = match is_command {
            true => escape(said),
            false => wrap(&escape(said), indent + 2),
        };
        out.push_str(&format!("{}{shown}\n", " ".repeat(indent)));
        is_command = said.starts_with("ask: ");
    }
    out
}

async fn lint(mut context: Context, paths: &[PathBuf]) -> Result<Answer, Failure> {
    let files = read(paths)?;
    let number = files.len() as u64;
    let request = wire::CheckCatalogueRequest { files };
    let reply = context
        .diagnosis
        .check_catalogue(request)
        .await?
        .into_inner();
    let exit = match reply.remarks.iter().any(|remark| remark.wrong) {
        true => Exit::Findings,
        false => Exit::Done,
    };
    let text = if context.json {
        let remark = |remark: &wire::CatalogueRemark| {
            json!({
                "file": remark.file,
                "line": (remark.line != 0).then_some(remark.line),
                "wrong": remark.wrong,
                "text": remark.text,
            })
        };
        let document = json!({
            "faults": reply.faults,
            "remarks": reply.remarks.iter().map(remark).collect::<Vec<_>>(),
        });
        json::document("catalogue-checked", document)?
    } else {
        let mut text: String = reply.remarks.iter().map(line).collect();
        let faults = counted(u64::from(reply.faults), "kind");
        let of = counted(number, "file");
        text.push_str(&format!("{faults} of fault can be used of {of}\n"));
        text
    };
    Ok(Answer::with_exit(text, exit))
}

/// `FILE:LINE: what`, as compilers say it.
fn line(remark: &wire::CatalogueRemark) -> String {
    let place = match remark.line {
        0 => String::new(),
        line => format!(":{line}"),
    };
    let word = match remark.wrong {
        true => "wrong",
        false => "note",
    };
    let text = escape(&remark.text);
    format!("{}{place}: {word}: {text}\n", escape(&remark.file))
}

/// The files, and of folders those whose names end in `.toml`. The collector knows a file by its name alone.
fn read(paths: &[PathBuf]) -> Result<Vec<wire::CatalogueFile>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| unread(path, &error))?;
        let mut of_folder = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| unread(path, &error))?.path();
            if file.extension().is_some_and(|end| end == "toml") {
                of_folder.push(file);
            }
        }
        if of_folder.is_empty() {
            let message = format!("{} holds no .toml file", path.display());
            return Err(Failure::usage(message));
        }
        of_folder.sort();
        files.append(&mut of_folder);
    }
    let mut total = 0;
    let mut read = Vec::with_capacity(files.len());
    for path in &files {
        let size = std::fs::metadata(path)
            .map_err(|error| unread(path, &error))?
            .len();
        total += usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(FILES_LIMIT_BYTES + 1);
        if total > FILES_LIMIT_BYTES {
            let message = format!(
                "the files have more than {FILES_LIMIT_BYTES} bytes: look over fewer at once"
            );
            return Err(Failure::usage(message));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unread(path, &error))?;
        let name = path.file_name().unwrap_or_default();
        read.push(wire::CatalogueFile {
            name: name.to_string_lossy().into_owned(),
            text,
        });
    }
    Ok(read)
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fits_a_terminal_and_its_command_stays_whole() {
        let long = "word ".repeat(30);
        let command = format!("  grep {}", "x".repeat(90));
        let shown = page(&format!(
            "it shows:\n  must: {long}\nask: {long}\n{command}\ntags: {long}"
        ));
        let (whole, wrapped): (Vec<&str>, Vec<&str>) =
            shown.lines().partition(|line| line.contains("grep"));
        assert_eq!(whole, [command]);
        assert!(wrapped.iter().all(|line| line.len() <= 80), "{shown}");
        assert!(
            wrapped.len() >= 7 && shown.contains("\n  must: word"),
            "{shown}"
        );
    }
}
