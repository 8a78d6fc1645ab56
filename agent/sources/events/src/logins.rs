//! Who logged in and who acted as somebody else, by what sshd, sudo, su and login say. Pure.
//!
//! Only messages of these programs count, sent by root: whoever calls must know that from the journal's own fields, or
//! from a file that only syslog writes. The same is told once in ten minutes: automation logs in all day.

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{Change, ChangeKind, ComponentId, Timestamp};

/// How long the same login is not told again.
const QUIET: Duration = Duration::from_secs(600);
/// Most logins remembered.
const REMEMBERED_LIMIT: usize = 512;
const TEXT_LIMIT_CHARS: usize = 512;

/// What was told lately.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    told: HashMap<String, Timestamp>,
}

impl Logins {
    /// The change that a message of `program` tells of, if it is one and is news. `key` tells this message from
    /// others of the same time.
    pub(crate) fn take(
        &mut self,
        program: &str,
        text: &str,
        time: Timestamp,
        key: u64,
        host: &ComponentId,
    ) -> Option<Change> {
        let text = recognise(program, text)?;
        let known = self
            .told
            .get(&text)
            .is_some_and(|at| *at <= time && time.since(*at) < QUIET);
        if known {
            return None;
        }
        if self.told.len() >= REMEMBERED_LIMIT {
            self.told.clear();
        }
        self.told.insert(text.clone(), time);
        Some(Change {
            id: format!("login:{key:x}@{}", time.as_micros()),
            time,
            component: host.clone(),
            kind: ChangeKind::Login,
            text,
            detail: String::new(),
        })
    }
}

/// Whether messages of this program are worth looking at.
pub(crate) fn is_known(program: &str) -> bool {
    matches!(program, "sshd" | "sshd-session" | "sudo" | "su" | "login")
}

/// The line for people.
fn recognise(program: &str, text: &str) -> Option<String> {
    let line = match program {
        "sshd" | "sshd-session" => ssh(text)?,
        "sudo" => sudo(text)?,
        "su" => {
            let (target, who) = text.strip_prefix("(to ")?.split_once(") ")?;
            format!("{} became {target}", word(who)?)
        }
        "login" => {
            let (place, who) = match text.strip_prefix("ROOT LOGIN ") {
                Some(place) => (place.trim_start().strip_prefix("ON ")?, "root"),
                None => text.strip_prefix("LOGIN ON ")?.split_once(" BY ")?,
            };
            format!("{} logged in on {}", word(who)?, word(place)?)
        }
        _ => return None,
    };
    Some(
        line.chars()
            .filter(|c| !c.is_control())
            .take(TEXT_LIMIT_CHARS)
            .collect(),
    )
}

/// `Accepted publickey for root from 192.0.2.7 port 4711 ssh2: …`
fn ssh(text: &str) -> Option<String> {
    let (method, rest) = text.strip_prefix("Accepted ")?.split_once(" for ")?;
    // A name may hold anything but what follows the last "from".
    let (who, place) = rest.split_once(" port ")?.0.rsplit_once(" from ")?;
    Some(format!(
        "{} logged in from {} by {}",
        word(who)?,
        word(place)?,
        word(method)?
    ))
}

/// `bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/id`
fn sudo(text: &str) -> Option<String> {
    let (who, rest) = text.trim_start().split_once(" : ")?;
    let (settings, command) = rest.split_once("COMMAND=")?;
    // "command not allowed", "3 incorrect password attempts": nothing was done.
    if !settings.starts_with("TTY=") && !settings.starts_with("PWD=") {
        return None;
    }
    let user = settings
        .split(" ; ")
        .find_map(|part| part.trim().strip_prefix("USER="))?;
    Some(format!("{} ran {command} as {}", word(who)?, word(user)?))
}

fn word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::HostId;
    use proptest::prelude::*;

    #[test]
    fn logins_and_commands_are_read_as_programs_write_them() {
        for (program, text, told) in [
            (
                "sshd",
                "Accepted publickey for root from 192.0.2.7 port 4711 ssh2: RSA SHA256:9f86",
                Some("root logged in from 192.0.2.7 by publickey"),
            ),
            (
                "sshd-session",
                "Accepted keyboard-interactive/pam for bob from 2001:db8::7 port 9 ssh2",
                Some("bob logged in from 2001:db8::7 by keyboard-interactive/pam"),
            ),
            (
                "sshd",
                "Failed password for root from 192.0.2.7 port 4711 ssh2",
                None,
            ),
            (
                "sudo",
                "     bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/systemctl restart shop",
                Some("bob ran /usr/bin/systemctl restart shop as root"),
            ),
            (
                "sudo",
                "bob : PWD=/ ; USER=postgres ; COMMAND=/usr/bin/psql",
                Some("bob ran /usr/bin/psql as postgres"),
            ),
            (
                "sudo",
                "bob : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
                None,
            ),
            (
                "sudo",
                "bob : 3 incorrect password attempts ; TTY=pts/0 ; USER=root ; COMMAND=/bin/sh",
                None,
            ),
            ("su", "(to root) bob on pts/0", Some("bob became root")),
            (
                "login",
                "ROOT LOGIN  ON tty1",
                Some("root logged in on tty1"),
            ),
            (
                "login",
                "LOGIN ON tty1 BY bob",
                Some("bob logged in on tty1"),
            ),
            (
                "shop",
                "Accepted publickey for root from 192.0.2.7 port 4711 ssh2",
                None,
            ),
        ] {
            assert_eq!(recognise(program, text).as_deref(), told, "{text}");
        }
    }

    #[test]
    fn the_same_login_is_told_once_in_ten_minutes() {
        let mut logins = Logins::default();
        let host = ComponentId::host(HostId::new("h1").unwrap());
        let mut take = |text: &str, second: i64| {
            let time = Timestamp::from_secs(1_000 + second);
            logins
                .take("su", text, time, 7, &host)
                .map(|change| change.id)
        };
        assert_eq!(
            take("(to root) bob on pts/0", 0).as_deref(),
            Some("login:7@1000000000")
        );
        assert_eq!(take("(to root) bob on pts/1", 599), None);
        assert!(take("(to root) ann on pts/0", 599).is_some());
        assert!(take("(to root) bob on pts/0", 600).is_some());
        for n in 0..2_000 {
            assert!(take(&format!("(to root) u{n} on x"), 700).is_some());
        }
        assert!(logins.told.len() <= REMEMBERED_LIMIT);
    }

    proptest! {
        #[test]
        fn any_text_is_read(program in "sshd|sudo|su|login", text in "(Accepted | for | from | port | : |TTY=|USER=|COMMAND=| ; |\\(to |\\) |LOGIN ON | BY |\\PC){0,20}") {
            if let Some(line) = recognise(&program, &text) {
                prop_assert!(line.chars().count() <= TEXT_LIMIT_CHARS);
            }
        }
    }
}
