//! Keeping drills as cases, which `firstlook-collector replay` takes the way that they took live.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::drill::Drill;
use crate::lab::product::Responder;
use crate::verdict::Truth;

/// How much of the time before an incident goes with it, in minutes. Other drills' incidents may be in it.
const BEFORE: &str = "5";

/// Keeps the incident of `why`, which is what the collector said last, in a folder of the drill's name.
///
/// # Errors
/// When there was no incident, or it cannot be kept.
pub fn keep(
    responder: &Responder,
    drill: &Drill,
    why: &Value,
    folder: &Path,
) -> anyhow::Result<()> {
    let incident = why["incident"]
        .as_str()
        .context("there is no incident to keep")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let place = folder.join(drill.name);
    let place_text = place.to_str().context("the folder's name is no text")?;
    let truth = drill.truth.components[0];
    let mut arguments = vec!["case", "export", incident, "--out", place_text];
    arguments.extend(["--before", BEFORE, "--truth", truth]);
    let ended = responder.ask_at_length(&arguments)?;
    ensure!(
        ended.code == Some(0),
        "case export: {}",
        ended.stderr.trim()
    );
    let about = place.join("case.json");
    let text = fs::read_to_string(&about).with_context(|| about.display().to_string())?;
    let mut case: Value = serde_json::from_str(&text).context("case.json")?;
    case["set"] = "drills".into();
    case["truth"] = truth_of(&drill.truth, drill.also.as_ref());
    fs::write(&about, case.to_string()).with_context(|| about.display().to_string())
}

/// Two things that are broken at once are each right, and then no kind is asked for.
fn truth_of(truth: &Truth, also: Option<&Truth>) -> Value {
    let others = truth.components[1..].iter();
    let also_named = also.map_or(&[][..], |also| also.components);
    let aliases: Vec<&str> = others.chain(also_named).copied().collect();
    let mut said = json!({ "component": truth.components[0], "aliases": aliases });
    if also.is_none() {
        said["fault"] = truth.fault.into();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Truth = Truth {
        components: &["interface:db1/eth0", "host:db1/link"],
        fault: "packet-loss",
        parts_of_host: None,
    };

    #[test]
    fn the_truth_has_every_name_and_of_two_no_kind() {
        assert_eq!(
            truth_of(&ONE, None),
            json!({ "component": "interface:db1/eth0", "aliases": ["host:db1/link"], "fault": "packet-loss" })
        );
        let other = Truth {
            components: &["service:app1/shop.service"],
            fault: "service-down",
            parts_of_host: None,
        };
        let both = truth_of(&ONE, Some(&other));
        assert_eq!(
            both["aliases"],
            json!(["host:db1/link", "service:app1/shop.service"])
        );
        assert!(both["fault"].is_null());
    }
}
