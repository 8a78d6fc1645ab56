//! The programs under test, built once per process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A folder with the three programs, to be used instead of building them.
const VARIABLE: &str = "FIRSTLOOK_BIN_DIR";
/// What cargo tells a test about itself: a build script that looks at it would run again for nothing.
const OF_THE_TEST: [&str; 6] = [
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_TARGET_TMPDIR",
];

/// The program `name` of this workspace.
///
/// # Panics
/// When the programs cannot be built.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(folder).join(name)
}

fn folder() -> PathBuf {
    if let Some(given) = std::env::var_os(VARIABLE) {
        return given.into();
    }
    // <target>/<profile>/deps/<test>
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.ancestors().nth(2).expect("a test lies in deps");
    let target = folder.parent().expect("a profile lies in a target folder");
    build(target, folder.ends_with("release"));
    folder.to_owned()
}

fn build(target: &Path, release: bool) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked"]);
    cargo.args(["-p", "firstlook", "-p", "firstlook-agent"]);
    cargo.args(["-p", "firstlook-collector", "--target-dir"]);
    cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if release {
        cargo.arg("--release");
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THE_TEST.iter().any(|of| text.starts_with(of)) {
            cargo.env_remove(name);
        }
    }
    let built = cargo.status().expect("cargo can be run");
    assert!(built.success(), "the programs cannot be built");
}
