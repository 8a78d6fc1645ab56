//! The agent's part of `docs/configuration.md` and its example, held to the code.

use std::path::Path;

use clap::CommandFactory as _;
use firstlook_reference::{ConfigFile, hold};

use super::Config;

const OPENING: &str = "What the Firstlook agent may be told, each with its default or an example. It needs none of it. \
    Copy what you want to /etc/firstlook/agent.toml and take it out of its comment.";

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn file() -> ConfigFile {
    ConfigFile::of::<Config>(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_reference_lists_every_key_of_the_agent() {
    let page = workspace().join("docs/configuration.md");
    hold(&page, Some("agent.toml"), &file().tables()).unwrap();
    let example = workspace().join("deploy/examples/agent.toml");
    hold(&example, None, &file().example(OPENING)).unwrap();
}

#[test]
fn the_reference_lists_every_option_of_the_agent() {
    let page = workspace().join("docs/configuration.md");
    let options = firstlook_reference::options(&crate::Args::command());
    hold(&page, Some("options of firstlook-agent"), &options).unwrap();
}

#[test]
fn the_reference_names_the_variable_that_sets_what_is_logged() {
    let page = std::fs::read_to_string(workspace().join("docs/configuration.md")).unwrap();
    assert!(page.contains(firstlook_runtime::telemetry::VARIABLE));
}

#[test]
fn what_the_reference_says_of_the_agent_is_what_it_does() {
    let check = |text: &str| {
        let config: Config = toml::from_str(text)?;
        config.check()
    };
    file().proven::<Config>(check).unwrap();
}
