//! Points of metrics as series. Pure.
//!
//! A monotonic sum is a counter of the metric's name, another sum and a gauge are a gauge. Histograms and summaries are
//! named as Prometheus names them: `NAME_count`, `NAME_sum`, `NAME_bucket{le="…"}`, `NAME{quantile="…"}`.

use firstlook_model::id::stable_hash;
use firstlook_model::{ComponentId, SignalKind, Unit};
use prost::Message;

use super::series::{Name, unit};
use super::totals::{Kind, Stream, Told, Totals};
use super::wire::metrics::{
    ExponentialPoint, HistogramPoint, Metric, NumberPoint, ResourceMetrics, SummaryPoint,
};
use super::wire::{KeyValue, Resource};

mod exponential;

/// Bit of a point's flags: there is no value.
const NO_VALUE: u32 = 1;
/// AGGREGATION_TEMPORALITY_DELTA and _CUMULATIVE.
const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
/// Most buckets and quantiles of a point.
const PARTS_LIMIT: usize = 200;

/// What became of the points of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// All there were.
    pub points: u64,
    /// Those that make no series.
    pub refused: u64,
    /// Those without room.
    pub no_room: u64,
    /// Buckets and quantiles without room, of points that had it.
    pub parts: u64,
}

/// One message being taken.
pub(super) struct Taking<'a> {
    totals: &'a mut Totals,
    /// Nanoseconds since 1970.
    now: u64,
    /// What comes last, as there may be little room.
    parts: Vec<(ComponentId, String, Kind, Told)>,
    taken: Taken,
}

/// Why a point is no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Not {
    Readable,
    Room,
}

/// Whose metric.
struct Of<'a> {
    about: &'a ComponentId,
    /// Another for each resource and scope.
    who: u64,
    metric: &'a Metric,
    temporality: i32,
}

/// Where a point belongs.
struct Place<'a> {
    about: &'a ComponentId,
    name: Name<'a>,
    unit: Unit,
    stream: Stream,
    temporality: i32,
}

/// What all points have.
trait Point {
    fn attributes(&self) -> &[KeyValue];
    /// In nanoseconds since 1970; 0 where that is not told.
    fn began(&self) -> u64;
    fn has_value(&self) -> bool;
}

macro_rules! point {
    ($type:ty) => {
        impl Point for $type {
            fn attributes(&self) -> &[KeyValue] {
                &self.attributes
            }

            fn began(&self) -> u64 {
                self.start_time_unix_nano
            }

            fn has_value(&self) -> bool {
                self.flags & NO_VALUE == 0
            }
        }
    };
}

point!(NumberPoint);
point!(HistogramPoint);
point!(ExponentialPoint);
point!(SummaryPoint);

impl<'a> Taking<'a> {
    /// Into `totals`, at this time in nanoseconds since 1970.
    pub fn new(totals: &'a mut Totals, now: u64) -> Self {
        Self {
            totals,
            now,
            parts: Vec::new(),
            taken: Taken::default(),
        }
    }

    /// Takes all points of a resource.
    pub fn resource(&mut self, about: &ComponentId, metrics: &ResourceMetrics) {
        let resource = metrics.resource.as_ref().map(Resource::encode_to_vec);
        let resource = stable_hash(&resource.unwrap_or_default());
        for scope in &metrics.scope_metrics {
            let name = scope.scope.as_ref().map_or("", |scope| &scope.name);
            let who = resource ^ stable_hash(name.as_bytes()).rotate_left(1);
            for metric in &scope.metrics {
                let of = |temporality| Of {
                    about,
                    who,
                    metric,
                    temporality,
                };
                self.metric(metric, &of);
            }
        }
    }

    /// Puts buckets and quantiles where room is left; says what became of everything.
    pub fn finish(mut self) -> Taken {
        for (about, signal, kind, told) in self.parts {
            self.taken.parts += u64::from(!self.totals.take(&about, &signal, kind, told));
        }
        self.taken
    }

    fn metric<'m>(&mut self, metric: &'m Metric, of: &dyn Fn(i32) -> Of<'m>) {
        if let Some(gauge) = &metric.gauge {
            self.points(&of(CUMULATIVE), &gauge.data_points, Self::level);
        }
        if let Some(sum) = &metric.sum {
            let take = if sum.is_monotonic {
                Self::count
            } else {
                Self::step
            };
            self.points(&of(sum.aggregation_temporality), &sum.data_points, take);
        }
        if let Some(histogram) = &metric.histogram {
            let of = of(histogram.aggregation_temporality);
            self.points(&of, &histogram.data_points, Self::histogram);
        }
        if let Some(histogram) = &metric.exponential_histogram {
            let of = of(histogram.aggregation_temporality);
            self.points(&of, &histogram.data_points, Self::exponential);
        }
        if let Some(summary) = &metric.summary {
            self.points(&of(CUMULATIVE), &summary.data_points, Self::summary);
        }
    }

    fn points<P: Point>(
        &mut self,
        of: &Of<'_>,
        points: &[P],
        take: fn(&mut Self, &Place<'_>, &P) -> Result<(), Not>,
    ) {
        for point in points {
            self.taken.points += 1;
            if !point.has_value() {
                continue;
            }
            let took = self.place(of, point).ok_or(Not::Readable);
            match took.and_then(|place| take(self, &place, point)) {
                Ok(()) => {}
                Err(Not::Readable) => self.taken.refused += 1,
                Err(Not::Room) => self.taken.no_room += 1,
            }
        }
    }

    fn place<'p>(&self, of: &Of<'p>, point: &'p impl Point) -> Option<Place<'p>> {
        let known = [DELTA, CUMULATIVE].contains(&of.temporality);
        let name = Name::of(&of.metric.name, point.attributes()).filter(|_| known)?;
        let identity = point.attributes().iter().fold(of.who, |id, attribute| {
            id.rotate_left(1) ^ stable_hash(&attribute.encode_to_vec())
        });
        Some(Place {
            about: of.about,
            name,
            unit: unit(&of.metric.unit),
            stream: Stream {
                id: identity,
                began: point.began(),
                now: self.now,
            },
            temporality: of.temporality,
        })
    }

    /// A gauge. Of several in one there is no sum.
    fn level(&mut self, at: &Place<'_>, point: &NumberPoint) -> Result<(), Not> {
        let value = value(point).filter(|_| !at.name.summed);
        let kind = kind(at.unit, SignalKind::Gauge);
        self.put(at, "", kind, Told::Level(value.ok_or(Not::Readable)?))
    }

    fn count(&mut self, at: &Place<'_>, point: &NumberPoint) -> Result<(), Not> {
        // What only rises is never negative.
        let value = value(point).filter(|value| *value >= 0.0);
        let told = at.told(value.ok_or(Not::Readable)?, false);
        self.put(at, "", kind(at.unit, SignalKind::Counter), told)
    }

    /// A sum that rises and falls, as the length of a queue.
    fn step(&mut self, at: &Place<'_>, point: &NumberPoint) -> Result<(), Not> {
        let told = at.told(value(point).ok_or(Not::Readable)?, true);
        self.put(at, "", kind(at.unit, SignalKind::Gauge), told)
    }

    fn histogram(&mut self, at: &Place<'_>, point: &HistogramPoint) -> Result<(), Not> {
        let (counts, bounds) = (&point.bucket_counts, &point.explicit_bounds);
        let fits = counts.is_empty() && bounds.is_empty() || counts.len() == bounds.len() + 1;
        let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let finite = bounds.iter().all(|bound| bound.is_finite());
        if !fits || !rising || !finite || counts.len() > PARTS_LIMIT {
            return Err(Not::Readable);
        }
        self.count_and_sum(at, point.count, point.sum)?;
        let mut below = 0_u64;
        for (count, bound) in counts.iter().zip(bounds) {
            below = below.saturating_add(*count);
            self.bucket(at, &bound.to_string(), below);
        }
        if !counts.is_empty() {
            self.bucket(at, "+Inf", point.count);
        }
        Ok(())
    }

    fn exponential(&mut self, at: &Place<'_>, point: &ExponentialPoint) -> Result<(), Not> {
        let buckets = exponential::buckets(point).ok_or(Not::Readable)?;
        self.count_and_sum(at, point.count, point.sum)?;
        for (bound, below) in buckets {
            self.bucket(at, &bound.to_string(), below);
        }
        self.bucket(at, "+Inf", point.count);
        Ok(())
    }

    fn summary(&mut self, at: &Place<'_>, point: &SummaryPoint) -> Result<(), Not> {
        if point.quantile_values.len() > PARTS_LIMIT {
            return Err(Not::Readable);
        }
        self.count_and_sum(at, point.count, Some(point.sum))?;
        // Of several in one there is no quantile.
        let quantiles = point.quantile_values.iter().filter(|_| !at.name.summed);
        for told in quantiles {
            let quantile = ("quantile", &*told.quantile.to_string());
            let kind = kind(at.unit, SignalKind::Gauge);
            self.part(at, "", quantile, kind, Told::Level(told.value));
        }
        Ok(())
    }

    fn count_and_sum(&mut self, at: &Place<'_>, count: u64, sum: Option<f64>) -> Result<(), Not> {
        let counter = |unit| kind(unit, SignalKind::Counter);
        let told = at.told(count as f64, false);
        self.put(at, "_count", counter(Unit::Count), told)?;
        match sum {
            Some(sum) => self.put(at, "_sum", counter(at.unit), at.told(sum, true)),
            None => Ok(()),
        }
    }

    /// How many were at most as large as the bound.
    fn bucket(&mut self, at: &Place<'_>, bound: &str, below: u64) {
        let kind = Kind {
            bucket: true,
            ..kind(Unit::Count, SignalKind::Counter)
        };
        self.part(
            at,
            "_bucket",
            ("le", bound),
            kind,
            at.told(below as f64, false),
        );
    }

    fn put(&mut self, at: &Place<'_>, ending: &str, kind: Kind, told: Told) -> Result<(), Not> {
        let signal = at.name.signal(ending, None).ok_or(Not::Readable)?;
        let took = self.totals.take(at.about, &signal, kind, told);
        took.then_some(()).ok_or(Not::Room)
    }

    fn part(&mut self, at: &Place<'_>, ending: &str, label: (&str, &str), kind: Kind, told: Told) {
        match at.name.signal(ending, Some(label)) {
            Some(signal) => self.parts.push((at.about.clone(), signal, kind, told)),
            None => self.taken.parts += 1,
        }
    }
}

impl Place<'_> {
    fn told(&self, value: f64, falls: bool) -> Told {
        match self.temporality {
            DELTA => Told::More(value),
            _ => Told::Since {
                stream: self.stream,
                value,
                falls,
            },
        }
    }
}

fn kind(unit: Unit, kind: SignalKind) -> Kind {
    Kind {
        unit,
        kind,
        bucket: false,
    }
}

fn value(point: &NumberPoint) -> Option<f64> {
    point.as_double.or(point.as_int.map(|value| value as f64))
}

#[cfg(test)]
mod tests;
