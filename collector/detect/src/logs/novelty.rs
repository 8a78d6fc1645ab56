//! Error templates never seen before on a component.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use firstlook_model::{LogEntry, Severity, TemplateId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::watch::Span;
use crate::words;

/// Texts of known error templates that a new one is compared with: a miner that generalises a template
/// gives it a new id.
const SHAPES: usize = 256;
const SHAPE_LIMIT_BYTES: usize = 256;
/// New templates that are followed at once.
const NEWS: usize = 16;
/// Lines that make a symptom; of critical ones, fewer.
const LEAST: u64 = 3;
const LEAST_CRITICAL: u64 = 2;
/// Lines within [`DENSE`], over at least [`LASTS`], that are reason for an incident.
const DENSE_LINES: usize = 5;
const DENSE: Duration = Duration::from_secs(30);
const LASTS: Duration = Duration::from_secs(3);
/// How long a new template stays news after its last line, and after its first.
const HOLD: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_secs(120);
const OLD: Duration = Duration::from_secs(3_600);
/// Share of literal words that two templates must have in common to be one.
const ALIKE: f64 = 0.5;

/// A template that is new here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct News {
    pub template: TemplateId,
    pub span: Span,
    pub count: u64,
    pub sample: String,
    /// Dense and lasting enough for an incident.
    pub lasting: bool,
    critical: bool,
    recent: VecDeque<Timestamp>,
}

/// What one component has written in error.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Novelty {
    known: HashSet<TemplateId>,
    shapes: VecDeque<String>,
    news: Vec<News>,
}

impl Novelty {
    /// Takes an error line whose template reads `shape`. `false`: no room to remember it.
    pub fn take(&mut self, entry: &LogEntry, shape: &str, learning: bool, limit: usize) -> bool {
        let at = entry.time;
        self.news
            .retain(|n| at.since(n.span.last) <= QUIET && at.since(n.span.first) <= OLD);
        if let Some(news) = self.news.iter_mut().find(|n| n.template == entry.template) {
            // After a silence it is another burst: the trouble that it tells of now began now.
            if at.since(news.span.last) > HOLD {
                *news = News::first(entry);
            } else {
                news.more(entry);
            }
            return true;
        }
        if self.known.contains(&entry.template) {
            return true;
        }
        // A full memory cannot tell what is new: then nothing is.
        if self.known.len() >= limit {
            return false;
        }
        self.known.insert(entry.template);
        let shape = words::clip(shape, SHAPE_LIMIT_BYTES);
        let sibling = self
            .shapes
            .iter()
            .find(|known| alike(known, &shape))
            .cloned();
        if let Some(sibling) = &sibling
            && let Some(news) = self.news.iter_mut().find(|n| alike(sibling, &n.sample))
        {
            news.more(entry);
        } else if sibling.is_none() && !learning && self.news.len() < NEWS {
            self.news.push(News::first(entry));
        }
        self.shapes.push_back(shape);
        if self.shapes.len() > SHAPES {
            self.shapes.pop_front();
        }
        true
    }

    /// The most frequent new template that is enough for a symptom.
    pub fn live(&self, now: Timestamp) -> Option<&News> {
        let live = self.news.iter().filter(|n| {
            let least = if n.critical { LEAST_CRITICAL } else { LEAST };
            n.count >= least && now.since(n.span.last) <= HOLD
        });
        live.max_by_key(|n| (n.lasting, n.count, std::cmp::Reverse(n.template)))
    }

    /// What is news here is news no more.
    pub fn accept(&mut self) {
        self.news.clear();
    }

    /// The host's clock was set back: what is known stays, news start anew.
    pub fn stepped(&mut self) {
        self.news.clear();
    }
}

impl News {
    fn first(entry: &LogEntry) -> Self {
        let before = entry.time.minus(Duration::from_secs(1));
        let mut news = Self {
            template: entry.template,
            span: Span {
                after: Some(before),
                ..Span::at(entry.time)
            },
            count: 0,
            sample: words::clip(&entry.text, SHAPE_LIMIT_BYTES),
            lasting: false,
            critical: false,
            recent: VecDeque::new(),
        };
        news.more(entry);
        news
    }

    fn more(&mut self, entry: &LogEntry) {
        self.count += 1;
        self.critical |= entry.severity == Severity::Critical;
        self.span.last = self.span.last.max(entry.time);
        self.recent.push_back(entry.time);
        if self.recent.len() > DENSE_LINES {
            self.recent.pop_front();
        }
        let first = self.recent.front().copied().unwrap_or(entry.time);
        self.lasting |= self.recent.len() == DENSE_LINES
            && entry.time.since(first) <= DENSE
            && self.span.length() >= LASTS;
    }
}

/// Whether two templates are one sentence with different variable parts.
fn alike(a: &str, b: &str) -> bool {
    let (mut same, mut all) = (0u32, 0u32);
    let (mut a, mut b) = (a.split_whitespace(), b.split_whitespace());
    loop {
        match (a.next(), b.next()) {
            (None, None) => break,
            (Some(a), Some(b)) => {
                all += 1;
                if a == b && !a.contains("<*>") {
                    same += 1;
                } else if !a.contains("<*>") && !b.contains("<*>") {
                    return false;
                }
            }
            _ => return false,
        }
    }
    all > 0 && f64::from(same) >= ALIKE * f64::from(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ComponentId, HostId, LogSource};

    fn line(second: i64) -> LogEntry {
        LogEntry {
            time: Timestamp::from_secs(second),
            component: ComponentId::host(HostId::new("h1").unwrap()),
            template: TemplateId(7),
            severity: Severity::Error,
            source: LogSource::File,
            text: "request failed".to_owned(),
        }
    }

    #[test]
    fn what_comes_again_after_a_silence_began_again() {
        let mut novelty = Novelty::default();
        for second in [0, 1, 2, 90, 91, 92] {
            novelty.take(&line(second), "request failed", false, 10);
        }
        let news = novelty.live(Timestamp::from_secs(92)).unwrap();
        assert_eq!((news.count, news.span.first), (3, Timestamp::from_secs(90)));
    }

    #[test]
    fn a_generalised_template_is_the_same_sentence() {
        assert!(alike(
            "cannot open file a.txt: denied",
            "cannot open file <*> denied"
        ));
        assert!(!alike("cannot open file a.txt", "cannot open file b.txt"));
        assert!(!alike("<*> <*>", "failed badly"));
        assert!(!alike("one two", "one two three"));
        assert!(!alike("", ""));
    }
}
