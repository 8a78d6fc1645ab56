//! Receiving a snapshot: pieces into a file under limits, then every hash checked before it bears its name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use firstlook_archive::Limits;
use firstlook_ingest::Piece;
use firstlook_model::snapshot::ARCHIVE_LIMIT_BYTES;
use firstlook_model::{HostId, Manifest, SnapshotId};
use ring::digest::{Context, SHA256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// An agent gathers for up to 30 s before its first piece.
const FIRST_PIECE_WITHIN: Duration = Duration::from_secs(45);
/// A stream of pieces that stops this long is over.
const NEXT_PIECE_WITHIN: Duration = Duration::from_secs(15);

/// A received archive.
#[derive(Debug)]
pub struct Received {
    /// What it holds.
    pub manifest: Manifest,
    /// Bytes.
    pub size_bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// File of a snapshot within `folder`. An id cannot name a path outside.
pub fn archive_path(folder: &Path, id: &SnapshotId) -> PathBuf {
    folder.join(format!("{id}.tar.zst"))
}

/// Receives into `folder` and verifies.
///
/// # Errors
/// When the agent fails, is slow, sends too much, or sends what does not verify; nothing is left.
pub async fn receive(
    mut pieces: mpsc::Receiver<Piece>,
    folder: &Path,
    host: &HostId,
    id: &SnapshotId,
) -> anyhow::Result<Received> {
    let path = archive_path(folder, id);
    let part = folder.join(format!("{id}.part"));
    let received = into_file(&mut pieces, &part, host, id).await;
    match received {
        Ok(received) => {
            tokio::fs::rename(&part, &path)
                .await
                .context("the archive cannot be kept")?;
            Ok(received)
        }
        Err(error) => {
            // Best effort: housekeeping removes what stays.
            let _ = tokio::fs::remove_file(&part).await;
            Err(error)
        }
    }
}

async fn into_file(
    pieces: &mut mpsc::Receiver<Piece>,
    part: &Path,
    host: &HostId,
    id: &SnapshotId,
) -> anyhow::Result<Received> {
    let mut file = tokio::fs::File::create(part)
        .await
        .context("the archive cannot be written")?;
    let (mut digest, mut size_bytes, mut wait) = (Context::new(&SHA256), 0u64, FIRST_PIECE_WITHIN);
    let said = loop {
        let piece = timeout(wait, pieces.recv())
            .await
            .context("the agent fell silent")?;
        wait = NEXT_PIECE_WITHIN;
        match piece {
            Some(Piece::Chunk(bytes)) => {
                size_bytes += bytes.len() as u64;
                ensure!(
                    size_bytes <= ARCHIVE_LIMIT_BYTES,
                    "the archive is over its limit"
                );
                digest.update(&bytes);
                file.write_all(&bytes)
                    .await
                    .context("the archive cannot be written")?;
            }
            Some(Piece::End {
                size_bytes: size,
                sha256,
            }) => break (size, sha256),
            Some(Piece::Failed(why)) => bail!("the agent could not take it: {why}"),
            None => bail!("the agent's session ended"),
        }
    };
    file.sync_all()
        .await
        .context("the archive cannot be written")?;
    let digest = digest.finish();
    ensure!(
        said.0 == size_bytes && said.1.as_ref() == digest.as_ref(),
        "the archive did not arrive as it was sent"
    );
    let path = part.to_owned();
    let manifest = tokio::task::spawn_blocking(move || verify(&path)).await??;
    ensure!(
        manifest.host == *host && manifest.id == *id,
        "the archive says that it is {} of {}",
        manifest.id,
        manifest.host
    );
    let sha256 = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Ok(Received {
        manifest,
        size_bytes,
        sha256,
    })
}

/// Reads a whole archive and checks it against its manifest. Blocks.
///
/// # Errors
/// When it cannot be read, or does not fit its manifest.
pub fn verify(path: &Path) -> anyhow::Result<Manifest> {
    let file = std::fs::File::open(path).context("the archive cannot be read")?;
    Ok(firstlook_archive::verify(
        std::io::BufReader::new(file),
        Limits::default(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_archive::{ArchiveWriter, Digest};
    use firstlook_model::{SnapshotItem, Timestamp};

    fn archive(host: &str) -> Vec<u8> {
        let now = Timestamp::from_secs(1_800_000_000);
        let manifest = Manifest {
            version: firstlook_model::snapshot::MANIFEST_VERSION,
            id: SnapshotId::new("s1").unwrap(),
            host: HostId::new(host).unwrap(),
            reason: String::new(),
            began: now,
            ended: now,
            items: vec![SnapshotItem {
                path: "a.txt".into(),
                what: "a".into(),
                size_bytes: 3,
                sha256: Digest::of(b"abc"),
                taken: now,
                truncated: false,
            }],
            missing: vec![],
        };
        let mut writer = ArchiveWriter::new(Vec::new(), &manifest).unwrap();
        writer.item("a.txt", &b"abc"[..]).unwrap();
        writer.finish().unwrap()
    }

    async fn deliver(
        bytes: Vec<u8>,
        sha256: Vec<u8>,
    ) -> (tempfile::TempDir, anyhow::Result<Received>) {
        let dir = tempfile::tempdir().unwrap();
        let (sender, pieces) = mpsc::channel(16);
        let size_bytes = bytes.len() as u64;
        sender.send(Piece::Chunk(bytes.into())).await.unwrap();
        sender
            .send(Piece::End {
                size_bytes,
                sha256: sha256.into(),
            })
            .await
            .unwrap();
        let (host, id) = (HostId::new("h1").unwrap(), SnapshotId::new("s1").unwrap());
        let received = receive(pieces, dir.path(), &host, &id).await;
        (dir, received)
    }

    fn hash(bytes: &[u8]) -> Vec<u8> {
        ring::digest::digest(&SHA256, bytes).as_ref().to_vec()
    }

    #[tokio::test]
    async fn a_whole_archive_is_kept_under_its_name() {
        let bytes = archive("h1");
        let sha256 = hash(&bytes);
        let (dir, received) = deliver(bytes, sha256).await;
        assert_eq!(received.unwrap().manifest.items.len(), 1);
        assert!(dir.path().join("s1.tar.zst").exists());
    }

    #[tokio::test]
    async fn anothers_archive_a_wrong_hash_and_damage_are_refused_and_leave_nothing() {
        let good = archive("h1");
        let mut damaged = good.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let cases = [
            (archive("h2"), hash(&archive("h2"))),
            (good, vec![0; 32]),
            (damaged.clone(), hash(&damaged)),
        ];
        for (bytes, sha256) in cases {
            let (dir, received) = deliver(bytes, sha256).await;
            assert!(received.is_err());
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_falls_silent_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (_sender, pieces) = mpsc::channel(1);
        let (host, id) = (HostId::new("h1").unwrap(), SnapshotId::new("s1").unwrap());
        assert!(receive(pieces, dir.path(), &host, &id).await.is_err());
    }
}
