//! What a case is made of, asked of the collector in pieces: no answer grows with the incident's length.

use std::collections::BTreeSet;
use std::time::Duration;

use firstlook_model::{
    Change, ComponentId, Edge, HostId, Incident, LogEntry, TimeRange, Timestamp,
};
use firstlook_proto::convert::range_to_wire;
use firstlook_proto::wire;

use super::recording::{Listed, Recording};
use crate::client::Client;
use crate::exit::Failure;

/// Length of the pieces that samples and changes are asked for in.
const PIECE: Duration = Duration::from_secs(600);
/// Length of the pieces that the graph is asked for in: the longest that the collector takes.
const GRAPH_PIECE: Duration = Duration::from_secs(3_600);
/// Length of the pieces that log lines are asked for in, and the shortest that one is divided into.
const LOG_PIECE: Duration = Duration::from_secs(60);
const SHORTEST_LOG_PIECE: Duration = Duration::from_secs(1);
/// Lines of one answer at most: the collector gives no more.
const MOST_LINES: u32 = 100_000;

/// The incident of that number.
pub async fn incident(client: &mut Client, about: String) -> Result<Incident, Failure> {
    let reply = client.why(wire::WhyRequest { about }).await?.into_inner();
    let incident = reply.incident;
    let incident = incident.ok_or_else(|| Failure::failed("the answer holds no incident"))?;
    Ok(Incident::try_from(incident)?)
}

/// The collector's time.
pub async fn reference_time(client: &mut Client) -> Result<Timestamp, Failure> {
    let reply = client.status(wire::StatusRequest {}).await?.into_inner();
    Ok(Timestamp::from_micros(reply.reference_time))
}

/// Who called whom in the range.
pub async fn calls(
    client: &mut Client,
    range: TimeRange,
) -> Result<BTreeSet<(ComponentId, ComponentId)>, Failure> {
    let mut calls = BTreeSet::new();
    for piece in pieces(range, GRAPH_PIECE) {
        let request = wire::MapRequest {
            range: Some(range_to_wire(piece)),
            ..wire::MapRequest::default()
        };
        for edge in client.map(request).await?.into_inner().edges {
            let edge = Edge::try_from(edge)?;
            calls.insert((edge.caller, edge.callee));
        }
    }
    Ok(calls)
}

/// Hosts that ever joined.
pub async fn hosts(client: &mut Client) -> Result<Vec<HostId>, Failure> {
    let request = wire::HostsRequest::default();
    let reply = client.hosts(request).await?.into_inner();
    let hosts = reply.hosts.into_iter();
    hosts.map(|view| Ok(HostId::new(view.host)?)).collect()
}

/// Series that a host reports in the range.
pub async fn series(
    client: &mut Client,
    host: &HostId,
    range: TimeRange,
) -> Result<BTreeSet<Listed>, Failure> {
    let mut all = BTreeSet::new();
    for piece in pieces(range, PIECE) {
        let mut stream = client
            .metrics(samples_of(host, piece, true))
            .await?
            .into_inner();
        while let Some(reply) = stream.message().await? {
            for series in &reply.series {
                all.insert(listed(host, series)?);
            }
        }
    }
    Ok(all)
}

/// Gives the samples that a host reports in the range to the recording.
pub async fn samples(
    client: &mut Client,
    host: &HostId,
    range: TimeRange,
    recording: &mut Recording,
) -> Result<(), Failure> {
    for piece in pieces(range, PIECE) {
        let request = samples_of(host, piece, false);
        let mut stream = client.metrics(request).await?.into_inner();
        while let Some(reply) = stream.message().await? {
            for series in reply.series {
                let listed = listed(host, &series)?;
                let times = series.times.iter().map(|t| Timestamp::from_micros(*t));
                recording.take(&listed, times.zip(series.values));
            }
        }
    }
    Ok(())
}

fn samples_of(host: &HostId, range: TimeRange, list: bool) -> wire::MetricsRequest {
    wire::MetricsRequest {
        about: host.to_string(),
        signal: String::new(),
        range: Some(range_to_wire(range)),
        list,
    }
}

fn listed(host: &HostId, series: &wire::SeriesSamples) -> Result<Listed, Failure> {
    Ok(Listed {
        host: host.clone(),
        component: series.component.parse()?,
        signal: series.signal.clone(),
        counter: series.kind() == wire::SignalKind::Counter,
    })
}

/// Gives the log lines of the range, oldest first. Says whether some were left out: more than an answer holds were written
/// within a second.
pub async fn logs(
    client: &mut Client,
    range: TimeRange,
    mut take: impl FnMut(LogEntry),
) -> Result<bool, Failure> {
    let mut some_left_out = false;
    // The earliest last.
    let mut open: Vec<TimeRange> = pieces(range, LOG_PIECE).collect();
    open.reverse();
    while let Some(piece) = open.pop() {
        let (lines, left_out) = lines(client, piece).await?;
        let half = piece.to.since(piece.from) / 2;
        if left_out && half >= SHORTEST_LOG_PIECE {
            let middle = piece.from.plus(half);
            open.push(TimeRange::new(middle, piece.to));
            open.push(TimeRange::new(piece.from, middle));
            continue;
        }
        some_left_out |= left_out;
        for line in lines {
            take(LogEntry::try_from(line)?);
        }
    }
    Ok(some_left_out)
}

async fn lines(
    client: &mut Client,
    range: TimeRange,
) -> Result<(Vec<wire::LogLine>, bool), Failure> {
    let request = wire::LogsRequest {
        range: Some(range_to_wire(range)),
        limit: MOST_LINES,
        ..wire::LogsRequest::default()
    };
    let mut stream = client.logs(request).await?.into_inner();
    let (mut lines, mut left_out) = (Vec::new(), false);
    while let Some(reply) = stream.message().await? {
        left_out |= reply.left_out > 0;
        lines.extend(reply.lines);
    }
    Ok((lines, left_out))
}

/// Changes in the range, oldest first.
pub async fn changes(client: &mut Client, range: TimeRange) -> Result<Vec<Change>, Failure> {
    let mut all = Vec::new();
    for piece in pieces(range, PIECE) {
        let request = wire::ChangesRequest {
            about: String::new(),
            range: Some(range_to_wire(piece)),
        };
        let reply = client.changes(request).await?.into_inner();
        for change in reply.changes {
            all.push(Change::try_from(change)?);
        }
    }
    Ok(all)
}

/// The range in pieces, the earliest first. None where it is empty.
fn pieces(range: TimeRange, length: Duration) -> impl Iterator<Item = TimeRange> {
    let mut from = range.from;
    std::iter::from_fn(move || {
        let piece = TimeRange::new(from, from.plus(length).min(range.to));
        from = piece.to;
        (piece.from < piece.to).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_once() {
        let at = Timestamp::from_secs;
        let cut = |from, to| -> Vec<(i64, i64)> {
            let range = TimeRange::new(at(from), at(to));
            let seconds = |t: Timestamp| t.as_micros() / 1_000_000;
            let pieces = pieces(range, Duration::from_secs(10));
            pieces.map(|p| (seconds(p.from), seconds(p.to))).collect()
        };
        assert_eq!(cut(5, 31), [(5, 15), (15, 25), (25, 31)]);
        assert_eq!(cut(0, 10), [(0, 10)]);
        assert_eq!(cut(10, 10), []);
        assert_eq!(cut(11, 10), []);
    }
}
