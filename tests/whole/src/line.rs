//! A session that a test speaks itself, message by message.

use firstlook_proto::wire;
use firstlook_proto::wire::agent_client::AgentClient;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::collector_message::Kind as Hear;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::wait::LONG;

/// Both directions of a session.
pub struct Line {
    outgoing: mpsc::Sender<wire::AgentMessage>,
    incoming: Streaming<wire::CollectorMessage>,
}

impl Line {
    /// Opens a session and says nothing.
    ///
    /// # Errors
    /// What the collector refuses it with.
    pub async fn open(channel: Channel) -> Result<Self, Status> {
        let (outgoing, stream) = mpsc::channel(16);
        let session = AgentClient::new(channel)
            .session(ReceiverStream::new(stream))
            .await?;
        Ok(Self {
            outgoing,
            incoming: session.into_inner(),
        })
    }

    /// Opens a session, says Hello, and gives what the Welcome says is acknowledged.
    ///
    /// # Errors
    /// What the collector refuses it with.
    pub async fn greeted(channel: Channel, epoch: u64) -> Result<(Self, u64), Status> {
        let mut line = Self::open(channel).await?;
        line.say(hello(epoch)).await;
        match line.hear().await? {
            Some(Hear::Welcome(welcome)) => Ok((line, welcome.acknowledged)),
            other => panic!("no welcome, but {other:?}"),
        }
    }

    /// Says something; nobody may be left to hear it.
    pub async fn say(&self, kind: Say) {
        let _ = self
            .outgoing
            .send(wire::AgentMessage { kind: Some(kind) })
            .await;
    }

    /// Says records.
    pub async fn send(&self, records: Vec<(u64, Vec<u8>)>) {
        let sequenced = |(sequence, record): (u64, Vec<u8>)| wire::SequencedRecord {
            sequence,
            record: record.into(),
        };
        let records = records.into_iter().map(sequenced).collect();
        self.say(Say::Records(wire::RecordBatch { records })).await;
    }

    /// The collector's next message; `None` at the end of the session.
    ///
    /// # Errors
    /// The status with which the collector ended it.
    ///
    /// # Panics
    /// When nothing comes for too long.
    pub async fn hear(&mut self) -> Result<Option<Hear>, Status> {
        let message = timeout(LONG, self.incoming.message())
            .await
            .expect("the collector is silent")?;
        Ok(message.and_then(|message| message.kind))
    }

    /// The acknowledged sequence that the next message must say.
    pub async fn acknowledged(&mut self) -> u64 {
        match self.hear().await {
            Ok(Some(Hear::Acknowledgement(acknowledgement))) => acknowledgement.sequence,
            other => panic!("no acknowledgement, but {other:?}"),
        }
    }

    /// The status with which the collector ends the session next.
    pub async fn refusal(&mut self) -> Status {
        match self.hear().await {
            Err(status) => status,
            Ok(other) => panic!("no refusal, but {other:?}"),
        }
    }
}

/// A Hello.
pub fn hello(epoch: u64) -> Say {
    Say::Hello(wire::Hello {
        epoch,
        agent_version: "0.0.0".to_owned(),
        boot_id: "boot".to_owned(),
        wall_micros: crate::house::now().as_micros(),
        running_config: 0,
    })
}

/// A heartbeat.
pub fn heartbeat() -> Say {
    let wall_micros = crate::house::now().as_micros();
    Say::Heartbeat(wire::Heartbeat {
        wall_micros,
        monotonic_micros: 1,
        backlog_bytes: 0,
    })
}
