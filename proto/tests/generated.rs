//! The committed code under `src/wire` is what the `.proto` files generate, without `protoc`.

use std::path::Path;

const FILES: [&str; 5] = [
    "firstlook/v1/telemetry.proto",
    "firstlook/v1/agent.proto",
    "firstlook/v1/query.proto",
    "firstlook/v1/configs.proto",
    "firstlook/v1/diagnosis.proto",
];

/// Set `FIRSTLOOK_REGENERATE=1` to write what the test would otherwise compare with.
#[test]
fn committed_code_is_what_the_contract_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(FILES, [root]).expect("the contract compiles");
    let out = tempfile::tempdir().expect("a temporary folder");
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("code is generated");
    let generated = std::fs::read_to_string(out.path().join("firstlook.v1.rs")).expect("a file");
    let committed = root.join("src/wire/firstlook.v1.rs");
    if std::env::var_os("FIRSTLOOK_REGENERATE").is_some() {
        std::fs::write(&committed, &generated).expect("the generated file is writable");
    }
    let kept = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        kept == generated,
        "src/wire is stale: run FIRSTLOOK_REGENERATE=1 cargo test -p firstlook-proto"
    );
}
