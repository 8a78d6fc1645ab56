//! `completions` and `man`, from the same source as the parser.

use std::path::Path;

use clap::CommandFactory;

use crate::Answer;
use crate::args::Args;
use crate::exit::Failure;

/// A completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<Answer, Failure> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "firstlook", &mut out);
    let text = String::from_utf8(out).map_err(|e| Failure::failed(e.to_string()))?;
    Ok(Answer::done(text))
}

/// One man page per command.
pub fn man(dir: &Path) -> Result<Answer, Failure> {
    let failed =
        |e: std::io::Error| Failure::failed(format!("cannot write {}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), dir).map_err(failed)?;
    Ok(Answer::done(format!(
        "man pages written to {}\n",
        dir.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_gets_a_man_page() {
        let dir = tempfile::tempdir().unwrap();
        man(dir.path()).unwrap();
        for name in [
            "firstlook.1",
            "firstlook-why.1",
            "firstlook-snapshot-take.1",
            "firstlook-hosts-revoke.1",
        ] {
            assert!(dir.path().join(name).exists(), "{name} is missing");
        }
    }

    #[test]
    fn completion_knows_the_commands() {
        let script = completions(clap_complete::Shell::Bash).unwrap().text;
        assert!(script.contains("snapshot") && script.contains("--since"));
    }
}
