//! Snapshots of a live host.

use firstlook_whole::{Host, House, until};

#[test]
fn a_snapshot_is_taken_kept_checked_and_fetched() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    until("a snapshot", || {
        (house.ask(&["snapshot", "take", "h1"]).code == 0).then_some(())
    });
    let taken = house.ask_json(
        "snapshot",
        &["snapshot", "take", "h1", "--reason", "before a fix"],
    );
    let id = taken["id"].as_str().unwrap();
    assert_eq!(
        (&taken["host"], &taken["reason"]),
        (&"h1".into(), &"before a fix".into())
    );
    assert!(taken["items"].as_u64().unwrap() > 5, "{taken}");

    let listed = house.ask_json("snapshots", &["snapshot", "list", "h1"]);
    assert_eq!(listed["snapshots"].as_array().map(Vec::len), Some(2));
    let manifest = house.ask_json("manifest", &["snapshot", "show", id])["manifest"].clone();
    assert_eq!(
        manifest["items"].as_array().map(Vec::len),
        taken["items"].as_u64().map(|n| n as usize)
    );
    for missing in manifest["missing"].as_array().unwrap() {
        assert_ne!(
            missing["why"], "",
            "what could not be had has a reason: {missing}"
        );
    }
    let verified = house.ask(&["snapshot", "verify", id]);
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert!(verified.out.starts_with("intact"), "{}", verified.out);

    let copy = house.path("copy.tar.zst");
    let fetched = house.ask(&["snapshot", "fetch", id, "-o", copy.to_str().unwrap()]);
    assert_eq!(fetched.code, 0, "{}", fetched.err);
    let archive = house.data().join(format!("snapshots/{id}.tar.zst"));
    let mut bytes = std::fs::read(&archive).unwrap();
    assert!(
        std::fs::read(copy).unwrap() == bytes,
        "the copy is the archive"
    );
    assert_eq!(taken["size_bytes"].as_u64(), Some(bytes.len() as u64));

    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&archive, &bytes).unwrap();
    let damaged = house.ask(&["snapshot", "verify", id]);
    assert_eq!(damaged.code, 1, "{}", damaged.err);
    assert!(damaged.out.starts_with("DAMAGED: "), "{}", damaged.out);
    std::fs::remove_file(&archive).unwrap();
    assert_eq!(
        house.ask(&["snapshot", "verify", id]).code,
        1,
        "an archive that is gone is damaged"
    );

    assert_eq!(house.ask(&["snapshot", "take", "nobody"]).code, 3);
    host.stop();
    until("a host without its agent", || {
        (house.ask(&["snapshot", "take", "h1"]).code == 7).then_some(())
    });
    assert_eq!(
        std::fs::read_dir(house.data().join("snapshots"))
            .unwrap()
            .count(),
        1,
        "nothing half-done is left"
    );
}
