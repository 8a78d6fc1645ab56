//! The part of `docs/configuration.md` on passing telemetry on, and its example, held to the code.

use std::path::Path;

use firstlook_reference::{ConfigFile, hold};

use super::{File, ForwardConfig};

const OPENING: &str = "Where the Firstlook collector passes telemetry on to: the file that its option --forward names. \
    Copy what you want and take it out of its comment; of targets there may be up to 16.";

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn file() -> ConfigFile {
    ConfigFile::of::<File>(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_reference_lists_every_key_of_a_target() {
    let page = workspace().join("docs/configuration.md");
    hold(&page, Some("forward.toml"), &file().tables()).unwrap();
    let example = workspace().join("deploy/examples/forward.toml");
    hold(&example, None, &file().example(OPENING)).unwrap();
}

#[test]
fn what_the_reference_says_of_a_target_is_what_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forward.toml");
    // The files of secrets that the example names are read.
    for name in ["metrics-token", "metrics-password", "metrics-ca.pem"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let check = |text: &str| {
        let here = format!("{}/", folder.path().display());
        std::fs::write(&path, text.replace("/etc/firstlook/", &here))?;
        ForwardConfig::read(&path)?;
        Ok(())
    };
    file().proven::<File>(check).unwrap();
}
