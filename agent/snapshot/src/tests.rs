use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use firstlook_archive::{Limits, extract, verify};
use firstlook_model::{HostId, Manifest, SnapshotId, Timestamp};

use crate::take::take_tasks;
use crate::task::{GatherError, Task};
use crate::{ExtraItem, Redact, Roots, SnapshotError, SnapshotLimits, SnapshotRequest, take};

struct Censor;

impl Redact for Censor {
    fn line(&self, text: &str) -> String {
        text.replace("C4nary", "[redacted]")
    }
    fn text(&self, text: &str) -> String {
        self.line(text)
    }
}

fn censor() -> Arc<dyn Redact> {
    Arc::new(Censor)
}

fn request(work_dir: &Path) -> SnapshotRequest {
    SnapshotRequest {
        id: SnapshotId::new("db1-1700000000-00ff").unwrap(),
        host: HostId::new("db1").unwrap(),
        reason: "before a restart".to_owned(),
        now: Timestamp::from_secs(1_700_000_000),
        roots: Roots::default(),
        config_paths: Vec::new(),
        work_dir: work_dir.to_owned(),
        limits: SnapshotLimits::default(),
    }
}

fn extra(path: &str, content: &[u8]) -> ExtraItem {
    ExtraItem {
        path: path.to_owned(),
        what: "units".to_owned(),
        content: content.to_vec(),
        taken: Timestamp::from_secs(1_699_999_999),
        truncated: false,
    }
}

/// The archive's bytes, its verified manifest and all contents by path.
fn finished(mut archive: crate::SnapshotArchive) -> (Manifest, Vec<(String, String)>) {
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, archive.size_bytes);
    let manifest = verify(&bytes[..], Limits::default()).unwrap();
    assert_eq!(manifest, archive.manifest);
    let contents = manifest.items.iter().map(|item| {
        let mut out = Vec::new();
        extract(&bytes[..], Limits::default(), &item.path, &mut out).unwrap();
        (
            item.path.clone(),
            String::from_utf8_lossy(&out).into_owned(),
        )
    });
    let contents = contents.collect();
    (manifest, contents)
}

fn content<'a>(contents: &'a [(String, String)], path: &str) -> &'a str {
    let found = contents.iter().find(|(p, _)| p == path);
    &found.unwrap_or_else(|| panic!("no {path}")).1
}

#[test]
fn a_snapshot_of_this_machine_verifies_and_shows_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let units = extra("units.json", b"[]");
    let archive = take(&request(folder.path()), vec![units], &censor()).unwrap();
    let (manifest, contents) = finished(archive);
    assert_eq!(manifest.reason, "before a restart");
    assert!(manifest.ended >= manifest.began);
    assert_eq!(manifest.items[0].path, "units.json");
    assert_eq!(content(&contents, "units.json"), "[]");

    let own = std::process::id();
    let processes = content(&contents, "processes.jsonl");
    let own = processes
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|process| process["pid"] == own)
        .expect("this process is listed");
    let port = format!(":{port:04X} ");
    let table = content(&contents, "proc/net/tcp");
    let row = table.lines().find(|row| row.contains(&port)).unwrap();
    let inode: u64 = row.split_whitespace().nth(9).unwrap().parse().unwrap();
    let sockets = own["sockets"].as_array().unwrap();
    assert!(sockets.contains(&inode.into()), "{sockets:?} lacks {inode}");
    assert!(content(&contents, "mounts.jsonl").contains("\"mount_point\":\"/\""));
    assert!(content(&contents, "proc/loadavg").contains('/'));
    assert!(content(&contents, "sysctl.txt").contains("kernel.pid_max = "));
}

#[test]
fn secrets_in_settings_and_command_lines_are_not_in_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("app.conf");
    fs::write(&conf, "password = C4nary\nport = 1\n").unwrap();
    let proc = folder.path().join("proc");
    fs::create_dir_all(proc.join("7")).unwrap();
    let stat = "7 (app) S 1 7 7 0 -1 0 1 0 0 0 1 1 0 0 20 0 1 0 10 9 256 18";
    fs::write(proc.join("7/stat"), stat).unwrap();
    fs::write(proc.join("7/cmdline"), "app\0--token\0C4nary\0").unwrap();
    fs::write(proc.join("7/environ"), "TOKEN=C4nary2").unwrap();
    fs::write(proc.join("cmdline"), "root=/dev/vda rescue=C4nary").unwrap();
    let kmsg = folder.path().join("kmsg");
    fs::write(&kmsg, "6,1,100,-;app said C4nary\n").unwrap();
    let mut request = request(folder.path());
    request.config_paths = vec![conf.clone()];
    request.roots.proc = proc;
    request.roots.kmsg = kmsg;
    let (_, contents) = finished(take(&request, Vec::new(), &censor()).unwrap());
    for (path, content) in &contents {
        assert!(!content.contains("C4nary"), "{path}");
    }
    let name = format!("config{}", conf.display()).replace("/.", "/_");
    let settings = contents
        .iter()
        .find(|(path, _)| name.ends_with(path.trim_start_matches("config/")));
    assert_eq!(settings.unwrap().1, "password = [redacted]\nport = 1\n");
    assert!(content(&contents, "processes.jsonl").contains("app --token [redacted]"));
    assert!(content(&contents, "kernel.log").contains("app said [redacted]"));
}

#[test]
fn what_cannot_be_had_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("target"), "x").unwrap();
    symlink(at("target"), at("link")).unwrap();
    fs::write(at("binary"), b"a\0b").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let mut request = request(folder.path());
    request.roots.proc = at("no-proc");
    request.config_paths = ["link", "binary", "pipe", "absent"].map(at).to_vec();
    request.config_paths.push(folder.path().to_owned());
    request.config_paths.push("relative.conf".into());
    request.config_paths.push("/etc/../etc/hostname".into());
    let (manifest, _) = finished(take(&request, Vec::new(), &censor()).unwrap());
    let why = |what: &str| {
        let missing = manifest.missing.iter().find(|m| m.what.contains(what));
        missing
            .unwrap_or_else(|| panic!("{what} is not missing"))
            .why
            .clone()
    };
    assert!(why("/link,").contains("not a regular file"));
    assert!(why("/pipe,").contains("not a regular file"));
    assert!(why("/binary,").contains("not text"));
    assert!(why("/absent,").contains("No such file"));
    let itself = format!("{},", folder.path().display());
    assert!(why(&itself).contains("not a regular file"));
    assert!(why("relative.conf").contains("not an absolute path"));
    assert!(why("/etc/../etc").contains("not an absolute path"));
    assert!(why("processes").contains("no-proc"));
}

#[test]
fn what_hangs_is_cut_at_its_deadline_and_the_rest_still_comes() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path());
    request.limits.item_deadline = Duration::from_millis(50);
    // Both hang until the senders are dropped at the end of the test.
    let (release, hang) = mpsc::channel::<()>();
    let (release_too, hang_too) = mpsc::channel::<()>();
    let tasks = vec![
        Task::new("silent", "silent mount", move |_| {
            let _ = hang.recv();
            Ok(())
        }),
        Task::new("partial", "slow table", move |sink| {
            sink.write(b"first line\n")?;
            let _ = hang_too.recv();
            sink.write(b"too late\n")
        }),
        Task::new("quick", "quick table", |sink| sink.write(b"done\n")),
        Task::new("broken", "broken table", |_| {
            Err(GatherError::Partly("it is broken".to_owned()))
        }),
    ];
    let (manifest, contents) = finished(take_tasks(&request, Vec::new(), tasks).unwrap());
    drop((release, release_too));
    assert_eq!(content(&contents, "partial"), "first line\n");
    assert_eq!(content(&contents, "quick"), "done\n");
    let truncated: Vec<bool> = manifest.items.iter().map(|i| i.truncated).collect();
    assert_eq!(truncated, [true, false]);
    let missing: Vec<&str> = manifest.missing.iter().map(|m| m.what.as_str()).collect();
    assert_eq!(
        missing,
        ["silent mount", "part of slow table", "broken table"]
    );
    assert!(manifest.missing[0].why.contains("did not return within"));
}

#[test]
fn after_the_deadline_of_all_nothing_more_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path());
    request.limits.deadline = Duration::ZERO;
    let tasks = vec![Task::new("late", "late table", |_| panic!("was begun"))];
    let (manifest, _) = finished(take_tasks(&request, Vec::new(), tasks).unwrap());
    assert!(manifest.missing[0].why.contains("deadline had passed"));
}

#[test]
fn a_reader_that_panics_is_named_and_the_rest_still_comes() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = vec![
        Task::new("bad", "bad table", |_| panic!("as the test wants")),
        Task::new("good", "good table", |sink| sink.write(b"done\n")),
    ];
    let taken = take_tasks(&request(folder.path()), Vec::new(), tasks).unwrap();
    let (manifest, contents) = finished(taken);
    assert_eq!(manifest.missing[0].what, "bad table");
    assert_eq!(content(&contents, "good"), "done\n");
}

#[test]
fn contents_keep_to_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path());
    request.limits.item_bytes = 100;
    request.limits.total_bytes = 250;
    // Little memory: contents wait in a file.
    request.limits.memory_bytes = 10;
    let lines = |sink: &crate::task::Sink| (0..1_000).try_for_each(|_| sink.write(b"123456789\n"));
    let tasks = vec![
        Task::new("one", "first", lines),
        Task::new("two", "second", lines),
        Task::new("huge", "third", |sink| sink.write(&[b'x'; 101])),
    ];
    let extra = vec![extra("long", &[b'y'; 1_000])];
    let (manifest, contents) = finished(take_tasks(&request, extra, tasks).unwrap());
    let sizes: Vec<_> = manifest
        .items
        .iter()
        .map(|i| (i.size_bytes, i.truncated))
        .collect();
    assert_eq!(sizes, [(100, true), (100, true)]);
    assert!(content(&contents, "one").ends_with("123456789\n"));
    let missing: Vec<_> = manifest.missing.iter().map(|m| m.why.as_str()).collect();
    assert_eq!(
        missing,
        [
            "over the limit of the snapshot",
            "over the limit of an item"
        ]
    );
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "files were left behind");
}

#[test]
fn paths_of_extra_items_are_tidied_and_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "../../etc/passwd",
        "../../etc/passwd",
        "manifest.json",
        "a b",
    ];
    let extra = names
        .iter()
        .map(|name| extra(name, name.as_bytes()))
        .collect();
    let taken = take_tasks(&request(folder.path()), extra, Vec::new()).unwrap();
    let (manifest, _) = finished(taken);
    let paths: Vec<&str> = manifest.items.iter().map(|i| i.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "_./_./etc/passwd",
            "_./_./etc/passwd-2",
            "manifest.json-2",
            "a_b"
        ]
    );
}

#[test]
fn a_work_folder_that_cannot_be_written_is_an_error_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(&folder.path().join("absent"));
    request.limits.memory_bytes = 1;
    let taken = take_tasks(&request, vec![extra("a", b"content")], Vec::new());
    match taken {
        Err(SnapshotError::Spool { folder, .. }) => assert!(folder.ends_with("absent")),
        other => panic!("{other:?}"),
    }
}
