//! A shell inside the virtual machine, over a serial port: no network, no account, and neither the guest's clock nor
//! its packet filter can take it away.
//!
//! The other end is `assets/vm/console.py`, which has the format of what is said.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::command::Ended;

/// How long the emulator may take to make the socket.
const SOCKET_DEADLINE: Duration = Duration::from_secs(20);
/// What the guest may take beyond a line's own time to say that it is over.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Our end of the port. One line at a time.
#[derive(Debug)]
pub struct Console {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
    last_id: u64,
}

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    line: &'a str,
    seconds: u64,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    code: i32,
    stdout: String,
    stderr: String,
}

impl Console {
    /// A port whose other end is behind that socket, now or later.
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            stream: None,
            last_id: 0,
        }
    }

    /// Runs a shell line to its end, whatever the exit code; a guest that still boots is waited for. It is killed after
    /// `deadline`, in whole seconds, with the exit code 124.
    ///
    /// # Errors
    /// When no answer comes 10 s after `deadline`, or the emulator ends.
    pub fn ask(&mut self, line: &str, deadline: Duration) -> anyhow::Result<Ended> {
        let answer = self.exchange(line, deadline);
        if answer.is_err() {
            // What may still come belongs to a question that nobody waits for any more.
            self.stream = None;
        }
        let answer = answer.context("asking the virtual machine's console")?;
        Ok(Ended {
            code: Some(answer.code),
            stdout: answer.stdout,
            stderr: answer.stderr,
        })
    }

    /// Lets go of the port, so that the next question finds the emulator that runs then.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    fn exchange(&mut self, line: &str, deadline: Duration) -> anyhow::Result<Answer> {
        let until = Instant::now() + deadline + GRACE;
        self.last_id += 1;
        let (id, seconds) = (self.last_id, deadline.as_secs());
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let request = serde_json::to_string(&Request { id, line, seconds })?;
        stream
            .get_mut()
            .write_all(format!("\n{request}\n").as_bytes())?;
        let mut said = Vec::new();
        let answer = loop {
            read_line(&mut stream, &mut said, until)?;
            // Answers to what an earlier run asked may come first.
            match serde_json::from_slice::<Answer>(&said) {
                Ok(answer) if answer.id == id => break answer,
                _ => said.clear(),
            }
        };
        self.stream = Some(stream);
        Ok(answer)
    }

    fn connect(&self) -> anyhow::Result<BufReader<UnixStream>> {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => break stream,
                Err(error) if begun.elapsed() > SOCKET_DEADLINE => {
                    return Err(error).context("the emulator opens no console");
                }
                Err(_) => thread::sleep(POLL),
            }
        };
        stream.set_read_timeout(Some(POLL))?;
        stream.set_write_timeout(Some(GRACE))?;
        Ok(BufReader::new(stream))
    }
}

/// Reads on to the end of a line, however it comes in pieces.
fn read_line(
    stream: &mut BufReader<UnixStream>,
    said: &mut Vec<u8>,
    until: Instant,
) -> anyhow::Result<()> {
    loop {
        match stream.read_until(b'\n', said) {
            Ok(_) if said.ends_with(b"\n") => return Ok(()),
            Ok(_) => bail!("the emulator ended"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(Instant::now() < until, "no answer in time");
    }
}

/// Words as one shell line that says just them.
pub fn quoted(words: &[&str]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::command::{check, words};

    /// A console of which the guest, asked once, says this; `{id}` stands for the request's.
    fn console(name: &str, says: &'static [&'static str]) -> Console {
        let socket = std::env::temp_dir().join(format!("fl-{name}-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = asked.find(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
            let request: serde_json::Value =
                serde_json::from_str(&request.unwrap().unwrap()).unwrap();
            for piece in says {
                let piece = piece.replace("{id}", &request["id"].to_string());
                stream.write_all(piece.as_bytes()).unwrap();
                thread::sleep(2 * POLL);
            }
        });
        Console::new(socket)
    }

    #[test]
    fn an_answer_may_come_in_pieces_and_after_anothers() {
        let mut console = console(
            "pieces",
            &[
                "{\"id\": 99, \"code\": 0, \"stdout\": \"old\", \"stderr\": \"\"}\n{\"id\": {id}, \"co",
                "de\": 3, \"stdout\": \"new\", \"stderr\": \"\"}\n",
            ],
        );
        let ended = console.ask("true", Duration::from_secs(5)).unwrap();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "new"));
    }

    #[test]
    fn a_machine_that_ends_is_not_waited_for() {
        let error = console("ends", &["{\"id\""]).ask("true", Duration::from_secs(60));
        assert!(format!("{:#}", error.unwrap_err()).contains("the emulator ended"));
    }

    #[test]
    fn quoted_words_come_out_of_a_shell_as_they_went_in() {
        let hard = ["a b", "it's", "$HOME", "", "--x=\"y\"", "né\\n"];
        let line = format!("printf '%s|' {}", quoted(&hard));
        let said = check(&mut words(&["sh", "-c", &line]), Duration::from_secs(10)).unwrap();
        assert_eq!(said, hard.map(|word| format!("{word}|")).concat());
    }
}
