//! The collector's options in `docs/configuration.md`, held to the code.

use std::path::Path;

use clap::CommandFactory as _;
use firstlook_reference::hold;

#[test]
fn the_reference_lists_every_option_of_the_collector() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let options = firstlook_reference::options(&crate::Args::command());
    hold(&page, Some("options of firstlook-collector"), &options).unwrap();
}
