//! Receiving lines that a host itself keeps, under limits.

use std::time::Duration;

use firstlook_ingest::LinesPiece;
use firstlook_query::{KeptLines, OfficeError};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// An agent says at once that it looks; one of an older version says nothing.
const FIRST_PIECE_WITHIN: Duration = Duration::from_secs(10);
/// How long an agent may look until the next piece.
const NEXT_PIECE_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of lines taken; agents give less.
const LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Receives an answer of at most `limit` lines.
///
/// # Errors
/// When the agent fails, is silent, or sends more.
pub async fn receive(
    mut pieces: mpsc::Receiver<LinesPiece>,
    limit: u32,
) -> Result<KeptLines, OfficeError> {
    let (mut kept, mut bytes, mut wait) = (KeptLines::default(), 0, FIRST_PIECE_WITHIN);
    loop {
        let piece = timeout(wait, pieces.recv()).await.map_err(|_| {
            OfficeError::Unreachable(format!(
                "the agent did not answer within {} s: it is busy, or its version cannot read lines again",
                wait.as_secs()
            ))
        })?;
        wait = NEXT_PIECE_WITHIN;
        match piece {
            Some(LinesPiece::Lines(entries)) => {
                bytes += entries.iter().map(|entry| entry.text.len()).sum::<usize>();
                kept.entries.extend(entries);
                if kept.entries.len() > limit as usize || bytes > LIMIT_BYTES {
                    return Err(OfficeError::Damaged(
                        "the agent sent more lines than were asked for".to_owned(),
                    ));
                }
            }
            Some(LinesPiece::End { left_out, notes }) => {
                (kept.left_out, kept.notes) = (left_out, notes);
                return Ok(kept);
            }
            Some(LinesPiece::Failed(why)) => return Err(OfficeError::Refused(why)),
            None => {
                return Err(OfficeError::Unreachable(
                    "the agent's session ended before it had answered".to_owned(),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{LogEntry, LogSource, Severity, TemplateId, Timestamp};

    fn lines(count: usize) -> LinesPiece {
        let entry = LogEntry {
            time: Timestamp::from_secs(7),
            component: "service:h1/a.service".parse().unwrap(),
            template: TemplateId(1),
            severity: Severity::Info,
            source: LogSource::File,
            text: "a line".to_owned(),
        };
        LinesPiece::Lines(vec![entry; count])
    }

    async fn received(pieces: Vec<LinesPiece>, stays: bool) -> Result<KeptLines, OfficeError> {
        let (sender, receiver) = mpsc::channel(16);
        for piece in pieces {
            sender.try_send(piece).unwrap();
        }
        let held = stays.then_some(sender);
        let kept = receive(receiver, 3).await;
        drop(held);
        kept
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_with_its_end_or_says_why_not() {
        let end = || LinesPiece::End {
            left_out: 9,
            notes: vec!["a note".to_owned()],
        };
        let kept = received(vec![lines(0), lines(2), lines(1), end()], true)
            .await
            .unwrap();
        assert_eq!(
            (kept.entries.len(), kept.left_out, kept.notes.len()),
            (3, 9, 1)
        );
        let too_many = received(vec![lines(4), end()], true).await;
        assert!(
            matches!(too_many, Err(OfficeError::Damaged(_))),
            "{too_many:?}"
        );
        let cut_off = received(vec![lines(1)], false).await;
        assert!(
            matches!(cut_off, Err(OfficeError::Unreachable(_))),
            "{cut_off:?}"
        );
        let old = received(Vec::new(), true).await;
        assert!(
            matches!(&old, Err(OfficeError::Unreachable(why)) if why.contains("version")),
            "{old:?}"
        );
        let failed = received(vec![LinesPiece::Failed("no".to_owned())], true).await;
        assert_eq!(failed, Err(OfficeError::Refused("no".to_owned())));
    }
}
