use super::*;
use firstlook_model::Timestamp;
use proptest::prelude::*;
use std::fs;
use std::time::Duration;

/// In the kernel's form: a degraded mirror that is being rebuilt, a stripe, and a degraded parity array with
/// a failed member.
const MDSTAT: &[u8] = b"Personalities : [raid1] [raid0] [raid6] [raid5] [raid4] \n\
md0 : active raid1 sdb1[2] sda1[0]\n\
\x20     1046528 blocks super 1.2 [2/1] [U_]\n\
\x20     [==>..................]  recovery = 12.6% (131968/1046528) finish=1.2min speed=12288K/sec\n\
\x20     \n\
md127 : active raid0 sdd1[1] sdc1[0]\n\
\x20     2093056 blocks super 1.2 512k chunks\n\
\x20     \n\
md2 : active (auto-read-only) raid5 sdg1[3] sdf1[1](F) sde1[0]\n\
\x20     2093056 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [U_U]\n\
\x20     bitmap: 1/1 pages [4KB], 65536KB chunk\n\
\n\
unused devices: <none>\n";

#[test]
fn a_degraded_array_is_told_from_a_whole_one() {
    let arrays = parse(MDSTAT);
    let array = |name, members, failed, sync| Array {
        name,
        members,
        failed,
        sync,
    };
    assert_eq!(
        arrays,
        [
            array("md0", Some((2, 1)), 0, Some(0.126)),
            array("md127", None, 0, None),
            array("md2", Some((3, 2)), 1, None),
        ]
    );
}

#[test]
fn a_file_without_arrays_has_none() {
    assert_eq!(parse(b"Personalities : \nunused devices: <none>\n"), []);
    assert_eq!(parse(b"      [2/1] [U_]\n"), [], "a state of no array");
    let waits = b"md1 : active raid1 sda2[0]\n      resync=DELAYED\n      [x/1] [1/] [/]\n";
    let found = parse(waits);
    assert_eq!((found[0].members, found[0].sync), (None, None));
}

#[test]
fn arrays_and_pools_become_disks_and_a_state_nobody_knows_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let pools = folder.path().join("spl/kstat/zfs");
    for (pool, state) in [
        ("tank", "DEGRADED\n"),
        ("fast", "ONLINE\n"),
        ("gone", "SUSPENDED\n"),
        ("odd", "WEIRD\n"),
    ] {
        fs::create_dir_all(pools.join(pool)).unwrap();
        fs::write(pools.join(pool).join("state"), state).unwrap();
    }
    fs::write(pools.join("arcstats"), "no folder").unwrap();
    fs::write(folder.path().join("mdstat"), MDSTAT).unwrap();
    let roots = HostRoots {
        proc: folder.path().to_owned(),
        ..HostRoots::default()
    };
    let host = HostId::new("h1").unwrap();
    let mut registry = Registry::new(Duration::ZERO);
    let mut arrays = Arrays::new(&host, &roots, &Descriptors::new(4), &Limits::default());
    arrays.sample(&mut registry, &mut Vec::new());
    let frame = registry.frame(Timestamp::from_secs(0));
    let mut seen: Vec<_> = frame
        .schema
        .series()
        .iter()
        .zip(&frame.values)
        .map(|(series, value)| format!("{} {} {value}", series.component, series.signal))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "disk:h1/fast pool.degraded 0",
            "disk:h1/fast pool.failed 0",
            "disk:h1/gone pool.degraded 0",
            "disk:h1/gone pool.failed 1",
            "disk:h1/md0 array.members 2",
            "disk:h1/md0 array.members_active 1",
            "disk:h1/md0 array.members_failed 0",
            "disk:h1/md0 array.sync_ratio 0.126",
            "disk:h1/md127 array.members_failed 0",
            "disk:h1/md2 array.members 3",
            "disk:h1/md2 array.members_active 2",
            "disk:h1/md2 array.members_failed 1",
            "disk:h1/tank pool.degraded 1",
            "disk:h1/tank pool.failed 0",
        ]
    );
    assert_eq!(arrays.blind().count(), 0);
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let _ = pool_state(&bytes);
    }

    #[test]
    fn hostile_arrays_never_panic(state in "[ \\[\\]/_U0-9=%a-z.\n]{0,120}") {
        let text = format!("md0 : active raid1 sda[0]\n {state}\n");
        for array in parse(text.as_bytes()) {
            prop_assert!(array.sync.is_none_or(|sync| (0.0..=1.0).contains(&sync)));
        }
    }
}
