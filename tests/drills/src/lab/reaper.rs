//! The guard of a run: a second process that removes the lab when the run dies.
//!
//! A signal, a crash or a kill ends the run at once, without a chance to clean up. The guard holds
//! the reading end of a pipe whose only writer is the run: end of file without a word of farewell
//! means that the run died. It also holds the lab's lock, so that no new lab is begun meanwhile.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;

use super::clean;
use crate::say;

/// What the run says before it ends by itself.
const FAREWELL: &[u8] = b"farewell\n";

/// The run's end of the guard.
#[derive(Debug)]
pub struct Reaper {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the guard. It shares `lock` from now on.
    ///
    /// # Errors
    /// When our own program cannot be started a second time.
    pub fn start(lock: &File) -> anyhow::Result<Self> {
        let lock = lock.try_clone().context("sharing the lab's lock")?;
        let program = std::env::current_exe().context("finding our own program")?;
        let mut process = Command::new(program)
            .arg("reap")
            .stdin(Stdio::piped())
            // Carries the lock: it lasts until the last descriptor of the open file is closed.
            .stdout(Stdio::from(lock))
            // A group of its own, so that an interrupt from the terminal does not reach it.
            .process_group(0)
            .spawn()
            .context("starting the guard")?;
        let pipe = process.stdin.take();
        Ok(Self { process, pipe })
    }

    /// Tells the guard that there is nothing left to do.
    pub fn dismiss(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(FAREWELL);
            drop(pipe);
            let _ = self.process.wait();
        }
    }
}

/// The guard's own work: waits for the run's end, and cleans up unless it said farewell.
pub fn wait_and_clean() {
    let mut said = Vec::new();
    let limit = FAREWELL.len() as u64;
    let _ = std::io::stdin().lock().take(limit).read_to_end(&mut said);
    if said == FAREWELL {
        return;
    }
    say::progress("drills: interrupted, removing the lab");
    if let Err(error) = clean::remove_everything() {
        say::progress(&format!("drills: {error:#}"));
    }
}
