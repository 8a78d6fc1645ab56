//! A request's body: read whole under limits, and inflated where it was packed.

use std::io::Read;
use std::time::Duration;

use bytes::Buf;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use super::replies::Refusal;

/// Largest message, before and after it is inflated: what receivers of OTLP take by default.
pub(super) const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// How long a body may take to come.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads a body of at most so many bytes to its end.
///
/// # Cancel safety
/// A body that was dropped midway is lost, and with it its request.
pub(super) async fn whole<B>(body: B, limit: usize) -> Result<Vec<u8>, Refusal>
where
    B: Body + Unpin,
{
    timeout(DEADLINE, pieces(body, limit))
        .await
        .unwrap_or(Err(Refusal::Slow))
}

async fn pieces<B>(mut body: B, limit: usize) -> Result<Vec<u8>, Refusal>
where
    B: Body + Unpin,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::TooLarge);
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(mut piece) = frame.map_err(|_| Refusal::Malformed)?.into_data() else {
            continue;
        };
        if whole.len() + piece.remaining() > limit {
            return Err(Refusal::TooLarge);
        }
        while piece.has_remaining() {
            let chunk = piece.chunk();
            whole.extend_from_slice(chunk);
            let length = chunk.len();
            piece.advance(length);
        }
    }
    Ok(whole)
}

/// Inflates gzip.
pub(super) fn inflate(packed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    let mut unpacking = MultiGzDecoder::new(packed).take(MESSAGE_LIMIT_BYTES as u64 + 1);
    match unpacking.read_to_end(&mut plain) {
        Ok(length) if length > MESSAGE_LIMIT_BYTES => Err(Refusal::TooLarge),
        Ok(_) => Ok(plain),
        Err(_) => Err(Refusal::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::Full;
    use hyper::body::Frame;
    use proptest::prelude::*;
    use std::io::Write;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut packing = GzEncoder::new(Vec::new(), Compression::fast());
        packing.write_all(plain).unwrap();
        packing.finish().unwrap()
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let body = |bytes: usize| Full::new(Bytes::from(vec![7; bytes]));
        let read = whole(body(MESSAGE_LIMIT_BYTES), MESSAGE_LIMIT_BYTES)
            .await
            .unwrap();
        assert_eq!(read.len(), MESSAGE_LIMIT_BYTES);
        let over = whole(body(MESSAGE_LIMIT_BYTES + 1), MESSAGE_LIMIT_BYTES).await;
        assert_eq!(over, Err(Refusal::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        assert_eq!(whole(Never, MESSAGE_LIMIT_BYTES).await, Err(Refusal::Slow));
    }

    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Pending
        }
    }

    #[test]
    fn what_grows_beyond_the_limit_is_refused() {
        let most = vec![0; MESSAGE_LIMIT_BYTES];
        assert_eq!(inflate(&packed(&most)).unwrap().len(), MESSAGE_LIMIT_BYTES);
        let bomb = packed(&vec![0; 2 * MESSAGE_LIMIT_BYTES]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb), Err(Refusal::TooLarge));
        assert_eq!(inflate(b"no gzip"), Err(Refusal::Malformed));
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_and_what_broke_off_does_not(plain in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..20) {
            let packed = packed(&plain);
            prop_assert_eq!(inflate(&packed), Ok(plain));
            prop_assert_eq!(inflate(&packed[..packed.len() - cut]), Err(Refusal::Malformed));
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = inflate(&bytes);
            let _ = inflate(&[&[0x1f, 0x8b, 8, 0][..], &bytes].concat());
        }
    }
}
