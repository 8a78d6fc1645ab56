//! Sorts of error lines, each against its own usual rate: what rises in one sort is lost in the sum where another
//! sort is written all day long.

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{LogEntry, TemplateId, Timestamp};
use serde::{Deserialize, Serialize};

use super::surge::{Limits, Surge, SurgeRun};
use crate::words;

/// Sorts of one component that are followed; of more, those that wrote last.
const SORTS: usize = 24;
/// A single sort has to rise more clearly than the sum of all: there are many of them.
const LIMITS: Limits = Limits {
    least: 10,
    seconds: 3,
};
/// So long the usual rate of a sort is learned that may have been forgotten before.
const LEARNS: Duration = Duration::from_secs(60);
const SAMPLE_LIMIT_BYTES: usize = 256;

/// The error templates of one component.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sorts {
    of: HashMap<TemplateId, Sort>,
    /// Some were pushed out: one that is not known may be an old one.
    forgot: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sort {
    surge: Surge,
    /// Its usual rate is being learned until then.
    learns: Option<Timestamp>,
    sample: String,
}

/// A sort of which there is more than is usual of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Risen<'a> {
    pub template: TemplateId,
    pub run: &'a SurgeRun,
    /// Its first line.
    pub sample: &'a str,
}

impl Sorts {
    /// Takes an error line.
    pub fn take(&mut self, entry: &LogEntry, learning: bool) {
        if !self.of.contains_key(&entry.template) && self.of.len() >= SORTS {
            self.forget_oldest();
        }
        let learns = self.forgot.then(|| entry.time.plus(LEARNS));
        let sort = self.of.entry(entry.template).or_insert_with(|| Sort {
            surge: Surge::default(),
            learns,
            sample: words::clip(
                entry.text.lines().next().unwrap_or_default(),
                SAMPLE_LIMIT_BYTES,
            ),
        });
        let learning = learning || sort.learns.is_some_and(|until| entry.time < until);
        sort.surge.take(entry.time, LIMITS, learning);
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .of
            .iter()
            .min_by_key(|(id, sort)| (sort.surge.last(), **id));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.of.remove(&id);
            self.forgot = true;
        }
    }

    /// The sort that has risen with the most lines.
    pub fn live(&self, now: Timestamp) -> Option<Risen<'_>> {
        let risen = |(template, sort): (&TemplateId, &'_ Sort)| {
            sort.surge.live(now).map(|run| (run.count, *template))
        };
        let (_, template) = self.of.iter().filter_map(risen).max()?;
        let sort = self.of.get(&template)?;
        Some(Risen {
            template,
            run: sort.surge.live(now)?,
            sample: &sort.sample,
        })
    }

    /// Usual rates are forgotten.
    pub fn forget_usual(&mut self) {
        let sorts = self.of.values_mut();
        sorts.for_each(|sort| sort.surge.forget_usual());
    }

    /// The host's clock was set back: usual rates stay, times start anew.
    pub fn stepped(&mut self) {
        self.of.values_mut().for_each(|sort| sort.surge.stepped());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ComponentId, HostId, LogSource, Severity};

    fn line(millis: i64, template: u64) -> LogEntry {
        LogEntry {
            time: Timestamp::from_millis(millis),
            component: ComponentId::host(HostId::new("h1").unwrap()),
            template: TemplateId(template),
            severity: Severity::Error,
            source: LogSource::File,
            text: format!("sort {template} failed\n  at line 7"),
        }
    }

    #[test]
    fn a_sort_that_rises_is_seen_beside_one_that_is_written_all_day() {
        let mut sorts = Sorts::default();
        for tenth in 0..6_000 {
            let millis = tenth * 100;
            sorts.take(&line(millis, 1), millis < 60_000);
            // Now and then, and then many.
            if tenth == 1_000 || tenth >= 5_900 {
                sorts.take(&line(millis, 2), false);
            }
        }
        let now = Timestamp::from_secs(600);
        let risen = sorts.live(now).unwrap();
        assert_eq!(
            (risen.template, risen.sample),
            (TemplateId(2), "sort 2 failed")
        );
        let began = risen.run.span.first.as_millis();
        assert!((589_000..592_000).contains(&began), "{began}");
        assert!(
            sorts
                .live(Timestamp::from_secs(589))
                .is_none_or(|r| r.template != TemplateId(1))
        );
    }

    #[test]
    fn a_few_lines_of_a_sort_are_no_rise() {
        let mut sorts = Sorts::default();
        for second in 0..9 {
            sorts.take(&line(100_000 + second * 1_000, 3), false);
        }
        assert!(sorts.live(Timestamp::from_secs(109)).is_none());
    }

    #[test]
    fn sorts_beyond_the_limit_push_out_those_that_are_silent_longest() {
        let mut sorts = Sorts::default();
        for template in 0..1_000 {
            sorts.take(&line(100_000 + template as i64, template), false);
        }
        assert_eq!(sorts.of.len(), SORTS);
        assert!(sorts.of.contains_key(&TemplateId(999)));
        for millis in 0..20_000 {
            sorts.take(&line(102_000 + millis, 5), false);
        }
        assert!(
            sorts.live(Timestamp::from_secs(122)).is_none(),
            "what was forgotten is no rise"
        );
    }
}
