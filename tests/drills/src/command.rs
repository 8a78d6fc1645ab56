//! External commands, every one with a deadline.

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Most that is kept of each of a command's two outputs; the rest is read and thrown away.
const OUTPUT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long the outputs may stay open after the command's end (a child of it may hold them).
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, at most 8 MiB, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// Runs to the end, whatever the exit code.
///
/// # Errors
/// When it cannot be started, or is not over within `deadline` (it is killed then).
pub fn run(command: &mut Command, deadline: Duration) -> anyhow::Result<Ended> {
    let name = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let code = wait(&mut child, deadline).with_context(|| name.clone())?;
    let text = |output: Receiver<Vec<u8>>| {
        let bytes = output.recv_timeout(OUTPUT_GRACE).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ended {
        code,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Runs to the end and gives its standard output.
///
/// # Errors
/// As `run`, and when the exit code is not 0; the message carries the end of standard error.
pub fn check(command: &mut Command, deadline: Duration) -> anyhow::Result<String> {
    let ended = run(command, deadline)?;
    if ended.code == Some(0) {
        return Ok(ended.stdout);
    }
    let said = last_lines(if ended.stderr.trim().is_empty() {
        &ended.stdout
    } else {
        &ended.stderr
    });
    match ended.code {
        Some(code) => bail!("{} ended with {code}: {said}", describe(command)),
        None => bail!("{} was killed: {said}", describe(command)),
    }
}

/// A command from its words.
pub fn words<S: AsRef<OsStr>>(words: &[S]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().expect("a command has a first word"));
    command.args(words);
    command
}

fn wait(child: &mut Child, deadline: Duration) -> anyhow::Result<Option<i32>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for it")? {
            return Ok(status.code());
        }
        if begun.elapsed() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            bail!("not over after {:.0} s", deadline.as_secs_f64());
        }
        thread::sleep(POLL);
    }
}

fn drain(output: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    // One message, so the reader never blocks on a receiver that has gone.
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut output) = output {
            let _ = output
                .by_ref()
                .take(OUTPUT_LIMIT_BYTES)
                .read_to_end(&mut kept);
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        }
        let _ = sender.send(kept);
    });
    receiver
}

fn describe(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments = command
        .get_args()
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ");
    let mut line = format!("`{program} {arguments}`").replace('\n', " ");
    if line.len() > 160 {
        let cut = (0..=150)
            .rev()
            .find(|&at| line.is_char_boundary(at))
            .unwrap_or(0);
        line.truncate(cut);
        line.push_str("…`");
    }
    line
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_that_fails_says_what_it_said() {
        let error = check(
            &mut words(&["sh", "-c", "echo no such thing >&2; exit 3"]),
            LONG,
        );
        let message = format!("{:#}", error.unwrap_err());
        assert!(message.contains("ended with 3: no such thing"), "{message}");
    }

    #[test]
    fn a_command_past_its_deadline_is_killed() {
        let error = run(&mut words(&["sleep", "1000"]), Duration::from_millis(20)).unwrap_err();
        assert!(format!("{error:#}").contains("not over after"), "{error:#}");
    }

    #[test]
    fn an_output_larger_than_the_limit_does_not_block_the_command() {
        let ended = run(&mut words(&["head", "-c", "9000000", "/dev/zero"]), LONG).unwrap();
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.stdout.len() as u64, OUTPUT_LIMIT_BYTES);
    }
}
