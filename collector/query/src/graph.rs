//! The graph of a time that is over.

use std::collections::BTreeSet;
use std::time::Duration;

use firstlook_model::{Edge, TimeRange};
use firstlook_proto::convert::edge_to_wire;
use firstlook_proto::wire;
use tonic::Status;

use crate::about::About;
use crate::telemetry;

/// Longest range of one question: all connections that were seen in it are gone through.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The range of a question.
///
/// # Errors
/// INVALID_ARGUMENT when it is empty or too long.
pub fn range(range: wire::TimeRange) -> Result<TimeRange, Status> {
    let range = telemetry::range(Some(range))?;
    match range.to.since(range.from) <= LONGEST {
        true => Ok(range),
        false => Err(Status::invalid_argument(format!(
            "the graph of a past time is given for {} s at most: ask for it in pieces",
            LONGEST.as_secs()
        ))),
    }
}

/// The edges that touch what was asked for, and their ends.
pub fn reply(mut edges: Vec<Edge>, about: &About, range: TimeRange) -> wire::MapReply {
    edges.retain(|edge| about.covers(&edge.caller) || about.covers(&edge.callee));
    let ends = edges.iter().flat_map(|edge| [&edge.caller, &edge.callee]);
    let ends: BTreeSet<_> = ends.collect();
    let components = ends.into_iter().map(|component| wire::ComponentView {
        component: component.to_string(),
        health: wire::Health::Unspecified.into(),
        text: String::new(),
    });
    wire::MapReply {
        reference_time: range.to.as_micros(),
        components: components.collect(),
        edges: edges.iter().map(edge_to_wire).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_empty_or_too_long_is_refused() {
        let asked = |seconds: i64| {
            let to = seconds * 1_000_000;
            range(wire::TimeRange { from: 0, to }).map_err(|status| status.code())
        };
        assert!(asked(3_600).is_ok());
        for seconds in [0, -1, 3_601, i64::MAX / 2_000_000] {
            assert_eq!(
                asked(seconds),
                Err(tonic::Code::InvalidArgument),
                "{seconds}"
            );
        }
    }
}
