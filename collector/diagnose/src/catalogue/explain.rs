//! The catalogue in words: one fault for a person, and all of them as a page.

use super::{Catalogue, Fault, Level, Prediction, Relation};

impl Catalogue {
    /// One fault kind in words: what it is, what it shows and where, what speaks against it, how to confirm it. Many
    /// lines, plain text; `None` when there is no such kind.
    pub fn explain(&self, kind: &str) -> Option<String> {
        let fault = self.fault(kind)?;
        let mut lines = vec![
            format!("{}: {}", fault.kind, plain(&fault.summary)),
            format!("of: {}", kinds_of(fault)),
            format!("before any fact: {:+.0} dB", fault.prior_db),
        ];
        if fault.needs_sign {
            lines.push("thought of only where everything that it must show is seen".to_owned());
        }
        if !fault.well.is_empty() {
            lines.push(format!(
                "and where these are seen to be well meanwhile: {}",
                fault.well.join(", ")
            ));
        }
        lines.push(String::new());
        lines.push("it shows:".to_owned());
        lines.extend(fault.predicts.iter().map(|p| self.prediction(p)));
        if let Some(change) = &fault.change {
            let kinds: Vec<&str> = change.kinds.iter().map(|rate| word(rate.kind)).collect();
            let need = if change.required {
                "needs"
            } else {
                "likely after"
            };
            lines.push(format!(
                "  {need} a change ({}) within {:.0} min before",
                kinds.join(", "),
                change.window_s / 60.0
            ));
        }
        if !fault.forbids.is_empty() {
            lines.push(String::new());
            lines.push("against it speaks:".to_owned());
            lines.extend(fault.forbids.iter().map(|forbidden| {
                let words = self.words_of(&forbidden.any);
                let at = places(&forbidden.at);
                format!("  {words} at {at} ({:+.0} dB)", forbidden.weight_db)
            }));
        }
        lines.push(String::new());
        lines.push(format!("it is over when: {}", fault.looks_when_fixed));
        lines.push(format!("ask: {}", fault.question.text));
        lines.push(format!("  {}", fault.question.command));
        if !fault.tags.is_empty() {
            lines.push(format!("runbook tags: {}", fault.tags.join(", ")));
        }
        Some(lines.join("\n") + "\n")
    }

    /// A fault's summary without the names of one place.
    pub fn plain_summary(&self, fault: &Fault) -> String {
        plain(&fault.summary)
    }

    /// Every fault kind as a page of Markdown, as `docs/catalogue.md` is written.
    pub fn page(&self) -> String {
        let mut page = PREAMBLE.to_owned();
        page.push_str(
            "| kind | of | says | must show | over when |\n| --- | --- | --- | --- | --- |\n",
        );
        for fault in self.faults() {
            let must = fault.predicts.iter().filter(|p| p.level == Level::Must);
            let must: Vec<String> = must
                .map(|p| format!("{} at {}", ids(&p.any), places(&p.at)))
                .collect();
            let row = [
                format!("`{}`", fault.kind),
                kinds_of(fault),
                plain(&fault.summary),
                must.join("; and "),
                fault.looks_when_fixed.clone(),
            ];
            page.push_str(&format!(
                "| {} |\n",
                row.map(|cell| cell.replace('|', "\\|")).join(" | ")
            ));
        }
        page.push_str(SYMPTOMS);
        page.push_str("| symptom | family | beside others' faults | on victims | what it is |\n| --- | --- | --- | --- | --- |\n");
        for (kind, known) in &self.symptoms {
            page.push_str(&format!(
                "| `{kind}` | {} | {:.1}% | {:.1}% | {} |\n",
                known.family,
                known.base_rate * 100.0,
                known.victim_rate * 100.0,
                known.words
            ));
        }
        page
    }

    fn prediction(&self, prediction: &Prediction) -> String {
        let level = match prediction.level {
            Level::Must => "must",
            Level::Should => "should",
            Level::May => "may",
        };
        let words = self.words_of(&prediction.any);
        let at = places(&prediction.at);
        let p = prediction.p * 100.0;
        match prediction.lag_s {
            lag_s if lag_s > 0.0 => {
                format!("  {level}: {words} at {at} ({p:.0}%, within {lag_s:.0} s)")
            }
            _ => format!("  {level}: {words} at {at} ({p:.0}%)"),
        }
    }

    fn words_of(&self, kinds: &[String]) -> String {
        let word = |kind: &String| match self.symptoms.get(kind) {
            Some(known) => known.words.clone(),
            None if kind == "*" => "anything of its own".to_owned(),
            None => kind.clone(),
        };
        kinds.iter().map(word).collect::<Vec<_>>().join(" or ")
    }
}

const PREAMBLE: &str = "\
# The catalogue of faults

Written by `cargo run -p firstlook-diagnose --example catalogue > docs/catalogue.md` from the files in
`collector/diagnose/catalogue`, and held to them by a test: do not edit by hand.

One TOML file per way to fail: what can have it, what it shows and where, what speaks against it, how it looks when it is
over, and the read-only question that confirms it.

- **must**: where it is measured and not seen, the fault is all but excluded; **should** counts against, **may** does not.
- `needs_sign = true`: the fault is thought of only where everything that it must show is seen.
- `well = [...]`: and where these families of signals were attested at the component after it began.
- `at`: `self`, `its-host`, `its-filesystem`, `interface`, `services-on-it`, `filesystems-on-it`, `users`, `callers`,
  `callees`, `edges`, `neighbours`, `peers`, `remote-hosts`. With several places, or `any_place = true`, one is enough.
- Weights are decibans: ten times the logarithm of how much likelier a fact is with the fault than without it.

## Faults

";

const SYMPTOMS: &str = "
## Symptoms

How often each stands beside faults that it has nothing to do with, and on components that only depend on what fails.

";

fn plain(summary: &str) -> String {
    crate::suspect::fill(summary, |word| match word {
        "component" => Some("the component".to_owned()),
        "name" => Some("it".to_owned()),
        "host" => Some("its host".to_owned()),
        _ => None,
    })
}

fn kinds_of(fault: &Fault) -> String {
    let of = fault.components.iter().chain(&fault.otherwise);
    of.map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

fn ids(kinds: &[String]) -> String {
    let quoted: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    quoted.join(" or ")
}

fn places(at: &[Relation]) -> String {
    at.iter()
        .map(|r| r.as_str())
        .collect::<Vec<_>>()
        .join(" or ")
}

fn word(kind: firstlook_model::ChangeKind) -> &'static str {
    use firstlook_model::ChangeKind::*;
    match kind {
        Deploy => "deploy",
        Package => "package",
        UnitFile => "unit file",
        ConfigFile => "configuration",
        Binary => "program",
        Restart => "restart",
        Stop => "stop",
        Reboot => "reboot",
        Setting => "kernel setting",
        Mount => "mount",
        Login => "login",
        Schedule => "schedule",
        Certificate => "certificate",
        Image => "image",
        Accepted => "acceptance",
    }
}
