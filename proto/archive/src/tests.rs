use std::io::{self, Read, Write};

use firstlook_model::{HostId, Manifest, SnapshotId, SnapshotItem, Timestamp};
use proptest::prelude::*;

use crate::seal::Sealing;
use crate::{
    ArchiveWriter, Digest, Limits, MANIFEST_PATH, VerifyError, WriteError, extract, verify,
};

fn item(path: &str, content: &[u8]) -> SnapshotItem {
    SnapshotItem {
        path: path.to_owned(),
        what: "for tests".to_owned(),
        size_bytes: content.len() as u64,
        sha256: Digest::of(content),
        taken: Timestamp::from_secs(1_700_000_000),
        truncated: false,
    }
}

fn manifest(items: Vec<SnapshotItem>) -> Manifest {
    Manifest {
        version: 1,
        id: SnapshotId::new("db1-1700000000-00ff").unwrap(),
        host: HostId::new("db1").unwrap(),
        reason: "before a restart".to_owned(),
        began: Timestamp::from_secs(1_700_000_000),
        ended: Timestamp::from_secs(1_700_000_002),
        items,
        missing: Vec::new(),
    }
}

fn write(contents: &[(&str, &[u8])]) -> Vec<u8> {
    let items = contents.iter().map(|(path, c)| item(path, c)).collect();
    let mut writer = ArchiveWriter::new(Vec::new(), &manifest(items)).unwrap();
    for (path, content) in contents {
        writer.item(path, *content).unwrap();
    }
    writer.finish().unwrap()
}

const CONTENTS: &[(&str, &[u8])] = &[
    ("processes.json", b"[1,2,3]"),
    ("proc/loadavg", b"0.1 0.2 0.3 1/200 4711\n"),
    ("empty", b""),
];

/// A member by hand: what a forger would write.
struct Member<'a> {
    path: &'a [u8],
    content: &'a [u8],
    kind: tar::EntryType,
}

fn file<'a>(path: &'a str, content: &'a [u8]) -> Member<'a> {
    Member {
        path: path.as_bytes(),
        content,
        kind: tar::EntryType::Regular,
    }
}

fn forge(manifest: &Manifest, members: &[Member<'_>]) -> Vec<u8> {
    forge_json(&serde_json::to_vec(manifest).unwrap(), members)
}

fn forge_json(json: &[u8], members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for member in [file(MANIFEST_PATH, json)].iter().chain(members) {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..member.path.len()].copy_from_slice(member.path);
        header.set_size(member.content.len() as u64);
        header.set_entry_type(member.kind);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(member.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    pack(&tar)
}

fn pack(tar: &[u8]) -> Vec<u8> {
    seal(&zstd::encode_all(tar, 3).unwrap())
}

fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut sealing = Sealing::new(Vec::new());
    sealing.write_all(bytes).unwrap();
    sealing.seal().unwrap()
}

fn refusal(archive: &[u8]) -> VerifyError {
    verify(archive, Limits::default()).unwrap_err()
}

#[test]
fn what_was_written_verifies_and_can_be_taken_out() {
    let archive = write(CONTENTS);
    let manifest = verify(&archive[..], Limits::default()).unwrap();
    assert_eq!(manifest.items.len(), 3);
    assert_eq!(manifest.reason, "before a restart");
    for (path, content) in CONTENTS {
        let mut out = Vec::new();
        let item = extract(&archive[..], Limits::default(), path, &mut out).unwrap();
        assert_eq!((item.path.as_str(), &out[..]), (*path, *content));
    }
    let lost = extract(&archive[..], Limits::default(), "nothing", io::sink());
    assert!(matches!(lost, Err(VerifyError::NotFound(_))));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let archive = write(CONTENTS);
    for at in 0..archive.len() {
        for bit in 0..8 {
            let mut flipped = archive.clone();
            flipped[at] ^= 1 << bit;
            let result = verify(&flipped[..], Limits::default());
            assert!(result.is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn an_archive_cut_short_anywhere_is_refused() {
    let archive = write(CONTENTS);
    for len in 0..archive.len() {
        assert!(
            verify(&archive[..len], Limits::default()).is_err(),
            "{len} bytes"
        );
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut archive = write(CONTENTS);
    archive.push(0);
    assert!(matches!(
        refusal(&archive),
        VerifyError::Trailing | VerifyError::Seal
    ));
    let frame = &write(CONTENTS)[..];
    let twice = seal(&[frame, frame].concat());
    assert!(matches!(refusal(&twice), VerifyError::Trailing));
    assert!(matches!(refusal(&seal(frame)), VerifyError::Trailing));
}

#[test]
fn an_archive_without_its_own_seal_is_refused() {
    let archive = write(CONTENTS);
    let mut other = write(&[("other", b"content")]);
    let seal = other.split_off(other.len() - 40);
    let swapped = [&archive[..archive.len() - 40], &seal].concat();
    assert!(matches!(refusal(&swapped), VerifyError::Seal));
}

#[test]
fn forged_members_are_refused_by_name() {
    let (a, b) = (b"aaaa".as_slice(), b"bbbb".as_slice());
    let honest = manifest(vec![item("a", a), item("b", b)]);
    assert!(
        verify(
            &forge(&honest, &[file("a", a), file("b", b)])[..],
            Limits::default()
        )
        .is_ok()
    );
    let link = |path: &'static str| Member {
        path: path.as_bytes(),
        content: b"",
        kind: tar::EntryType::Symlink,
    };
    type Check = fn(&VerifyError) -> bool;
    let cases: [(&str, Vec<Member<'_>>, Check); 9] = [
        ("swapped", vec![file("b", b), file("a", a)], |e| {
            matches!(e, VerifyError::Unexpected { .. })
        }),
        (
            "extra",
            vec![file("a", a), file("b", b), file("c", a)],
            |e| matches!(e, VerifyError::Unexpected { .. }),
        ),
        ("unknown", vec![file("a", a), file("c", b)], |e| {
            matches!(e, VerifyError::Unexpected { .. })
        }),
        ("missing", vec![file("a", a)], |e| {
            matches!(e, VerifyError::Missing(_))
        }),
        ("escape", vec![file("../../etc/passwd", a)], |e| {
            matches!(e, VerifyError::Path(_))
        }),
        ("absolute", vec![file("/etc/passwd", a)], |e| {
            matches!(e, VerifyError::Path(_))
        }),
        ("link", vec![link("a")], |e| {
            matches!(e, VerifyError::Kind(_))
        }),
        ("size", vec![file("a", b"aaaaa"), file("b", b)], |e| {
            matches!(e, VerifyError::Size { .. })
        }),
        ("hash", vec![file("a", b"aaab"), file("b", b)], |e| {
            matches!(e, VerifyError::Hash(_))
        }),
    ];
    for (name, members, check) in cases {
        let error = refusal(&forge(&honest, &members));
        assert!(check(&error), "{name}: {error:?}");
    }
}

#[test]
fn unfit_manifests_are_refused() {
    let mut future = manifest(Vec::new());
    future.version = 2;
    assert!(matches!(
        refusal(&forge(&future, &[])),
        VerifyError::Version(2)
    ));
    let escape = manifest(vec![item("../x", b"")]);
    assert!(matches!(
        refusal(&forge(&escape, &[])),
        VerifyError::Path(_)
    ));
    let double = manifest(vec![item("x", b""), item("x", b"")]);
    assert!(matches!(
        refusal(&forge(&double, &[])),
        VerifyError::Unfit(_)
    ));
    let many = manifest((0..5_000).map(|n| item(&n.to_string(), b"")).collect());
    assert!(matches!(refusal(&forge(&many, &[])), VerifyError::Unfit(_)));
    assert!(matches!(
        refusal(&forge_json(b"{", &[])),
        VerifyError::Manifest(_)
    ));
    let large = vec![b' '; 5 << 20];
    assert!(matches!(
        refusal(&forge_json(&large, &[])),
        VerifyError::Unfit(_)
    ));
    assert!(matches!(
        refusal(&pack(&[0; 1024])),
        VerifyError::NoManifest(_)
    ));
    assert!(matches!(
        refusal(b"not an archive"),
        VerifyError::Damaged(_)
    ));
}

#[test]
fn a_bomb_is_refused_before_it_unfolds() {
    let limits = Limits {
        archive_bytes: 1 << 20,
        content_bytes: 1 << 20,
    };
    let large = vec![0; 64 << 20];
    let bomb = write(&[("zeros", &large)]);
    assert!(bomb.len() < 1 << 16, "{} bytes", bomb.len());
    assert!(matches!(
        verify(&bomb[..], limits),
        Err(VerifyError::Bomb(_))
    ));
    // The bomb after the end of the tar stream.
    let mut tar = zstd::decode_all(&write(CONTENTS)[..]).unwrap();
    tar.extend_from_slice(&large);
    let result = verify(&pack(&tar)[..], limits);
    assert!(matches!(result, Err(VerifyError::Trailing)), "{result:?}");
}

#[test]
fn an_archive_over_its_limit_is_refused_without_reading_it_all() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += buffer.len() as u64;
            assert!(self.0 < 1 << 22, "read on and on");
            buffer.fill(7);
            Ok(buffer.len())
        }
    }
    let limits = Limits {
        archive_bytes: 1 << 20,
        content_bytes: 1 << 30,
    };
    let archive = write(CONTENTS);
    let result = verify(archive.chain(Endless(0)), limits);
    assert!(
        matches!(result, Err(VerifyError::TooLarge(_))),
        "{result:?}"
    );
}

#[test]
fn a_writer_keeps_to_its_manifest() {
    let unfit = manifest(vec![item("/etc", b"")]);
    assert!(matches!(
        ArchiveWriter::new(Vec::new(), &unfit),
        Err(WriteError::Manifest(_))
    ));
    let fit = manifest(vec![item("a", b"aa"), item("b", b"b")]);
    let writer = || ArchiveWriter::new(Vec::new(), &fit).unwrap();
    assert!(matches!(
        writer().item("b", &b"b"[..]),
        Err(WriteError::Order(_))
    ));
    assert!(matches!(
        writer().item("a", &b"a"[..]),
        Err(WriteError::Order(_))
    ));
    assert!(matches!(writer().finish(), Err(WriteError::Order(_))));
}

proptest! {
    #[test]
    fn any_contents_come_back(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..8)) {
        let paths: Vec<String> = (0..contents.len()).map(|n| format!("dir/{n}")).collect();
        let pairs: Vec<(&str, &[u8])> = paths.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
        let archive = write(&pairs);
        for (path, content) in pairs {
            let mut out = Vec::new();
            extract(&archive[..], Limits::default(), path, &mut out).unwrap();
            prop_assert_eq!(&out[..], content);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), packed: bool) {
        let bytes = if packed { pack(&bytes) } else { bytes };
        prop_assert!(verify(&bytes[..], Limits::default()).is_err());
    }
}
