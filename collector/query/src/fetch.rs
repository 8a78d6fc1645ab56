//! Streaming an archive's bytes to whoever fetches it.

use std::pin::Pin;

use firstlook_proto::wire;
use tokio_stream::Stream;
use tonic::Status;

/// A file in pieces, read as fast as they are taken.
pub fn chunks(
    file: tokio::fs::File,
) -> impl Stream<Item = Result<wire::FetchSnapshotReply, Status>> + Send {
    use tokio::io::AsyncReadExt;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let reader = async move {
        let mut file = file;
        loop {
            let mut buffer = vec![0; firstlook_model::snapshot::CHUNK_BYTES];
            match file.read(&mut buffer).await {
                Ok(0) => return,
                Ok(length) => {
                    buffer.truncate(length);
                    let reply = wire::FetchSnapshotReply {
                        chunk: buffer.into(),
                    };
                    if sender.send(Ok(reply)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(Status::data_loss(error.to_string()))).await;
                    return;
                }
            }
        }
    };
    // The reader advances only while the stream is polled: nothing is spawned, nothing outlives it.
    DrivenBy {
        reader: Some(Box::pin(reader)),
        receiver,
    }
}

struct DrivenBy<T> {
    reader: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    receiver: tokio::sync::mpsc::Receiver<T>,
}

impl<T> Stream for DrivenBy<T> {
    type Item = T;
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        if let Some(reader) = self.reader.as_mut()
            && reader.as_mut().poll(cx).is_ready()
        {
            self.reader = None;
        }
        self.receiver.poll_recv(cx)
    }
}
