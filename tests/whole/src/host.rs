//! A real agent on this machine, that follows one log file.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use crate::binaries::program;
use crate::house::House;
use crate::process::Process;
use crate::wait::until;

/// The service that the followed file belongs to.
pub const SERVICE: &str = "web.service";

/// An agent that joined, its folder, and the log file that it follows.
pub struct Host {
    name: String,
    folder: PathBuf,
    agent: Option<Process>,
    /// Sessions that agents before this one began.
    sessions: usize,
}

impl Host {
    /// Joins `house` as `name` and starts. What other tests on this machine would disturb is not read: its
    /// journal, its kernel log, its service manager.
    pub fn join(house: &House, name: &str) -> Self {
        house.admit(name);
        let folder = house.path(name);
        let mut host = Self {
            name: name.to_owned(),
            folder,
            agent: None,
            sessions: 0,
        };
        std::fs::create_dir_all(host.folder.join("logs")).expect("a folder can be made");
        let glob = host.folder.join("logs/*.log");
        let config = format!(
            "[roots]\njournal = []\nkmsg = \"\"\nsystem_bus = \"\"\n\
             [[files]]\nglob = {glob:?}\nservice = {SERVICE:?}\n"
        );
        std::fs::write(host.config(), config).expect("a file can be written");
        host.start();
        host
    }

    /// Starts the agent.
    pub fn start(&mut self) {
        let mut command = Command::new(program("firstlook-agent"));
        command.arg("run").arg("--config").arg(self.config());
        command.arg("--state-dir").arg(&self.folder);
        let agent = Process::start(&mut command, &self.folder.join("agent.out"));
        self.sessions = sessions(&agent);
        self.agent = Some(agent);
    }

    /// Waits until the agent has begun a session.
    pub fn settled(&mut self) {
        let before = self.sessions;
        let agent = self.agent();
        until("a session", || (sessions(agent) > before).then_some(()));
    }

    /// The agent.
    ///
    /// # Panics
    /// When it does not run.
    pub fn agent(&mut self) -> &mut Process {
        self.agent.as_mut().expect("the agent runs")
    }

    /// Starts the agent anew with more configuration.
    pub fn configure(&mut self, more: &str) {
        self.stop();
        let file = File::options().append(true).open(self.config());
        file.expect("it has a configuration")
            .write_all(more.as_bytes())
            .expect("it can be written");
        self.start();
    }

    /// Ends the agent by SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.agent.take().expect("the agent runs").stop()
    }

    /// Ends the agent by SIGKILL.
    pub fn kill(&mut self) {
        self.agent.take().expect("the agent runs").kill();
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the agent keeps.
    pub fn state_dir(&self) -> &PathBuf {
        &self.folder
    }

    /// Appends a line to the log.
    pub fn log(&self, line: &[u8]) {
        let path = self.folder.join("logs/web.log");
        let file = File::options().create(true).append(true).open(path);
        // One write, so that the agent never sees half of it.
        file.expect("a log can be made")
            .write_all(&[line, b"\n"].concat())
            .expect("it can be written");
    }

    fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }
}

fn sessions(agent: &Process) -> usize {
    agent.said().matches("session began").count()
}
