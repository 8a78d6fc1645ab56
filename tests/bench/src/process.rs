//! Programs that end with the bench.

use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;

/// A child that ends with this handle.
pub struct Held(Child);

impl Held {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it says, if it was asked to say it to us. Taken once.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end. Asked first: it may have children to end.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..50 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that ends with its handle.
///
/// # Errors
/// When it cannot be started.
pub fn hold(command: &mut Command) -> anyhow::Result<Held> {
    let program = command.get_program().to_string_lossy().into_owned();
    Ok(Held(
        command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?,
    ))
}

/// A free port on loopback.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
