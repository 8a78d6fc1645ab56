//! What spans say of who is slow and who fails: series of each component's own time, of the way to it, and of what fails there.
//!
//! A caller's time holds its callees', so whole durations blame whoever stands in front. What is left of a span without its
//! children is its component's own, and what a call takes longer than the called one works is the way between the two.

use std::collections::{BTreeMap, HashMap};

use crate::Series;

/// One piece of work of one component within a trace.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Who worked.
    pub component: &'a str,
    /// Of which trace.
    pub trace: &'a str,
    /// Its own id in the trace.
    pub id: &'a str,
    /// Within which other span of the trace; None: a first one.
    pub parent: Option<&'a str>,
    /// The operation.
    pub name: &'a str,
    /// Begin, Unix seconds.
    pub start: f64,
    /// Seconds, not negative; None: not known.
    pub duration: Option<f64>,
    /// Whether it failed.
    pub failed: bool,
}

/// A component's own work in one span, in milliseconds.
pub const OWN_TIME: &str = "own_time_ms";
/// What calls of a component take longer than it works on them, in milliseconds.
pub const WAY_TIME: &str = "way_time_ms";
/// The share of a component's work, and of calls that never came to it, that failed for no reason further on.
pub const FAILED: &str = "failed_share";

/// Times the step where there are few spans.
const COARSER: f64 = 6.0;
/// A point of fewer spans says nothing.
const FEWEST_IN_POINT: u32 = 3;
/// Fewer points are no series.
const FEWEST_POINTS: usize = 8;
/// Times of the year 33,000 are no times, and so is a span of as many milliseconds.
const LARGEST: f64 = 1e12;

/// The series that the spans come to, a point at the end of each `step` seconds with enough of them; by component, then signal.
/// Where a component has too few spans for that, a point in six steps.
///
/// Spans out of reason (a time that is no number, one that is its own parent) are passed over.
pub fn series(spans: &[Span<'_>], step: f64) -> Vec<Series> {
    let woods = Woods::of(spans);
    let mut told = woods.summed(step);
    for (of, coarse) in woods.summed(COARSER * step) {
        let fine = told.get(&of).map_or(0, |s| s.points.len()) as f64;
        if 2.0 * fine < COARSER * coarse.points.len() as f64 {
            told.insert(of, coarse);
        }
    }
    told.into_values().collect()
}

/// The spans by what they are within.
struct Woods<'s, 'a> {
    spans: &'s [Span<'a>],
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    /// Whom an operation of a component calls, where calls were seen to arrive.
    called: HashMap<(&'a str, &'a str), &'a str>,
}

impl<'s, 'a> Woods<'s, 'a> {
    fn of(spans: &'s [Span<'a>]) -> Self {
        let mut places: HashMap<(&str, &str), usize> = HashMap::with_capacity(spans.len());
        for (at, span) in spans.iter().enumerate() {
            places.entry((span.trace, span.id)).or_insert(at);
        }
        let mut parents = vec![None; spans.len()];
        let mut children = vec![Vec::new(); spans.len()];
        for (at, span) in spans.iter().enumerate() {
            let parent = span.parent.and_then(|id| places.get(&(span.trace, id)));
            if let Some(parent) = parent.copied().filter(|parent| *parent != at) {
                parents[at] = Some(parent);
                children[parent].push(at);
            }
        }
        let mut woods = Self {
            spans,
            parents,
            children,
            called: HashMap::new(),
        };
        for (at, span) in spans.iter().enumerate() {
            if let Some(called) = woods.callee(at) {
                woods
                    .called
                    .insert((span.component, span.name), called.component);
            }
        }
        woods
    }

    fn summed(&self, step: f64) -> BTreeMap<Of<'a>, Series> {
        let mut sums = Sums {
            step,
            points: BTreeMap::new(),
        };
        for (at, span) in self.spans.iter().enumerate() {
            self.tell(at, span, &mut sums);
        }
        sums.into_series()
    }

    fn is_inner(&self, at: usize) -> bool {
        self.parents[at].is_some_and(|p| self.spans[p].component == self.spans[at].component)
    }

    /// The called one's span, of a span that does nothing but to call: it is within other work of its component, and has just that
    /// one child.
    fn callee(&self, at: usize) -> Option<&'s Span<'a>> {
        let [only] = self.children[at].as_slice() else {
            return None;
        };
        let callee = &self.spans[*only];
        (self.is_inner(at) && callee.component != self.spans[at].component).then_some(callee)
    }

    fn tell(&self, at: usize, span: &Span<'a>, sums: &mut Sums<'a>) {
        let callee = self.callee(at);
        if let Some(duration) = span.duration {
            match callee {
                Some(callee) => {
                    let way = callee.duration.map(|of_callee| duration - of_callee);
                    let way = way.map(|seconds| seconds.max(0.0) * 1e3);
                    sums.add(span, callee.component, WAY_TIME, way);
                }
                None => {
                    let own = (duration - self.within_children(at)).max(0.0);
                    sums.add(span, span.component, OWN_TIME, Some(own * 1e3));
                }
            }
        }
        let further = self.children[at].iter().any(|c| self.spans[*c].failed);
        let fails = f64::from(u8::from(span.failed && !further));
        let childless = self.children[at].is_empty() && self.is_inner(at);
        let never_came = childless.then(|| self.called.get(&(span.component, span.name)));
        match (callee, never_came.flatten()) {
            // Counted there already, unless it failed on the way.
            (Some(_), _) if fails == 0.0 => {}
            (Some(callee), _) => sums.add(span, callee.component, FAILED, Some(fails)),
            (None, Some(callee)) => sums.add(span, callee, FAILED, Some(fails)),
            (None, None) => sums.add(span, span.component, FAILED, Some(fails)),
        }
    }

    /// How long at least one child was at work, by the children's own clocks.
    fn within_children(&self, at: usize) -> f64 {
        let children = self.children[at].iter().map(|c| &self.spans[*c]);
        let mut times: Vec<(f64, f64)> = children
            .filter_map(|c| Some((c.start, c.start + c.duration?)))
            .collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut sum, mut until) = (0.0, f64::NEG_INFINITY);
        for (start, end) in times {
            sum += (end - start.max(until)).max(0.0);
            until = until.max(end);
        }
        sum
    }
}

/// A component and its signal.
type Of<'a> = (&'a str, &'static str);

/// Sums and counts by point.
struct Sums<'a> {
    step: f64,
    points: BTreeMap<Of<'a>, BTreeMap<i64, (f64, u32)>>,
}

impl<'a> Sums<'a> {
    fn add(
        &mut self,
        span: &Span<'_>,
        component: &'a str,
        signal: &'static str,
        value: Option<f64>,
    ) {
        let point = (span.start / self.step).floor();
        // What is no number is not under it.
        let usable = span.start.abs() < LARGEST && point.abs() < LARGEST;
        let Some(value) = value.filter(|value| usable && value.abs() < LARGEST) else {
            return;
        };
        let points = self.points.entry((component, signal)).or_default();
        let (sum, count) = points.entry(point as i64).or_default();
        *sum += value;
        *count += 1;
    }

    fn into_series(self) -> BTreeMap<Of<'a>, Series> {
        let step = self.step;
        let series = |(of, points): (Of<'a>, BTreeMap<i64, (f64, u32)>)| {
            let enough = points
                .into_iter()
                .filter(|(_, (_, n))| *n >= FEWEST_IN_POINT);
            let points: Vec<(f64, f64)> = enough
                .map(|(point, (sum, n))| ((point + 1) as f64 * step, sum / f64::from(n)))
                .collect();
            let one = Series {
                component: of.0.to_owned(),
                signal: of.1.to_owned(),
                points,
            };
            (one.points.len() >= FEWEST_POINTS).then_some((of, one))
        };
        self.points.into_iter().filter_map(series).collect()
    }
}

#[cfg(test)]
mod tests;
