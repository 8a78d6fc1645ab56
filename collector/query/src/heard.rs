//! Streaming what the analysis heard to whoever keeps an incident as a case.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use firstlook_model::{Change, HostId, Record, TimeRange, Timestamp};
use firstlook_proto::convert::encode_record;
use firstlook_proto::wire;
use firstlook_store::Store;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Most hosts that may be asked for at once.
const HOSTS_LIMIT: usize = 64;
/// How long before a range an announced change may be that a verdict looks at.
const ANNOUNCED: Duration = Duration::from_secs(2 * 3_600);
/// Bytes of records from which on a reply is sent.
const REPLY_BYTES: usize = 256 * 1024;
/// Replies that wait for whoever reads.
const WAITING: usize = 4;

/// The hosts of a question.
///
/// # Errors
/// INVALID_ARGUMENT where one is no name, where there is none or too many.
pub fn hosts(names: Vec<String>) -> Result<BTreeSet<HostId>, Status> {
    if names.is_empty() || names.len() > HOSTS_LIMIT {
        return Err(Status::invalid_argument(format!(
            "{} hosts are asked for: 1 to {HOSTS_LIMIT} can be",
            names.len()
        )));
    }
    let named = names.into_iter().map(HostId::new);
    let named: Result<BTreeSet<HostId>, _> = named.collect();
    named.map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Where announced changes are that the records of `range` are to be weighed with.
pub fn announced_in(range: TimeRange) -> TimeRange {
    TimeRange::new(range.from.minus(ANNOUNCED), range.to)
}

/// Records of `hosts` in `range`, and changes that were announced, read as fast as they are taken.
pub fn records(
    store: Store,
    range: TimeRange,
    hosts: BTreeSet<HostId>,
    mut announced: Vec<Change>,
) -> impl Stream<Item = Result<wire::HeardReply, Status>> + Send {
    let (sender, receiver) = channel(WAITING);
    tokio::task::spawn_blocking(move || {
        announced.retain(|change| {
            change
                .component
                .host_id()
                .is_some_and(|h| hosts.contains(h))
        });
        announced.sort_by_key(|change| change.time);
        let mut pending = Pending {
            sender,
            announced: announced.into(),
            reply: wire::HeardReply::default(),
            bytes: 0,
        };
        let listen = |host: &HostId, received, record| pending.take(host, received, &record);
        store.replay_of(range, |host| hosts.contains(host), listen);
        pending.send();
    });
    ReceiverStream::new(receiver)
}

/// A reply that is being filled.
struct Pending {
    /// Told when their time has come, the earliest first.
    announced: VecDeque<Change>,
    sender: Sender<Result<wire::HeardReply, Status>>,
    reply: wire::HeardReply,
    bytes: usize,
}

impl Pending {
    fn take(&mut self, host: &HostId, received: Timestamp, record: &Record) -> ControlFlow<()> {
        if self.sender.is_closed() {
            return ControlFlow::Break(());
        }
        let due = |pending: &Self| {
            pending
                .announced
                .front()
                .is_some_and(|c| c.time <= received)
        };
        while due(self)
            && let Some(change) = self.announced.pop_front()
        {
            if let Some(host) = change.component.host_id().cloned() {
                self.push(&host, received, &Record::Changes(vec![change]));
            }
        }
        self.push(host, received, record);
        if self.bytes >= REPLY_BYTES {
            self.send();
        }
        ControlFlow::Continue(())
    }

    fn push(&mut self, host: &HostId, received: Timestamp, record: &Record) {
        match encode_record(record) {
            Ok(record) => {
                self.bytes += record.len();
                self.reply.records.push(wire::HeardRecord {
                    host: host.to_string(),
                    received: received.as_micros(),
                    record: record.into(),
                });
            }
            Err(error) => {
                let text = format!("a record of {host} cannot be told: {error}");
                let _ = self.sender.blocking_send(Err(Status::data_loss(text)));
            }
        }
    }

    fn send(&mut self) {
        self.bytes = 0;
        let reply = std::mem::take(&mut self.reply);
        if !reply.records.is_empty() {
            // Nobody reads any more: the next record finds out.
            let _ = self.sender.blocking_send(Ok(reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked() {
        let names = |count: usize| (0..count).map(|n| format!("h{n}")).collect::<Vec<String>>();
        assert_eq!(
            hosts(names(HOSTS_LIMIT)).expect("as many as can be").len(),
            HOSTS_LIMIT
        );
        for refused in [names(0), names(HOSTS_LIMIT + 1), vec!["No Name".to_owned()]] {
            let refused = hosts(refused).expect_err("refused");
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
    }
}
