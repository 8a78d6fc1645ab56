//! An incident on one screen: what, cause, for and against, ruled out, blind, changed, what to look at next.

use firstlook_model::{
    BlindSpot, Cleared, ComponentKind, Evidence, Incident, IncidentState, Reference, Suspect,
    Timestamp, Verdict,
};

use super::text::{Style, Tone, escape, wrap};
use super::time::{age, clock, span};

/// Suspects shown in full; the others get a line.
const FULL_SUSPECTS: usize = 1;
/// Lines of each list before it is cut.
const LIST_LIMIT: usize = 6;
/// Suspects less probable than this are not worth a line when one is certain.
const FAINT_PROBABILITY: f64 = 0.01;

/// Every fact of a verdict that can be opened, in the order of its number on the screen, from 1.
pub fn openable(verdict: &Verdict) -> Vec<&Reference> {
    let shown = verdict.suspects.iter().take(FULL_SUSPECTS);
    let facts = shown.flat_map(|s| s.evidence_for.iter().chain(&s.evidence_against));
    let cleared = verdict
        .ruled_out
        .iter()
        .take(LIST_LIMIT)
        .flat_map(|c| &c.cleared_by);
    facts
        .chain(cleared)
        .filter_map(|e| e.reference.as_ref())
        .collect()
}

/// Cleared components for the screen: services before hosts before what is on them, otherwise as ranked.
fn shown_cleared(verdict: &Verdict) -> Vec<&Cleared> {
    let place = |c: &&Cleared| match c.component.kind() {
        ComponentKind::Service => 0,
        ComponentKind::Host => 1,
        ComponentKind::Interface => 2,
        _ => 3,
    };
    let mut all: Vec<_> = verdict.ruled_out.iter().collect();
    all.sort_by_key(place);
    all.truncate(LIST_LIMIT);
    all
}

/// Blind spots with the same text as one line: `host:a, host:b: text`.
pub fn joined(spots: &[BlindSpot]) -> Vec<String> {
    const NAMED: usize = 3;
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for spot in spots {
        let (text, name) = (escape(&spot.text), escape(&spot.component.to_string()));
        match lines.iter_mut().find(|(known, _)| *known == text) {
            Some((_, names)) => names.push(name),
            None => lines.push((text, vec![name])),
        }
    }
    let line = |(text, names): (String, Vec<String>)| {
        let more = names.len().saturating_sub(NAMED);
        let shown = names
            .iter()
            .take(NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        match more {
            0 => format!("{shown}: {text}"),
            more => format!("{shown} and {more} more: {text}"),
        }
    };
    lines.into_iter().map(line).collect()
}

/// Somebody's theory, with the facts for and against it. `said` goes first: whose it is.
pub fn theory(suspect: &Suspect, said: &str, now: Timestamp, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
        next: 1,
        numbered: false,
        now,
    };
    let tone = match suspect.probability >= 0.5 {
        true => Tone::Bad,
        false => Tone::Unsure,
    };
    page.named(tone, "THEORY", suspect);
    page.line(&format!("          {}", wrap(&escape(said), 10)));
    page.facts(suspect);
    page.out
}

/// The screen.
pub fn screen(incident: &Incident, now: Timestamp, style: Style) -> String {
    let mut page = Page {
        out: String::new(),
        style,
        next: 1,
        numbered: true,
        now,
    };
    page.head(incident);
    page.cause(&incident.verdict);
    page.ruled_out(&incident.verdict);
    page.blind(&incident.verdict);
    page.changed(&incident.verdict);
    page.tail(incident);
    page.out
}

struct Page {
    out: String,
    style: Style,
    /// Number of the next fact that can be opened.
    next: usize,
    /// Whether facts can be opened by their number.
    numbered: bool,
    now: Timestamp,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn heading(&mut self, tone: Tone, word: &str, text: &str) {
        let word = format!("{word:<10}");
        let painted = self.style.paint(tone, &word);
        let body = wrap(text, 10);
        self.line(&format!("{painted}{body}"));
    }

    fn head(&mut self, incident: &Incident) {
        let (state, tone) = match (incident.state, incident.closed) {
            (IncidentState::Open, _) => (
                format!("open {}", age(incident.opened, self.now)),
                Tone::Bad,
            ),
            (IncidentState::Closed, closed) => {
                let lasted = closed.unwrap_or(incident.opened).since(incident.began);
                (format!("closed, lasted {}", span(lasted)), Tone::Good)
            }
        };
        let id = self.style.paint(Tone::Strong, &incident.id.to_string());
        let state = self.style.paint(tone, &state);
        let began = clock(incident.began, self.now);
        self.line(&format!("{id}  {state}  began {began}"));
        let title = wrap(&escape(&incident.title), 0);
        self.line(&title);
        self.line("");
    }

    fn cause(&mut self, verdict: &Verdict) {
        if let Some(hesitation) = &verdict.hesitation {
            self.heading(Tone::Unsure, "UNSURE", &escape(hesitation));
        }
        for suspect in verdict.suspects.iter().take(FULL_SUSPECTS) {
            self.suspect(suspect);
        }
        let others = verdict.suspects.iter().skip(FULL_SUSPECTS);
        for other in others
            .filter(|s| s.probability >= FAINT_PROBABILITY)
            .take(LIST_LIMIT)
        {
            let text = format!(
                "{}  {}  {}  {:+.1} dB",
                escape(&other.component.to_string()),
                escape(&other.fault),
                percent(other.probability),
                other.decibans
            );
            self.heading(Tone::Unsure, "OR", &text);
        }
    }

    fn suspect(&mut self, suspect: &Suspect) {
        self.named(Tone::Bad, "CAUSE", suspect);
        let since = clock(suspect.since, self.now);
        self.line(&format!(
            "          {}",
            wrap(&format!("{}, since {since}", escape(&suspect.summary)), 10)
        ));
        self.facts(suspect);
    }

    /// What is suspected, and how surely.
    fn named(&mut self, tone: Tone, word: &str, suspect: &Suspect) {
        let what = format!(
            "{}  {}  {}  {:+.1} dB",
            escape(&suspect.component.to_string()),
            escape(&suspect.fault),
            percent(suspect.probability),
            suspect.decibans
        );
        self.heading(tone, word, &what);
    }

    fn facts(&mut self, suspect: &Suspect) {
        self.evidence("for", &suspect.evidence_for);
        self.evidence("against", &suspect.evidence_against);
        if !suspect.hurts.is_empty() {
            let hurt: Vec<_> = suspect.hurts.iter().map(|c| escape(&c.label())).collect();
            self.heading(Tone::Strong, "HURTS", &cut(&hurt));
        }
    }

    fn evidence(&mut self, word: &str, facts: &[Evidence]) {
        if facts.is_empty() {
            return self.line(&format!("  {word:<8}none found"));
        }
        for (index, fact) in facts.iter().enumerate() {
            let word = if index == 0 { word } else { "" };
            let number = self.number(fact);
            let text = wrap(&escape(&fact.text), 23);
            self.line(&format!(
                "  {word:<8}{number:>4} {:>+6.1}  {text}",
                fact.weight_db
            ));
        }
    }

    /// `[3]` for a fact that can be opened, else nothing; counts as [`openable`] does.
    fn number(&mut self, fact: &Evidence) -> String {
        if fact.reference.is_none() || !self.numbered {
            return String::new();
        }
        self.next += 1;
        format!("[{}]", self.next - 1)
    }

    fn ruled_out(&mut self, verdict: &Verdict) {
        if verdict.ruled_out.is_empty() {
            return;
        }
        self.heading(Tone::Good, "RULED OUT", "");
        for cleared in shown_cleared(verdict) {
            let number = cleared.cleared_by.first().map(|fact| self.number(fact));
            let said = cleared.cleared_by.first().map(|fact| escape(&fact.text));
            let name = cleared.component.to_string();
            // The text mostly begins with the name: once is enough.
            let said = said.unwrap_or_default();
            let said = match said.strip_prefix(&escape(&cleared.component.label())) {
                Some(rest) => rest.trim_start_matches([':', ' ']).to_owned(),
                None => said,
            };
            let text = wrap(&format!("{}: {said}", escape(&name)), 7);
            self.line(&format!("{:>6} {text}", number.unwrap_or_default()));
        }
        self.more(verdict.ruled_out.len());
    }

    fn blind(&mut self, verdict: &Verdict) {
        let lines = joined(&verdict.blind_spots);
        for (index, line) in lines.iter().take(LIST_LIMIT).enumerate() {
            let word = if index == 0 { "BLIND" } else { "" };
            self.heading(Tone::Unsure, word, line);
        }
        self.more(lines.len());
    }

    fn changed(&mut self, verdict: &Verdict) {
        if verdict.changes.is_empty() {
            return self.heading(Tone::Strong, "CHANGED", "nothing recorded near the onset");
        }
        for (index, ranked) in verdict.changes.iter().take(LIST_LIMIT).enumerate() {
            let word = if index == 0 { "CHANGED" } else { "" };
            let at = clock(ranked.change.time, self.now);
            let component = escape(&ranked.change.component.label());
            let text = escape(&ranked.change.text);
            self.heading(Tone::Strong, word, &format!("{at}  {component}: {text}"));
        }
        self.more(verdict.changes.len());
    }

    fn tail(&mut self, incident: &Incident) {
        if let Some(look) = &incident.verdict.next_look {
            self.heading(Tone::Strong, "LOOK NEXT", &escape(&look.text));
            self.line(&format!("          {}", escape(&look.command)));
        }
        if self.next > 1 {
            let hint = format!("open a fact: firstlook why {} --open N", incident.id);
            let hint = self.style.paint(Tone::Faint, &hint);
            self.line("");
            self.line(&hint);
        }
    }

    fn more(&mut self, count: usize) {
        if count > LIST_LIMIT {
            self.line(&format!(
                "          and {} more: --json shows all",
                count - LIST_LIMIT
            ));
        }
    }
}

fn percent(probability: f64) -> String {
    // Nothing is ever certain: 100% would be a lie.
    let percent = (probability * 100.0).round().clamp(0.0, 99.0);
    format!("{percent:.0}%")
}

fn cut(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(LIST_LIMIT)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(LIST_LIMIT) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests;
