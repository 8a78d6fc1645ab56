//! A child process that ends with its handle.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// Lines shown of a child's log when its test failed.
const SHOWN: usize = 40;

/// A running child; what it says goes into a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its outputs go into `log`, after what is there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.expect("a log can be made");
        let again = file.try_clone().expect("a file can be shared");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .spawn();
        Self {
            child: child.expect("the child can be started"),
            log: log.to_owned(),
        }
    }

    /// All it has said, and its predecessors with the same log.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM.
    pub fn ask_to_end(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended()
    }

    /// Sends SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it goes on for too long.
    pub fn ended(&mut self) -> ExitStatus {
        until("the end of a child", || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }

    fn signal(&mut self, signal: Signal) {
        if self.runs() {
            // It may have ended since; it was not waited for, so its number is still its own.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
            #[expect(clippy::print_stderr, reason = "for whoever reads the failed test")]
            {
                eprintln!("---- {}\n{last}", self.log.display());
            }
        }
    }
}
